"""How often what a person bought next is among ten recommendations, through the real server.

    python benchmarks/next_item.py --office FOLDER --bundle BUNDLE [--url URL] [--folds 5] [--out FILE]

The items are indexed with the bundle. `last item`: recommended from the last product of each history alone, without an
event model; `history, content`: from the whole history, without one; `history`: with an event model learnt from the
histories of the other folds' users, so that nobody's own history and nobody's next purchase teaches it. recall@10 over
the whole catalogue, with the standard error of a proportion.
"""

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from figures import rows, tell
from shelfwise import Bundle, Recommender, connect
from shelfwise_indexer import index
from shelfwise_indexer.learn_events import learn

K = 10


def found(recommender: Recommender, people: Sequence[dict[str, Any]], histories: Sequence[list[str]]) -> list[bool]:
    given = recommender.recommend_many(histories, K)
    return [person["next"] in [hit.id for hit in one.hits] for person, one in zip(people, given, strict=True)]


def recall(hits: Sequence[bool]) -> dict[str, float]:
    share = float(np.mean(hits))
    return {"recall@10": round(share, 4), "standard_error": round(float(np.sqrt(share * (1 - share) / len(hits))), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--office", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--alias", default="shelfwise-next-item")
    parser.add_argument("--url")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    bundle, client = Bundle.load(given.bundle), connect(given.url)
    people = list(rows(given.office / "next_item.jsonl.gz"))
    for old in client.indices.get(index=f"{given.alias}-*"):
        client.indices.delete(index=old)
    with tempfile.TemporaryDirectory() as folder:
        done = index(
            given.office / "items.jsonl.gz",
            bundle,
            given.alias,
            given.url,
            dead_letters=Path(folder) / "dead-letters.jsonl",
        )
        plain = Recommender(client, given.alias)
        figures = {
            "benchmark": "next_item",
            "machine": {"cores": os.cpu_count(), "processor": platform.machine()},
            "bundle": bundle.version,
            "read": done.read,
            "indexed": done.indexed,
            "people": len(people),
            "folds": given.folds,
            "last item": recall(found(plain, people, [person["history"][-1:] for person in people])),
            "history, content": recall(found(plain, people, [person["history"] for person in people])),
        }
        fold = np.random.default_rng(0).integers(0, given.folds, len(people))
        hits: list[bool] = []
        for held_back in range(given.folds):
            events = Path(folder) / "events.jsonl"
            others = [person for person, number in zip(people, fold, strict=True) if number != held_back]
            events.write_text("".join(json.dumps({k: o[k] for k in ("user", "history")}) + "\n" for o in others))
            learn(events, given.alias, given.url)
            part = [person for person, number in zip(people, fold, strict=True) if number == held_back]
            hits += found(Recommender(client, given.alias), part, [person["history"] for person in part])
        figures["history"] = recall(hits)
    tell(figures, given.out)


if __name__ == "__main__":
    main()
