"""How fit a bundle's vectors are for search and recommendation, on sets it was not trained on.

    python benchmarks/vectors.py --bundle BUNDLE --crowdflower judgements.jsonl.gz --office FOLDER [--out FILE]

* rerank: each query's judged products ordered by cosine of query and title; mean nDCG@10 over queries, gain 2^g − 1.
* next item: the last product of a history against the whole catalogue by cosine of titles, the product itself left
  out; recall@10 of the next purchase.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from figures import rows, tell
from shelfwise_indexer.evaluate import ndcg

Encode = Callable[[Sequence[str]], np.ndarray]


def rerank_ndcg(path: Path, queries: Encode, documents: Encode, depth: int = 10) -> float:
    judged: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for row in rows(path):
        judged[row["query"]].append((row["title"], row["grade"]))
    names = list(judged)
    query_vectors = queries(names)
    titles = list(dict.fromkeys(title for pairs in judged.values() for title, _ in pairs))
    vectors = dict(zip(titles, documents(titles), strict=True))
    values = []
    for name, query in zip(names, query_vectors, strict=True):
        scores = np.array([vectors[title] @ query for title, _ in judged[name]])
        # Judgements are told apart by their place: a query may judge one title twice.
        grades = {str(place): grade for place, (_, grade) in enumerate(judged[name])}
        if any(grades.values()):
            values.append(ndcg([str(place) for place in np.argsort(-scores, kind="stable")], grades, depth))
    return float(np.mean(values))


def next_item_recall(folder: Path, documents: Encode, depth: int = 10) -> float:
    items = list(rows(folder / "items.jsonl.gz"))
    number = {item["id"]: place for place, item in enumerate(items)}
    vectors = documents([item["title"] for item in items])
    found = total = 0
    for row in rows(folder / "next_item.jsonl.gz"):
        last = number[row["history"][-1]]
        scores = vectors @ vectors[last]
        scores[last] = -np.inf
        found += number[row["next"]] in np.argpartition(-scores, depth)[:depth]
        total += 1
    return found / total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--crowdflower", type=Path, required=True)
    parser.add_argument("--office", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    from shelfwise import Bundle

    bundle = Bundle.load(given.bundle)
    figures = {
        "benchmark": "vectors",
        "bundle": bundle.version,
        "backbone": bundle.info["backbone"],
        "trained_on": bundle.info["data"],
        "classification": bundle.info["metrics"],
        "crowdflower_rerank_ndcg@10": rerank_ndcg(
            given.crowdflower,
            lambda texts: bundle.encoder.encode_queries(texts).vectors,
            lambda texts: bundle.encoder.encode_documents(texts).vectors,
        ),
        "office_next_item_recall@10": next_item_recall(
            given.office, lambda texts: bundle.encoder.encode_documents(texts).vectors
        ),
    }
    tell(figures, given.out)


if __name__ == "__main__":
    main()
