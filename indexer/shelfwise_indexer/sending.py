"""Sending: what is in a spool becomes an index that was checked."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from elasticsearch import Elasticsearch
from tqdm import tqdm

from shelfwise.errors import ServerError
from shelfwise.server import one_line, takes_packed_vectors
from shelfwise_indexer import bulk
from shelfwise_indexer.delta import Delta
from shelfwise_indexer.id_hashes import IdHashes
from shelfwise_indexer.pipeline import ahead
from shelfwise_indexer.similar_lists import SimilarLists
from shelfwise_indexer.spool import Entry, Spool

TOGETHER = 1024  # documents that are sent together where of each segment only a few have changed


@dataclass(frozen=True, slots=True)
class Part:
    """What there is to send of some segments; `refused` of it was already."""

    numbers: Sequence[int]
    products: int
    documents: Sequence[Mapping[str, Any]]
    refused: Mapping[str, str]


@dataclass(slots=True)
class _Gathered:
    """Segments that make a part: of each what is to be rewritten in the index, and what is to be sent whole."""

    numbers: list[int] = field(default_factory=list)
    products: int = 0
    rewritten: list["_Place"] = field(default_factory=list)
    whole: list["_Place"] = field(default_factory=list)

    def add(self, number: int, start: int, products: int, entries: Iterable[tuple[int, Entry]], anew: bool) -> None:
        """
        :param entries: what is to be sent, by its row.
        :param anew: into a new index, so that all is sent whole.
        """
        self.numbers.append(number)
        self.products += products
        for row, entry in entries:
            kind = self.rewritten if entry.carried and not anew else self.whole
            kind.append(_Place(entry, number, row, start + row))

    def __len__(self) -> int:
        return len(self.rewritten) + len(self.whole)


@dataclass(frozen=True, slots=True)
class _Place:
    """An entry, the row of its segment that it is, and of all products."""

    entry: Entry
    segment: int
    row: int
    product: int


def send(
    server: Elasticsearch, name: str, spool: Spool, similar: SimilarLists, changes: Delta | None
) -> dict[str, str]:
    """Send what was not sent yet; the refused ids of all segments, each with the server's reason.

    While the server takes in a part, the next is read and put together.
    """
    with (
        tqdm(desc="index", total=len(similar.ids), unit="product", file=sys.stderr) as bar,
        ahead(lambda: parts(server, name, spool, similar, changes)) as waiting,
    ):
        for part in waiting:
            spool.mark_refused(name, {**part.refused, **bulk.send(server, name, part.documents)})
            spool.mark_sent(name, part.numbers)
            bar.update(part.products)
    all_refused = spool.refused(name)
    if changes is not None and changes.kept is None:
        bulk.delete(server, name, [*changes.gone, *all_refused])
    return all_refused


def parts(
    server: Elasticsearch, name: str, spool: Spool, similar: SimilarLists, changes: Delta | None
) -> Iterator[Part]:
    """What there is to send of the segments that were not sent yet, a whole segment at a time, or of as many as have
    TOGETHER changed products; what keeps its vector is rewritten on the way.
    """
    if changes is not None and not changes.written:
        return  # nor is there a reason to read the spool
    done, start, packs, anew = spool.sent(name), 0, takes_packed_vectors(server), changes is None
    gathered = _Gathered()
    for number in range(spool.segments()):
        count, entries = spool.everything(number) if anew else spool.changed(number)
        if number not in done:
            gathered.add(number, start, count, entries, anew)
            if anew or len(gathered) >= TOGETHER:
                yield _part(server, name, spool, similar, gathered, packs)
                gathered = _Gathered()
        start += count
    if gathered.numbers:
        yield _part(server, name, spool, similar, gathered, packs)


def _part(
    server: Elasticsearch, name: str, spool: Spool, similar: SimilarLists, gathered: _Gathered, packs: bool
) -> Part:
    refused, missing = bulk.rewrite(server, name, [one.entry.document for one in gathered.rewritten])
    # Missing: deleted from the live index meanwhile.
    whole = [*gathered.whole, *(one for one in gathered.rewritten if one.entry.document["id"] in missing)]
    vectors = {number: spool.vectors(number) for number in {one.segment for one in whole}}
    lists = similar.at(np.array([one.product for one in whole], dtype=np.int64))
    documents = []
    for one, its in zip(whole, lists, strict=True):
        row = vectors[one.segment][one.row]
        own = {"vector": bulk.packed(row) if packs else row.tolist(), "similar": its}
        documents.append(one.entry.document | {"shelfwise": one.entry.document["shelfwise"] | own})
    return Part(gathered.numbers, gathered.products, documents, refused)


def complete(
    server: Elasticsearch, name: str, spool: Spool, similar: SimilarLists, expected: int, refused: Mapping[str, str]
) -> None:
    """Send whole what a clone lacks of a spool: deleted from the live index after it was read there as unchanged.

    :param expected: products; where the index has so many, it is not asked which.
    """
    if _count(server, name) == expected:
        return
    there = IdHashes.of(chain(bulk.ids(server, name), refused))
    start, packs = 0, takes_packed_vectors(server)
    for number in range(spool.segments()):
        count, entries = spool.everything(number)
        gathered = _Gathered()
        by_id = {entry.document["id"]: (row, entry) for row, entry in entries}
        lacking = [by_id[id_] for id_ in there.lacks(by_id)]
        gathered.add(number, start, count, lacking, anew=True)
        bulk.send(server, name, _part(server, name, spool, similar, gathered, packs).documents)
        start += count
    with one_line(f"refreshing index {name}"):
        server.indices.refresh(index=name)


def _count(server: Elasticsearch, name: str) -> int:
    with one_line(f"counting index {name}"):
        return int(server.count(index=name)["count"])


def check(server: Elasticsearch, name: str, spool: Spool, expected: int, refused: Mapping[str, str]) -> None:
    """Before the swap: every product is there, and a sample is found by its vector and by its id.

    :raises ServerError: it is not so; the index is left for another run to go on with.
    """
    count = _count(server, name)
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
