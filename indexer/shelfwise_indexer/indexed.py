"""The indexed catalogue: products with their vectors, read back out of an index."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from elasticsearch import Elasticsearch

from shelfwise.hit import Hit
from shelfwise.query import SHOWN, VECTOR
from shelfwise.recommend_query import vectors_of as vectors_body
from shelfwise.server import one_line

PAGE = 1000  # products of one request
KEEP_ALIVE = "5m"


@dataclass(frozen=True, slots=True)
class IndexedCatalogue:
    """Products and vectors of one index, in the same order, as they were at one moment."""

    hits: tuple[Hit, ...]
    """Score 0."""
    groups: tuple[str, ...]
    """What the variants of one product share."""
    vectors: npt.NDArray[np.float32]
    """float32 [n, dimension], L2-normalised; products without a vector are not in here."""


def read_index(client: Elasticsearch, index: str) -> IndexedCatalogue:
    """All products of an index that have a vector.

    :raises ServerError: the server did not answer.
    """
    hits, groups, vectors = [], [], []
    for found in _found(client, index):
        hits.append(Hit.of(found, 0.0, {}))
        groups.append(str((found["_source"].get("shelfwise") or {}).get("group") or found["_id"]))
        vectors.append(np.array(found["fields"][VECTOR], dtype=np.float32))
    return IndexedCatalogue(tuple(hits), tuple(groups), np.array(vectors, dtype=np.float32))


def count_absent(client: Elasticsearch, index: str, ids: Collection[str]) -> int:
    """How many of these ids an index does not have.

    :raises ServerError: the server did not answer.
    """
    return len(set(ids)) - count_present(client, index, ids)


def count_present(client: Elasticsearch, index: str, ids: Collection[str]) -> int:
    """How many of these ids an index has.

    :raises ServerError: the server did not answer.
    """
    return len(present(client, index, ids))


def present(client: Elasticsearch, index: str, ids: Collection[str]) -> set[str]:
    """Those of these ids that an index has.

    :raises ServerError: the server did not answer.
    """
    found, wanted = set[str](), sorted(set(ids))
    with one_line(f"looking for products in index {index}"):
        for start in range(0, len(wanted), PAGE):
            answer = client.search(
                index=index,
                size=PAGE,
                query={"ids": {"values": wanted[start : start + PAGE]}},
                source=False,
                track_total_hits=False,
                allow_partial_search_results=False,
            )
            found |= {hit["_id"] for hit in answer["hits"]["hits"]}
    return found


def vectors_of(client: Elasticsearch, index: str, ids: Collection[str]) -> dict[str, npt.NDArray[np.float32]]:
    """The vectors of those of these products that an index has and that have one, float32 [dimension] each.

    :raises ServerError: the server did not answer.
    """
    found, wanted = {}, sorted(set(ids))
    with one_line(f"reading vectors of index {index}"):
        for start in range(0, len(wanted), PAGE):
            answer = client.search(index=index, **vectors_body(wanted[start : start + PAGE]))
            for hit in answer["hits"]["hits"]:
                if vector := hit.get("fields", {}).get(VECTOR):
                    found[hit["_id"]] = np.array(vector, dtype=np.float32)
    return found


def _found(client: Elasticsearch, index: str) -> Iterator[dict[str, Any]]:
    with one_line(f"reading index {index}"):
        pit = client.open_point_in_time(index=index, keep_alive=KEEP_ALIVE)["id"]
        try:
            after: list[Any] | None = None
            while True:
                answer = client.search(
                    size=PAGE,
                    source_includes=SHOWN,
                    fields=[{"field": VECTOR}],
                    query={"exists": {"field": VECTOR}},
                    pit={"id": pit, "keep_alive": KEEP_ALIVE},
                    sort=[{"_shard_doc": "asc"}],
                    search_after=after,
                    track_total_hits=False,
                    allow_partial_search_results=False,
                )
                page = answer["hits"]["hits"]
                yield from page
                if len(page) < PAGE:
                    return
                after = page[-1]["sort"]
        finally:
            client.close_point_in_time(id=pit)
