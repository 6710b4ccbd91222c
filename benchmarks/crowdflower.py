"""How well the search ranks what people judged, through the real server; the catalogue is the judged titles.

    python benchmarks/crowdflower.py --bundle BUNDLE --judgements judgements.jsonl.gz [--url URL] [--out FILE]
    python benchmarks/crowdflower.py --bundle BUNDLE --judgements judgements.jsonl.gz --rerankers FOLDER [--out FILE]

* judged only: each query's judged products and no others (a filter on their ids), ranked by each system.
* all titles: every title is in the catalogue; the first 100 hits, without those nobody judged for the query.

nDCG@10 with gain 2^g - 1, mean over queries. A title that a query judged twice counts twice, in the order of the file,
as in `vectors.py`. `learnt` takes the weights of the retrievers (and the category boost) that were best on the other
four fifths of the queries: no label of a query is used for that query. Differences have 95 % paired bootstrap
intervals.

With --rerankers only the reranking is measured: five cross-encoders are trained in that folder (or found there), each
on four fifths of the queries, and order the hits of the others. The number is the weight of its score; `learnt` as
above; `any words` does without exact words first.
"""

import argparse
import json
import sys
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from figures import rows, tell
from reranked import CrossValidated, folds, train_folds
from shelfwise import Bundle, ProductSearch, Reranker, connect
from shelfwise.filters import Filter
from shelfwise.search_settings import SearchSettings
from shelfwise_indexer import index
from shelfwise_indexer.ablation import shuffled
from shelfwise_indexer.judgements import JudgedQuery
from shelfwise_indexer.search_evaluation import ndcg_of
from shelfwise_indexer.significance import paired

DEPTH, DEEP = 10, 100
LEXICAL_WEIGHTS = (0.1, 0.2, 0.3, 0.5)  # the vector's weight is what is left to 1
BOOSTS = (0.5, 1.0)
BLENDS = (0.3, 0.5, 0.7, 0.85, 1.0)
Scores = dict[str, float]  # query to nDCG
Ask = Callable[[ProductSearch | CrossValidated, Mapping[str, Any]], dict[str, list[str]]]


class Judged:
    """The judged titles, and what each query's rows say."""

    def __init__(self, path: Path) -> None:
        self.ids: dict[str, str] = {}
        self.rows: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        self.grades: dict[str, dict[str, int]] = defaultdict(dict)
        for number, row in enumerate(rows(path)):
            id_ = self.ids.setdefault(row["title"], f"t{len(self.ids)}")
            self.rows[row["query"]][id_].append(str(number))
            self.grades[row["query"]][str(number)] = row["grade"]

    @property
    def queries(self) -> list[str]:
        return list(self.rows)

    def by_product(self) -> dict[str, dict[str, int]]:
        """Query to product to grade; of a title that a query judged several times the mean, rounded."""
        return {
            query: {
                id_: round(float(np.mean([self.grades[query][row] for row in its_rows])))
                for id_, its_rows in products.items()
            }
            for query, products in self.rows.items()
        }

    def ndcg(self, found: Mapping[str, Sequence[str]]) -> Scores:
        """Of product ids, best first; those that nobody judged for the query are passed over."""
        ranked = {query: [row for id_ in ids for row in self.rows[query].get(id_, ())] for query, ids in found.items()}
        return ndcg_of(self.grades, ranked, DEPTH)


def judged_only(judged: Judged) -> Ask:
    def ask(searcher: ProductSearch | CrossValidated, more: Mapping[str, Any]) -> dict[str, list[str]]:
        found = {}
        for query, products in judged.rows.items():
            only = [Filter("id", id_) for id_ in products]
            own = {name: value[query] if name == "category_probabilities" else value for name, value in more.items()}
            found[query] = [hit.id for hit in searcher.search(query, len(products), filters=only, **own)]
        return found

    return ask


def all_titles(judged: Judged) -> Ask:
    def ask(searcher: ProductSearch | CrossValidated, more: Mapping[str, Any]) -> dict[str, list[str]]:
        own = {
            name: [value[query] for query in judged.queries] if name == "category_probabilities" else value
            for name, value in more.items()
        }
        many = searcher.search_many(judged.queries, DEEP, **own)
        return {query: [hit.id for hit in hits] for query, hits in zip(judged.queries, many, strict=True)}

    return ask


def learnt(cells: Sequence[Scores], queries: Sequence[str]) -> Scores:
    """Each query's nDCG in the cell that is best on the folds it is not in."""
    scores = {}
    for fold in folds(queries):
        own = set(fold)
        best = max(cells, key=lambda cell: float(np.mean([cell[query] for query in queries if query not in own])))
        scores |= {query: best[query] for query in own}
    return scores


def systems(client: Any, alias: str, bundle: Bundle, judged: Judged, ask: Ask) -> Iterator[tuple[str, Scores]]:
    def scored(settings: SearchSettings, **more: Any) -> Scores:
        return judged.ndcg(ask(ProductSearch(client, alias, bundle, settings), more))

    off = SearchSettings(category_boost=0.0)
    yield "BM25", scored(off, mode="lexical")
    yield "semantic", scored(off, mode="semantic")
    mixed = shuffled(bundle, [JudgedQuery(query, query, None, {}) for query in judged.queries])
    for fusion in ("rank", "score", "query"):
        yield f"hybrid {fusion}", scored(SearchSettings(fusion=fusion, category_boost=0.0))
        yield f"hybrid {fusion} + category", scored(SearchSettings(fusion=fusion))
        yield f"hybrid {fusion} + shuffled", scored(SearchSettings(fusion=fusion), category_probabilities=mixed)
    cells: dict[float, list[Scores]] = defaultdict(list)
    for boost in (0.0, *BOOSTS):
        for lexical in LEXICAL_WEIGHTS:
            weights = {"lexical": lexical, "semantic": 1 - lexical}
            cells[boost].append(scored(SearchSettings(fusion="score", weights=weights, category_boost=boost)))
    yield "hybrid learnt", learnt(cells[0.0], judged.queries)
    yield "hybrid learnt + category", learnt([cell for of in cells.values() for cell in of], judged.queries)


def reranked_systems(
    client: Any, alias: str, bundle: Bundle, judged: Judged, ask: Ask, rerankers: Mapping[str, Reranker]
) -> Iterator[tuple[str, Scores]]:
    def search_with(settings: SearchSettings) -> ProductSearch:
        return ProductSearch(client, alias, bundle, settings)

    off = SearchSettings(category_boost=0.0)
    yield "BM25", judged.ndcg(ask(search_with(off), {"mode": "lexical"}))
    yield "semantic", judged.ndcg(ask(search_with(off), {"mode": "semantic"}))
    bases = {
        "hybrid query": off,
        "hybrid query, category": SearchSettings(),
        "hybrid query, any words": replace(off, exact_first=False),
    }
    for name, settings in bases.items():
        yield name, judged.ndcg(ask(search_with(settings), {}))
        cells = []
        for blend in BLENDS:
            cells.append(judged.ndcg(ask(CrossValidated(search_with, settings, rerankers, blend), {})))
            yield f"{name} + rerank {blend}", cells[-1]
        yield f"{name} + rerank learnt", learnt(cells, judged.queries)


def report(results: Mapping[str, Scores]) -> dict[str, Any]:
    means = {name: float(np.mean(list(scores.values()))) for name, scores in results.items()}
    better = max(("BM25", "semantic"), key=means.__getitem__)
    differences = {}
    for name, scores in results.items():
        if name.startswith("hybrid"):
            before, plus, _ = name.partition(" + ")
            old = before if plus else better
            differences[f"{name} minus {old}"] = paired(scores, results[old]).to_json()
    return {
        f"ndcg@{DEPTH}": {name: round(mean, 4) for name, mean in means.items()},
        "differences": differences,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--judgements", type=Path, required=True)
    parser.add_argument("--url")
    parser.add_argument("--rerankers", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()

    bundle, judged, client = Bundle.load(given.bundle), Judged(given.judgements), connect(given.url)
    alias = f"crowdflower-{uuid.uuid4().hex[:8]}"
    try:
        with tempfile.TemporaryDirectory() as folder:
            catalogue = Path(folder) / "titles.jsonl"
            catalogue.write_text(
                "".join(json.dumps({"id": id_, "title": title}) + "\n" for title, id_ in judged.ids.items())
            )
            rerankers = train_folds(judged.by_product(), catalogue, given.rerankers) if given.rerankers else {}
            done = index(catalogue, bundle, alias, client=client, dead_letters=Path(folder) / "dead.jsonl")
        figures: dict[str, Any] = {
            "benchmark": "crowdflower",
            "bundle": bundle.version,
            "backbone": bundle.info.get("backbone"),
            "trained_on": bundle.info.get("data"),
            "queries": len(judged.queries),
            "judgements": sum(map(len, judged.grades.values())),
            "titles": done.indexed,
            "rejected": done.rejected,
        }
        if given.rerankers:
            figures["reranker"] = rerankers[judged.queries[0]].info["settings"]
        for name, ask in (("judged_only", judged_only(judged)), ("all_titles", all_titles(judged))):
            if given.rerankers:
                measured = reranked_systems(client, alias, bundle, judged, ask, rerankers)
            else:
                measured = systems(client, alias, bundle, judged, ask)
            figures[name] = report(dict(tqdm(measured, desc=name, unit="system", file=sys.stderr)))
    finally:
        for name in client.indices.get(index=f"{alias}-*"):
            client.indices.delete(index=name)
    tell(figures, given.out)


if __name__ == "__main__":
    main()
