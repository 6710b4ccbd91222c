"""What a catalogue of 100 M products needs, from what was measured at the largest size and the server's documentation.

The memory of vectors is Elastic's own estimate ("Tune approximate kNN search", section "Ensure data nodes have enough
memory"): n * (dimension + 4) bytes for int8, n * (dimension / 2 + 4) for int4, n * (dimension / 8 + 14) for bbq, and
n * 4 * m for the graph. Shards are of 10 to 50 GB with less than 200 M documents each ("Size your shards").
"""

import math
from collections.abc import Mapping
from typing import Any

PRODUCTS = 100_000_000
LINKS = 16  # m of the graph, as in mappings/products.json
SHARD_BYTES = 30e9  # in the middle of what Elastic advises
SHARD_DOCUMENTS = 200_000_000
GB = 1e9


def needs(figures: Mapping[str, Any], products: int = PRODUCTS) -> dict[str, str]:
    """Name to amount, for one copy of the index; times grow with the number of products."""
    largest = max(figures["sizes"], key=lambda one: int(one["products"]))
    times, dimension = products / largest["products"], figures["dimension"]
    disk = largest["index_bytes"] * times
    amounts = {
        f"memory for vectors, {kind}": f"{(vectors_bytes(products, dimension, kind)) / GB:,.0f} GB"
        for kind in ("int8_hnsw", "int4_hnsw", "bbq_hnsw")
    }
    amounts["index on disk"] = f"{disk / GB:,.0f} GB"
    amounts["shards"] = str(max(math.ceil(disk / SHARD_BYTES), math.ceil(products / SHARD_DOCUMENTS)))
    for stage, seconds in largest["stages"].items():
        amounts[f"{stage}, on this machine"] = f"{seconds * times / 3600:,.1f} h"
    return amounts


def vectors_bytes(products: int, dimension: int, kind: str) -> float:
    """What should be in the file cache for fast kNN searches: the quantised vectors and the graph."""
    a_vector = {"int8_hnsw": dimension + 4, "int4_hnsw": dimension / 2 + 4, "bbq_hnsw": dimension / 8 + 14}[kind]
    return products * (a_vector + 4 * LINKS)


def markdown(amounts: Mapping[str, str]) -> str:
    """A row an amount."""
    rows = [
        f"{PRODUCTS:,} products | one copy",
        "---|---:",
        *(f"{name} | {amount}" for name, amount in amounts.items()),
    ]
    return "\n".join(f"| {row} |" for row in rows)
