"""Bulk: how many documents reach the server, and how what is there comes back."""

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from elasticsearch import Elasticsearch
from elasticsearch.helpers import ScanError, scan

from shelfwise.errors import ServerError
from shelfwise.query import VECTOR, brute_force, semantic
from shelfwise.server import one_line, reason_of
from shelfwise.source import OWN, OWN_DOTTED
from shelfwise_indexer.bulk_request import refusals

Item = TypeVar("Item")
Result = TypeVar("Result")

IN_FLIGHT = 4  # requests: on two cores with the server a sixth faster than two
NOT_THERE, CONFLICT = 404, 409
PAGE = 1000
IDS_PAGE = 10_000
TIE = 1e-3  # of a score: what two vectors whose squared lengths the server takes for 1 (within 1e-3) can differ by
SELF_AMONG = 10  # identical texts have identical vectors: a product need not be the first to be found by its own

# The same text for every document, so that the server compiles it once.
REWRITE = (
    "def own = ctx._source.remove('shelfwise'); if (own == null) { own = [:] } "
    "ctx._source.clear(); ctx._source.putAll(params.shop); own.putAll(params.shelfwise); ctx._source.shelfwise = own"
)


def send(client: Elasticsearch, index: str, documents: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Write documents under their ids.

    :returns: the ids that the server refused for good, each with its reason.
    :raises ServerError: the server cannot be reached, or stayed too busy; what was written stays, send it again.
    """

    def send_part(part: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        actions = ({"_index": index, "_id": document["id"], "_source": document} for document in part)
        return {answer["_id"]: reason_of(answer) for answer in refusals(client, f"filling index {index}", actions)}

    return {id_: reason for part in _in_parts(send_part, documents) for id_, reason in part.items()}


def _in_parts(work: Callable[[Sequence[Item]], Result], items: Sequence[Item]) -> list[Result]:
    """Some at once: the server writes requests while others are put together; nothing where there are no items."""
    if not items:
        return []
    size = -(-len(items) // IN_FLIGHT)
    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        return list(threads.map(work, (items[start : start + size] for start in range(0, len(items), size))))


def packed(vector: npt.NDArray[np.float32]) -> str:
    """A vector as the server takes it from 9.3 on: base64 of big-endian float32."""
    return b64encode(vector.astype(">f4").tobytes()).decode()


@dataclass(frozen=True, slots=True)
class Update:
    """Fields of one document to change, if it still is as it was read."""

    id: str
    seq_no: int
    primary_term: int
    fields: Mapping[str, Any]


def update(client: Elasticsearch, index: str, updates: Sequence[Update]) -> int:
    """Change fields of documents, and say how many were not because somebody wrote them meanwhile.

    A document that was deleted meanwhile is passed over.

    :raises ServerError: the server cannot be reached, stayed too busy, or refused a document.
    """
    actions = (
        {
            "_op_type": "update",
            "_index": index,
            "_id": one.id,
            "if_seq_no": one.seq_no,
            "if_primary_term": one.primary_term,
            "doc": one.fields,
        }
        for one in updates
    )
    conflicts = 0
    for answer in refusals(client, f"updating index {index}", actions):
        if answer["status"] not in (CONFLICT, NOT_THERE):
            raise ServerError(f"updating index {index}: product {answer['_id']}: {reason_of(answer)}")
        conflicts += answer["status"] == CONFLICT
    return conflicts


def rewrite(
    client: Elasticsearch,
    index: str,
    documents: Sequence[Mapping[str, Any]],
    as_read: Mapping[str, tuple[int, int]] | None = None,
) -> tuple[dict[str, str], set[str]]:
    """Replace the shop's fields of documents, and of their `shelfwise` those that are given; vectors stay.

    :param as_read: sequence number and primary term of each: what somebody wrote since is passed over.
    :returns: the ids that the server refused for good, each with its reason, and those that it does not have.
    :raises ServerError: as `send`.
    """

    def unless_written(id_: str) -> dict[str, int]:
        return {} if as_read is None else dict(zip(("if_seq_no", "if_primary_term"), as_read[id_], strict=True))

    def rewrite_part(part: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        actions = (
            {
                "_op_type": "update",
                "_index": index,
                "_id": document["id"],
                **unless_written(document["id"]),
                "script": {
                    "lang": "painless",
                    "source": REWRITE,
                    "params": {
                        "shop": of_shop(document),
                        "shelfwise": document["shelfwise"],
                    },
                },
            }
            for document in part
        )
        return list(refusals(client, f"updating index {index}", actions))

    answers = [
        answer
        for part in _in_parts(rewrite_part, documents)
        for answer in part
        if as_read is None or answer["status"] != CONFLICT
    ]
    missing = {answer["_id"] for answer in answers if answer["status"] == NOT_THERE}
    return {answer["_id"]: reason_of(answer) for answer in answers if answer["_id"] not in missing}, missing


def of_shop(document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a document that are the shop's own."""
    return {name: value for name, value in document.items() if name != OWN and not name.startswith(OWN_DOTTED)}


def delete(client: Elasticsearch, index: str, ids: Sequence[str]) -> None:
    """Delete products; those that are not there are passed over.

    :raises ServerError: as `send`.
    """
    actions = ({"_op_type": "delete", "_index": index, "_id": id_} for id_ in ids)
    for answer in refusals(client, f"deleting from index {index}", actions):
        if answer["status"] != NOT_THERE:
            raise ServerError(f"deleting from index {index}: product {answer['_id']}: {reason_of(answer)}")


def ids(client: Elasticsearch, index: str, query: Mapping[str, Any] | None = None) -> Iterator[str]:
    """The ids of all products of an index, or of those that a query finds."""
    body = {"query": query or {"match_all": {}}, "_source": False}
    for hit in scanned(client, index, f"reading the ids of index {index}", body, IDS_PAGE):
        yield hit["_id"]


def scanned(
    client: Elasticsearch,
    index: str,
    doing: str,
    query: Mapping[str, Any],
    size: int = PAGE,
    preference: str | None = None,
) -> Iterator[dict[str, Any]]:
    """All hits of a query, in no order.

    :param preference: the shards or copies to ask, as the server has it.
    :raises ServerError: the server did not answer, or a part of the index did not.
    """
    with one_line(doing):
        try:
            yield from scan(client, index=index, query=dict(query), size=size, preference=preference)
        except ScanError as error:
            raise ServerError(
                f"{doing}: a part of the index did not answer: see to the server, then try again"
            ) from error


def enrichments(
    client: Elasticsearch, index: str, ids: Sequence[str], vectors: bool = True
) -> dict[str, dict[str, Any]]:
    """What an index holds of these products, by id: the documents, their `shelfwise` with its vector where it has one.

    Products that are not there are left out.

    :param vectors: whether vectors are wanted; most of the time goes into them.
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
                fields=[{"field": VECTOR}] if vectors else None,  # comes as a field on 8.x and 9.x alike
                track_total_hits=False,
                allow_partial_search_results=False,  # a product that is not found counts as new
            )
        for hit in answer["hits"]["hits"]:
            found[hit["_id"]] = hit["_source"]
            enrichment = hit["_source"].setdefault("shelfwise", {})
            if vector := hit.get("fields", {}).get(VECTOR):
                enrichment["vector"] = np.asarray(vector, dtype=np.float32)
    return found


def vectors(client: Elasticsearch, index: str) -> tuple[list[str], npt.NDArray[np.float32]]:
    """The ids of all products of an index, sorted, and their vectors, float32 [n, dimension]; without one, zeros."""
    found: dict[str, npt.NDArray[np.float32]] = {}
    query = {"query": {"match_all": {}}, "_source": False, "fields": [VECTOR]}
    for hit in scanned(client, index, f"reading the vectors of index {index}", query):
        found[hit["_id"]] = np.asarray(hit.get("fields", {}).get(VECTOR, []), dtype=np.float32)
    dimension = max((len(vector) for vector in found.values()), default=0)
    ids = sorted(found)
    held = np.zeros((len(ids), dimension), dtype=np.float32)
    for place, id_ in enumerate(ids):
        if len(found[id_]):
            held[place] = found[id_]
    return ids, held


def found_by_vector(client: Elasticsearch, index: str, id_: str, vector: npt.NDArray[np.float32]) -> bool:
    """Whether a product comes among the first when its own vector is searched, or ties with those that do.

    Products of one direction need not tie exactly: in sixteen bits one's vector may be a little longer than another's.
    """
    with one_line(f"checking index {index}"):
        near = client.search(index=index, **semantic(vector.tolist(), SELF_AMONG))["hits"]["hits"]
        if any(hit["_id"] == id_ for hit in near):
            return True
        own = client.search(index=index, **brute_force(vector.tolist(), 1, [{"ids": {"values": [id_]}}]))["hits"][
            "hits"
        ]
    return bool(own and near) and own[0]["_score"] >= near[-1]["_score"] - TIE
