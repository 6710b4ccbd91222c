"""Bulk: how many documents reach the server, and how what is there comes back. Only `ingest` calls it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from elasticsearch import Elasticsearch
from elasticsearch.helpers import scan, streaming_bulk

from shelfwise.errors import ServerError
from shelfwise.query import VECTOR, exact, semantic
from shelfwise.server import one_line, reason_of

CHUNK_DOCUMENTS = 500
CHUNK_BYTES = 8 << 20
RETRIES = 6  # of a document that the server was too busy for (429); waits 1, 2, 4 … seconds
BUSY = 429
PAGE = 1000
SELF_AMONG = 10  # identical texts have identical vectors: a product need not be the first to be found by its own


def send(client: Elasticsearch, index: str, documents: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Write documents under their ids.

    :returns: the ids that the server refused for good, each with its reason.
    :raises ServerError: the server cannot be reached, or stayed too busy; what was written stays, send it again.
    """
    actions = ({"_index": index, "_id": document["id"], "_source": document} for document in documents)
    refused: dict[str, str] = {}
    with one_line(f"filling index {index} (run the same command again to go on)"):
        for accepted, item in streaming_bulk(
            client.options(request_timeout=120),
            actions,
            chunk_size=CHUNK_DOCUMENTS,
            max_chunk_bytes=CHUNK_BYTES,
            max_retries=RETRIES,
            initial_backoff=1,
            max_backoff=30,
            # Without it 429 is not retried; see the docstring of streaming_bulk.
            raise_on_error=False,
        ):
            if accepted:
                continue
            [answer] = item.values()
            if answer["status"] == BUSY or answer["status"] >= 500:
                raise ServerError(
                    f"filling index {index}: the server is too busy ({reason_of(answer)}): "
                    "run the same command again to go on"
                )
            refused[answer["_id"]] = reason_of(answer)
    return refused


def enrichments(client: Elasticsearch, index: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What an index holds of these products, by id: the documents, their `shelfwise` with its vector where it has one.

    Products that are not there are left out.
    """
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(ids), PAGE):
        page = list(ids[start : start + PAGE])
        with one_line(f"reading {len(page)} products of index {index}"):
            answer = client.search(
                index=index,
                size=len(page),
                query={"ids": {"values": page}},
                # No source_includes: beside excludes they keep 9.x from giving the vector as a field.
                source_excludes=[VECTOR, "shelfwise.similar"],
                fields=[{"field": VECTOR}],  # a vector comes as a field on 8.x and 9.x alike
                track_total_hits=False,
            )
        for hit in answer["hits"]["hits"]:
            found[hit["_id"]] = hit["_source"]
            enrichment = hit["_source"].setdefault("shelfwise", {})
            if vector := hit.get("fields", {}).get(VECTOR):
                enrichment["vector"] = np.asarray(vector, dtype=np.float32)
    return found


def vectors(client: Elasticsearch, index: str) -> tuple[list[str], npt.NDArray[np.float32]]:
    """The ids of all products of an index, sorted, and their vectors, float32 [n, dimension]; without one, zeros."""
    found: dict[str, list[float]] = {}
    with one_line(f"reading the vectors of index {index}"):
        query = {"query": {"match_all": {}}, "_source": False, "fields": [VECTOR]}
        for hit in scan(client, index=index, query=query, size=PAGE):
            found[hit["_id"]] = hit.get("fields", {}).get(VECTOR, [])
    dimension = max((len(vector) for vector in found.values()), default=0)
    ids = sorted(found)
    held = np.zeros((len(ids), dimension), dtype=np.float32)
    for place, id_ in enumerate(ids):
        if found[id_]:
            held[place] = found[id_]
    return ids, held


def found_by_vector(client: Elasticsearch, index: str, id_: str, vector: npt.NDArray[np.float32]) -> bool:
    """Whether a product comes among the first when its own vector is searched, or ties with those that do."""
    with one_line(f"checking index {index}"):
        near = client.search(index=index, **semantic(vector.tolist(), SELF_AMONG))["hits"]["hits"]
        if any(hit["_id"] == id_ for hit in near):
            return True
        own = client.search(index=index, **exact(vector.tolist(), 1, [{"ids": {"values": [id_]}}]))["hits"]["hits"]
    return bool(own and near) and own[0]["_score"] >= near[-1]["_score"] - 1e-4
