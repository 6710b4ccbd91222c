"""How often what a person bought next is among ten recommendations, through the real server.

    python benchmarks/next_item.py --office FOLDER --bundle BUNDLE [--url URL] [--folds 5] [--out FILE]

The items are indexed with the bundle; then it is `shelfwise evaluate recommend` on the histories with what came next at
their end, for all people. What the same people went on to is learnt from the people of the other folds only, with their
next purchases, as a shop's own log would have them.
"""

import argparse
import json
import tempfile
from pathlib import Path

from figures import machine, rows, tell
from shelfwise import Bundle, connect
from shelfwise_indexer import index
from shelfwise_indexer.next_item import measure


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
        dead_letters, events = Path(folder) / "dead-letters.jsonl", Path(folder) / "events.jsonl"
        done = index(given.office / "items.jsonl.gz", bundle, given.alias, given.url, dead_letters=dead_letters)
        histories = ({"user": person["user"], "history": [*person["history"], person["next"]]} for person in people)
        events.write_text("".join(json.dumps(history) + "\n" for history in histories))
        measured = measure(client, events, given.alias, bundle, folds=given.folds, sample=len(people))
    tell(
        {
            "benchmark": "next_item",
            "machine": machine(),
            "bundle": bundle.version,
            "indexed": done.indexed,
            "folds": given.folds,
        }
        | measured.to_json(),
        given.out,
    )


if __name__ == "__main__":
    main()
