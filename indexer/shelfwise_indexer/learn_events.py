"""Learning from events: an event log and the products behind an alias become that alias's event model."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
from elasticsearch import Elasticsearch
from scipy import sparse

from shelfwise import event_model
from shelfwise.errors import ServerError
from shelfwise.history import KIND_WEIGHTS, Event, in_order
from shelfwise.live_index import live
from shelfwise.messages import first_of, tell
from shelfwise.server import connect
from shelfwise_indexer import bulk, neighbours
from shelfwise_indexer.catalogue import CatalogueError, file_hash
from shelfwise_indexer.cooccurrence import Cooccurrence, cooccurrence
from shelfwise_indexer.event_log import Log
from shelfwise_indexer.events import read_histories
from shelfwise_indexer.item_weights import Content

LOOK_ALIKES = 100  # nearest products of each
SENT_TOGETHER = 4096  # documents of the model, of up to 44 kB each while they are sent
KINDS = (np.int64, np.int64, np.float64, np.float32, np.bool_, np.bool_)
ROW = np.dtype(list(zip(Log.__slots__, KINDS, strict=True)))  # an event of a `Log`


@dataclass(frozen=True, slots=True)
class Learning:
    """What a run learnt: read = used + repeated + rejected, in lines."""

    read: int
    used: int
    repeated: int
    """Lines that tell once more what was told."""
    rejected: int
    users: int
    events: int
    unknown_events: int
    """Events of products that the index does not have; they teach nothing."""
    unknown_products: int
    products: int
    """Products that the model says something of."""
    index: str

    def to_json(self) -> dict[str, Any]:
        """What `shelfwise events learn` prints."""
        return asdict(self)


def learn(events: str | os.PathLike[str], alias: str, url: str | None = None) -> Learning:
    """Learn the event model of an alias from an event log, whole, and let recommendations read it.

    What was learnt before is replaced, in one step. Rejected lines and unknown products are said on stderr.

    :raises CatalogueError: the log cannot be read, or not one of its events is of a product behind the alias; the
        model before stays.
    :raises UsageError, IncompatibleIndex, ServerError: there is no such alias, or the server did not take it.
    """
    with closing(connect(url)) as server:
        index = live(server, alias)
        ids, vectors = bulk.vectors(server, index.name)
        number = {id_: place for place, id_ in enumerate(ids)}
        told = read_histories(events)
        histories = list(told.by_user.values())
        log, unknown = log_of(histories, number)
        say_unknown(events, unknown, index.name)
        if not len(log.users):
            raise CatalogueError(
                f"{os.fspath(events)}: no event of a product behind alias {alias} ({told.read} lines read, "
                f"{told.rejected} rejected): expected JSON lines such as "
                '{"user": "u7", "product": "KT-7", "kind": "purchase"}'
            )
        source = "-" if os.fspath(events) == "-" else file_hash(events)
        name, products = teach(server, alias, ids, log, content_of(vectors), source)
    return Learning(
        read=told.read,
        used=told.read - told.repeated - told.rejected,
        repeated=told.repeated,
        rejected=told.rejected,
        users=len(histories),
        events=sum(map(len, histories)),
        unknown_events=unknown.total(),
        unknown_products=len(unknown),
        products=products,
        index=name,
    )


def teach(
    server: Elasticsearch, alias: str, ids: Sequence[str], log: Log, content: Content, source: str
) -> tuple[str, int]:
    """Make what a log teaches the event model of an alias; its index, and how many products it says something of.

    :param ids: of the products that the log names by their places.
    :param content: of the same products, as `content_of` gives it.
    :param source: sha256 of the event log, kept in the model.
    :raises ServerError: the server did not answer, or refused a document; the model before stays.
    """
    documents = _documents(ids, cooccurrence(log, content))
    name = event_model.create(server, alias, source)
    sent = 0
    while some := list(islice(documents, SENT_TOGETHER)):
        if refused := bulk.send(server, name, some):
            such = next(iter(refused.items()))
            raise ServerError(f"index {name}: {len(refused)} documents were refused, such as {such}")
        sent += len(some)
    event_model.publish(server, alias, name)
    return name, sent


def say_unknown(events: str | os.PathLike[str], unknown: Counter[str], index: str) -> None:
    """Which products of a log an index does not have, on stderr."""
    complaints = (
        f"{os.fspath(events)}: product {id_} is not in index {index}: {count} events of it teach nothing"
        for id_, count in unknown.items()
    )
    for line in first_of(complaints, len(unknown), f"products that are not in index {index}"):
        tell(line)


def log_of(histories: Sequence[Sequence[Event]], number: dict[str, int]) -> tuple[Log, Counter[str]]:
    """The events of known products, oldest first within each user, and how many there are of each unknown one."""
    unknown: Counter[str] = Counter()
    rows = np.fromiter(_rows(histories, number, unknown), dtype=ROW)
    return Log(*(np.ascontiguousarray(rows[name]) for name in Log.__slots__)), unknown


def _rows(
    histories: Sequence[Sequence[Event]], number: dict[str, int], unknown: Counter[str]
) -> Iterator[tuple[int, int, float, float, bool, bool]]:
    """A `ROW` for each event of a known product; the others are counted."""
    for user, history in enumerate(histories):
        for event in in_order(history):
            if event.product not in number:
                unknown[event.product] += 1
                continue
            weight = KIND_WEIGHTS[event.kind or "purchase"] / KIND_WEIGHTS["purchase"] * event.weight
            time = np.nan if event.time is None else event.time
            yield user, number[event.product], time, weight, event.kind != "view", event.bought


def content_of(vectors: neighbours.Vectors) -> Content:
    """Products and the nearest of each; one without a vector (a row of zeros) is near to none."""
    there = np.flatnonzero(vectors.any(axis=1))
    n = len(vectors)
    ids = np.full((n, LOOK_ALIKES), neighbours.NONE, dtype=np.int64)
    cosines = np.zeros((n, LOOK_ALIKES), dtype=np.float32)
    if len(there) > 1:
        near = neighbours.nearest(vectors[there], LOOK_ALIKES)
        ids[there] = np.where(near.ids[:] == neighbours.NONE, neighbours.NONE, there[near.ids[:]])
        cosines[there] = near.scores[:]
    return Content(vectors, ids, cosines)


def _documents(ids: Sequence[str], learnt: Cooccurrence) -> Iterator[dict[str, Any]]:
    """A document for each product that anything was learnt of."""
    for place, id_ in enumerate(ids):
        also, together = _near(ids, learnt.also, place), _near(ids, learnt.together, place)
        if learnt.users[place] or also or together:
            yield {
                "id": id_,
                "users": int(learnt.users[place]),
                "again": round(float(learnt.again[place]), 4),
                "also": also,
                "together": together,
            }


def _near(ids: Sequence[str], scores: sparse.csr_array, place: int) -> list[dict[str, Any]]:
    part = slice(scores.indptr[place], scores.indptr[place + 1])
    pairs = sorted(
        zip(scores.data[part].tolist(), scores.indices[part].tolist(), strict=True), key=lambda p: (-p[0], p[1])
    )
    return [{"id": ids[other], "score": float(f"{score:.4g}")} for score, other in pairs if 0 < score < np.inf]
