"""A shop of forty products and three categories, whose vectors are made by hand, and what its index holds."""

from pathlib import Path

import numpy as np
import orjson

from hand_bundle import write_hand_bundle
from shelfwise import Bundle
from shelfwise.live_index import live
from shelfwise_indexer import bulk

WORDS = {"kettle": [1, 0, 0], "steel": [0.9, 0.1, 0], "glass": [0.8, 0, 0.3], "mug": [0, 1, 0], "tent": [0, 0, 1]}
LEAVES = [("Home", "Kettles"), ("Home", "Mugs"), ("Sports", "Tents")]


def small_bundle(folder: Path) -> Bundle:
    return write_hand_bundle(folder, WORDS, LEAVES, threshold=0.5)


def products(count: int = 40) -> list[dict[str, object]]:
    kinds = list(WORDS)
    return [
        {"id": f"p{n:03}", "title": f"{kinds[n % 5]} {kinds[n // 5 % 5]} no {n}", "price": n, "color": "red", "size": n}
        for n in range(count)
    ]


def write(path: Path, records, *more: bytes) -> Path:
    """A catalogue, a line each; `more` as they are."""
    path.write_bytes(b"".join(line + b"\n" for line in (*map(orjson.dumps, records), *more)))
    return path


def held(client, alias) -> dict[str, dict[str, object]]:
    """All documents, with their vectors, without what two runs cannot have in common."""
    client.indices.refresh(index=alias)
    name = live(client, alias).name
    found = bulk.enrichments(client, name, list(bulk.ids(client, name)))
    for document in found.values():
        document["shelfwise"].pop("enriched_at")
        document["shelfwise"]["vector"] = np.round(document["shelfwise"]["vector"], 5).tolist()
    return found
