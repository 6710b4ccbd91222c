"""A whole catalogue through the real server: counts, filtered searches that give k, recall of kNN, hits to look at.

    python benchmarks/whole_catalogue.py --catalogue products.jsonl.gz --bundle BUNDLE --queries judgements.jsonl.gz \
        [--alias shelfwise-benchmark] [--url URL] [--out FILE] [--page FILE]

Recall: the server's approximate kNN (the body that searches send, without the exact fall-back) against all cosines in
numpy, recall@10 over the distinct `query` texts of --queries, without a filter and under price ranges that keep about
10 %, 1 % and 0.1 % of the products. The page shows ten searches and ten `similar` calls for a person to judge.
"""

import argparse
import html
from pathlib import Path
from typing import Any

import numpy as np

from figures import machine, tell
from figures import rows as judged
from shelfwise import Bundle, ProductSearch, SimilarProducts, connect
from shelfwise.filters import Filter
from shelfwise.index import status
from shelfwise.live_index import live
from shelfwise.query import semantic
from shelfwise_indexer import index
from shelfwise_indexer.catalogue import Row, read

K = 10
SHARES = (1.0, 0.1, 0.01, 0.001)
LOOKED_AT = (
    "something to wash my hair without chemicals",
    "gluten free breakfast",
    "dog food for puppies",
    "gift for a tea lover",
    "kids lunch box",
    "mosquito repellent",
    "cooking oil for deep frying",
    "notebook for school",
    "sugar free chocolate",
    "non stick frying pan",
)


def price_ranges(prices: np.ndarray, rng: np.random.Generator) -> dict[float, list[tuple[float, float]]]:
    """Per share, ten price ranges that keep about that share of the products."""
    ordered = np.sort(prices[np.isfinite(prices)])
    ranges: dict[float, list[tuple[float, float]]] = {}
    for share in SHARES[1:]:
        width = max(1, round(share * len(ordered)))
        starts = rng.integers(0, len(ordered) - width, size=200)
        spans = [(float(ordered[start]), float(ordered[start + width - 1])) for start in starts]
        kept = [np.mean((prices >= low) & (prices <= high)) for low, high in spans]
        best = np.argsort([abs(np.log(one / share)) for one in kept], kind="stable")[:10]
        ranges[share] = [spans[place] for place in best]
    return ranges


def recalls(client: Any, alias: str, rows: list[Row], vectors: np.ndarray, queries: np.ndarray) -> list[dict[str, Any]]:
    name = live(client, alias).name
    number = {row.product.id: place for place, row in enumerate(rows)}
    prices = np.array([np.nan if row.product.price is None else row.product.price for row in rows])
    ranges = price_ranges(prices, np.random.default_rng(0))
    cosines = queries @ vectors.T
    found = []
    for share in SHARES:
        spans: list[tuple[float, float] | None] = [None] if share == 1.0 else list(ranges[share])
        hits = wanted = returned = due = 0
        kept = []
        for place, query in enumerate(queries):
            span = spans[place % len(spans)]
            passing = np.ones(len(rows), bool) if span is None else (prices >= span[0]) & (prices <= span[1])
            filters = [] if span is None else [Filter.parse(f"price={span[0]}..{span[1]}").body()]
            answer = client.search(index=name, **semantic(query.tolist(), K, filters))["hits"]["hits"]
            got = [number[hit["_id"]] for hit in answer]
            scores = np.where(passing, cosines[place], -np.inf)
            least = np.sort(scores)[-min(K, int(passing.sum()))]
            # A product that ties with the tenth is as right as the tenth.
            hits += sum(scores[row] >= least - 1e-6 for row in got)
            wanted += min(K, int(passing.sum()))
            returned, due = returned + len(got), due + min(K, int(passing.sum()))
            kept.append(float(passing.mean()))
        found.append(
            {
                "share_asked": share,
                "share_kept": float(np.mean(kept)),
                "queries": len(queries),
                "recall@10": hits / wanted,
                "returned": returned,
                "due": due,
            }
        )
    return found


def filtered_counts(search: ProductSearch, rows: list[Row], texts: list[str]) -> dict[str, Any]:
    """Hybrid searches under filters of all widths: how often k came when k exist."""
    rng = np.random.default_rng(1)
    prices = np.array([np.nan if row.product.price is None else row.product.price for row in rows])
    asked = full = 0
    for spans in price_ranges(prices, rng).values():
        for span, text in zip(spans, texts, strict=False):
            exist = int(((prices >= span[0]) & (prices <= span[1])).sum())
            hits = search.search(text, K, filters=[f"price={span[0]}..{span[1]}"])
            asked, full = asked + 1, full + (len(hits) == min(K, exist))
    leaves: dict[tuple[str, ...], int] = {}
    for row in rows:
        for path in row.product.categories:
            leaves[path] = leaves.get(path, 0) + 1
    for path in sorted(leaves, key=lambda leaf: leaves[leaf])[::20]:
        hits = search.search(texts[asked % len(texts)], K, category=path)
        asked, full = asked + 1, full + (len(hits) == min(K, leaves[path]))
    return {"searches": asked, "gave_k_or_all_there_are": full}


def page(search: ProductSearch, similar: SimilarProducts) -> str:
    def rows_of(hits: Any) -> str:
        cells = (
            f"<tr><td>{html.escape(hit.title)}<td>{html.escape(' > '.join(hit.category))}<td>{hit.score:.3f}"
            for hit in hits
        )
        return "<table>" + "".join(cells) + "</table>"

    parts = ["<!doctype html><meta charset=utf-8><title>whole catalogue</title>"]
    parts.append("<style>body{font:14px sans-serif;max-width:70em;margin:2em auto}td{padding:.1em .8em}</style>")
    parts += [f"<h2>{html.escape(text)}</h2>" + rows_of(search.search(text, 5)) for text in LOOKED_AT]
    for text in LOOKED_AT:
        [product] = search.search(text, 1, mode="lexical") or search.search(text, 1)
        parts.append(f"<h2>similar to: {html.escape(product.title)}</h2>" + rows_of(similar.similar(product.id, 5)))
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogue", required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--alias", default="shelfwise-benchmark")
    parser.add_argument("--url")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    bundle = Bundle.load(given.bundle)
    client = connect(given.url)
    done = index(given.catalogue, bundle, given.alias, client=client)
    again = index(given.catalogue, bundle, given.alias, client=client)
    rows = [row for row in read(given.catalogue) if isinstance(row, Row)]
    vectors = bundle.encoder.encode_documents([bundle.text(row.product) for row in rows]).vectors
    texts = list(dict.fromkeys(row["query"] for row in judged(given.queries)))
    search, similar = ProductSearch(client, given.alias, bundle), SimilarProducts(client, given.alias)
    figures = {
        "benchmark": "whole_catalogue",
        "machine": machine(),
        "server": status(client, given.alias)["server"],
        "bundle": bundle.version,
        "first_run": {name: value for name, value in done.to_json().items() if name not in ("index", "dead_letters")},
        "second_run": {name: value for name, value in again.to_json().items() if name not in ("index", "dead_letters")},
        "reconciled": all(run.read == run.indexed + run.unchanged + run.rejected for run in (done, again)),
        "documents_in_index": int(client.count(index=given.alias)["count"]),
        "filtered_hybrid": filtered_counts(search, rows, texts),
        "knn": recalls(client, given.alias, rows, vectors, bundle.encoder.encode_queries(texts).vectors),
    }
    tell(figures, given.out)
    if given.page:
        given.page.write_text(page(search, similar), encoding="utf-8")


if __name__ == "__main__":
    main()
