"""Sending: what is in a spool becomes an index that was checked."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from elasticsearch import Elasticsearch
from tqdm import tqdm

from shelfwise.errors import ServerError
from shelfwise.server import takes_packed_vectors
from shelfwise_indexer import bulk
from shelfwise_indexer.delta import Delta
from shelfwise_indexer.pipeline import ahead
from shelfwise_indexer.similar_lists import SimilarLists
from shelfwise_indexer.spool import Entry, Spool


@dataclass(frozen=True, slots=True)
class Part:
    """What there is to send of a segment; `refused` of it was already."""

    number: int
    products: int
    documents: Sequence[Mapping[str, Any]]
    refused: Mapping[str, str]


def send(
    server: Elasticsearch, name: str, spool: Spool, similar: SimilarLists, changes: Delta | None
) -> dict[str, str]:
    """Send what was not sent yet; the refused ids of all segments, each with the server's reason.

    While the server takes in a segment, the next is read and put together.
    """
    with (
        tqdm(desc="index", total=len(similar.ids), unit="product", file=sys.stderr) as bar,
        ahead(lambda: parts(server, name, spool, similar, changes)) as waiting,
    ):
        for part in waiting:
            spool.mark_refused(name, {**part.refused, **bulk.send(server, name, part.documents)})
            spool.mark_sent(name, part.number)
            bar.update(part.products)
    all_refused = spool.refused(name)
    if changes is not None:
        bulk.delete(server, name, [*changes.gone, *all_refused])
    return all_refused


def parts(
    server: Elasticsearch, name: str, spool: Spool, similar: SimilarLists, changes: Delta | None
) -> Iterator[Part]:
    """Of each segment that was not sent yet, what there is to send; what keeps its vector is rewritten on the way."""
    if changes is not None and not changes.written:
        return  # nor is there a reason to read the spool
    done, start, packs = spool.sent(name), 0, takes_packed_vectors(server)
    for number, entries in spool:
        if number not in done:
            refused, places = ({}, range(len(entries))) if changes is None else _rewrite(server, name, entries)
            vectors, lists = spool.vectors(number), similar.at(np.array(places, dtype=np.int64) + start)
            documents = []
            for place, its in zip(places, lists, strict=True):
                vector = bulk.packed(vectors[place]) if packs else vectors[place].tolist()
                own = entries[place].document["shelfwise"] | {"vector": vector, "similar": its}
                documents.append(entries[place].document | {"shelfwise": own})
            yield Part(number, len(entries), documents, refused)
        start += len(entries)


def check(server: Elasticsearch, name: str, spool: Spool, expected: int, refused: Mapping[str, str]) -> None:
    """Before the swap: every product is there, and a sample is found by its vector and by its id.

    :raises ServerError: it is not so; the index is left for another run to go on with.
    """
    count = int(server.count(index=name)["count"])
    if count != expected:
        raise ServerError(
            f"index {name} holds {count} products, expected {expected}: the alias was not moved; run the same again, "
            f"or delete {name} and start over"
        )
    number = spool.segments() // 2
    entries, vectors = spool.entries(number), spool.vectors(number)
    for place in np.linspace(0, len(entries) - 1, num=min(10, len(entries)), dtype=int):
        id_ = entries[place].document["id"]
        if id_ not in refused and not bulk.found_by_vector(server, name, id_, vectors[place]):
            raise ServerError(
                f"index {name}: product {id_} is not found by its own vector: the alias was not moved; "
                f"delete {name} and run again"
            )


def _rewrite(server: Elasticsearch, name: str, entries: Sequence[Entry]) -> tuple[dict[str, str], Sequence[int]]:
    """Rewrite what was carried over and changed; what was refused, and the places of what is to be sent whole."""
    rewritten = [entry.document for entry in entries if entry.carried and not entry.same]
    refused, missing = bulk.rewrite(server, name, rewritten)  # missing: deleted from the live index meanwhile
    places = [n for n, entry in enumerate(entries) if not entry.carried or entry.document["id"] in missing]
    return refused, places
