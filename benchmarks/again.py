"""Indexing again: how long a run takes after which little has changed, beside the run that filled the index.

    python benchmarks/again.py --catalogue products.jsonl.gz --bundle BUNDLE [--url URL] [--runs 5] [--share 0.05]

Each run has an alias and a cache of its own: the whole catalogue, then the same with a share of the titles changed (two
words change places with those of another product), then with a share of the prices changed, then unchanged.
"""

import argparse
import os
import random
import statistics
import tempfile
from pathlib import Path
from typing import Any

import orjson

from figures import machine, rows, tell
from shelfwise import Bundle, connect
from shelfwise_indexer import index
from shelfwise_indexer.ingest import Indexed

Record = dict[str, Any]


def other_texts(records: list[Record], share: float, seed: int) -> list[Record]:
    draw = random.Random(seed)  # noqa: S311
    after = [dict(record) for record in records]
    for place in draw.sample(range(len(after)), round(share * len(after))):
        words = str(after[place].get("title") or "").split()
        given = str(draw.choice(records).get("title") or "").split()
        after[place]["title"] = " ".join([*given[:2], *words[2:]]) or "product"
    return after


def other_prices(records: list[Record], share: float, seed: int) -> list[Record]:
    draw = random.Random(seed)  # noqa: S311
    after = [dict(record) for record in records]
    for place in draw.sample(range(len(after)), round(share * len(after))):
        after[place]["price"] = round(draw.uniform(1, 1000), 2)
    return after


def nights(catalogue: Path, share: float, seed: int) -> dict[str, bytes]:
    """The catalogues of the runs, as files hold them: a run of its own would not share its memory with their records.

    Python's collector of garbage looks at every dictionary there is, whoever made it.
    """
    records = list(rows(catalogue))
    texts = other_texts(records, share, seed)
    prices = other_prices(texts, share, seed)
    after = {"whole": records, "texts": texts, "prices": prices}
    lines = {name: b"".join(orjson.dumps(record) + b"\n" for record in now) for name, now in after.items()}
    return lines | {"nothing": lines["prices"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogue", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--alias", default="shelfwise-again")
    parser.add_argument("--url")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    client = connect(options.url)
    done: dict[str, list[Indexed]] = {}
    for run in range(options.runs):
        with tempfile.TemporaryDirectory() as scratch:
            os.environ["XDG_CACHE_HOME"] = scratch
            for name, content in nights(options.catalogue, options.share, run).items():
                catalogue = Path(scratch, "catalogue.jsonl")
                catalogue.write_bytes(content)
                bundle = Bundle.load(options.bundle)  # its model is not loaded yet, as in a run of its own
                letters = Path(scratch, "rejected.jsonl")
                done.setdefault(name, []).append(
                    index(catalogue, bundle, options.alias, client=client, dead_letters=letters)
                )
            client.indices.delete(index=",".join(client.indices.get(index=f"{options.alias}-*")))
    whole = statistics.median(one.seconds for one in done["whole"])
    figures = {
        "benchmark": "again",
        "catalogue": options.catalogue.parent.name,
        "products": done["whole"][0].read,
        "share_changed": options.share,
        "runs": options.runs,
        "machine": machine(),
        "bundle": Bundle.load(options.bundle).version,
        "server": client.info()["version"]["number"],
        "after": {
            name: {
                "seconds": round(statistics.median(one.seconds for one in given), 2),
                "least": round(min(one.seconds for one in given), 2),
                "most": round(max(one.seconds for one in given), 2),
                "of_the_whole": round(statistics.median(one.seconds for one in given) / whole, 4),
                "written": given[0].written,
                "rejected": given[0].rejected,
            }
            for name, given in done.items()
        },
    }
    tell(figures, options.out)


if __name__ == "__main__":
    main()
