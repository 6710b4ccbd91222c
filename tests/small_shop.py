"""A shop of forty products and three categories, whose vectors are made by hand, and what its index holds."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from hand_bundle import write_hand_bundle
from shelfwise import Bundle
from shelfwise.live_index import live
from shelfwise.query import VECTOR
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


def held(client, alias, lists_of: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
    """All documents, with their vectors and neighbours, without what two runs cannot have in common.

    :param lists_of: products whose neighbours are wanted, where those of the others are of an earlier run; None: all.
    """
    client.indices.refresh(index=alias)
    found = {}
    query = {"_source": {"excludes": [VECTOR]}, "fields": [VECTOR]}
    for hit in bulk.scanned(client, live(client, alias).name, f"reading {alias}", query):
        enrichment = hit["_source"]["shelfwise"]
        enrichment.pop("enriched_at")
        enrichment["vector"] = np.round(hit["fields"][VECTOR], 5).tolist()
        if lists_of is not None and hit["_id"] not in lists_of:
            enrichment.pop("similar")
        found[hit["_id"]] = hit["_source"]
    return found
