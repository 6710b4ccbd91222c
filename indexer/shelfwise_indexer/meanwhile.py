"""Meanwhile: what a shop writes into the live index while the next one is filled goes live with the next one.

A catalogue knows nothing of a price that was written after it was exported. So a run keeps a view of the live index as
it was at its start (a point in time, which the server keeps at the price of some files), and at its end compares: a
field that differs from that view was written meanwhile, and is written again, over what the catalogue says; the other
fields of that product are the catalogue's. Sequence numbers tell which products there are to compare, which are few.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

from elastic_transport import TransportError
from elasticsearch import ApiError, Elasticsearch

from shelfwise.bundle import Bundle
from shelfwise.live_index import LiveIndex
from shelfwise.query import VECTOR
from shelfwise.server import one_line
from shelfwise_indexer import bulk
from shelfwise_indexer.encoding import say
from shelfwise_indexer.enrich import BY_A_PERSON, DECISION

Document = Mapping[str, Any]
KEEP_ALIVE = "1h"
RENEWED_EVERY = 900.0  # seconds
BULKY = [VECTOR, "shelfwise.similar"]
GONE = object()


class Meanwhile:
    """What others write into a live index from when this was made."""

    def __init__(self, server: Elasticsearch, live: LiveIndex, bundle: Bundle, written: Mapping[str, Any]) -> None:
        self._server, self._live, self._start, self._written = server, live.name, written, written
        self._enriched_alike = live.meta.get("bundle") == bundle.version
        self._view = self._look()

    def carry(self, new: str) -> int:
        """Write into another index what was written since the start, or since this was last called.

        A product that was there and that the other index lacks, the catalogue lacks: it is passed over. What was
        deleted since is not deleted there. What the server refuses is said.

        :returns: how many products the other index had otherwise; it is refreshed then.
        :raises ServerError: the server did not answer, or the view is lost, as after a restart of the server.
        """
        written = bulk.written(self._server, self._live)
        if written == self._written:
            return 0
        with one_line(f"refreshing index {self._live}"):
            self._server.indices.refresh(index=self._live)
        before, self._view = self._view, self._look()
        try:
            hits = self._since(self._written)
            count = sum(self._carry(page, before, new) for page in iter(lambda: list(islice(hits, bulk.PAGE)), []))
        finally:
            self._let_go(before)
        self._written = written or self._written
        if count:
            with one_line(f"refreshing index {new}"):
                self._server.indices.refresh(index=new)
        return count

    def untold(self, began: Mapping[str, Any], new: str) -> list[str]:
        """The ids of products that were written since an earlier start and that another index holds otherwise.

        Of a run that was interrupted: which fields were written before this was made nobody knows any more.

        :param began: how far the live index was written then, by `bulk.written`.
        """
        if began == self._start:
            return []
        differing, hits = [], self._since(began)
        for page in iter(lambda: list(islice(hits, bulk.PAGE)), []):
            held = self._held([hit["_id"] for hit in page], new)
            for hit, found in zip(page, held, strict=True):
                if found["found"] and _of_shop(hit["_source"]) != _of_shop(found["_source"]):
                    differing.append(str(hit["_id"]))
        return differing

    def _look(self) -> str:
        with one_line(f"looking at index {self._live}"):
            return str(self._server.open_point_in_time(index=self._live, keep_alive=KEEP_ALIVE)["id"])

    def _since(self, began: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The products that were written after a moment, as they are now; all, if the numbers have begun anew."""
        doing = f"reading what was written into index {self._live} meanwhile"
        now = (bulk.written(self._server, self._live) or began)["shards"]
        for shard, (history, last) in began["shards"].items():
            newer = {"range": {"_seq_no": {"gt": last if now.get(shard, [None])[0] == history else -1}}}
            query = {"query": newer, "_source": {"excludes": BULKY}}
            yield from bulk.scanned(self._server, self._live, doing, query, preference=f"_shards:{shard}")

    def _held(self, ids: Sequence[str], index: str) -> list[dict[str, Any]]:
        with one_line(f"reading {len(ids)} products of index {index}"):
            return list(self._server.mget(index=index, ids=list(ids), source_excludes=BULKY)["docs"])

    def _carry(self, hits: Sequence[Mapping[str, Any]], view: str, new: str) -> int:
        now = {hit["_id"]: hit["_source"] for hit in hits}
        before = self._seen(view, list(now))
        changed, as_read, arrived = [], {}, []
        for found in self._held(list(now), new):
            id_ = found["_id"]
            if not found["found"]:
                arrived += [id_] if id_ not in before else []
            elif (merged := _merged(before.get(id_, {}), now[id_], found["_source"])) is not None:
                changed.append(merged | {"id": id_})
                as_read[id_] = found["_seq_no"], found["_primary_term"]
        refused, _ = bulk.rewrite(self._server, new, changed, as_read)
        refused |= bulk.send(self._server, new, self._arrivals(arrived))
        for id_, reason in refused.items():
            say(f"product {id_}: what was written into {self._live} meanwhile is not in {new}: {reason}")
        return len(changed) + len(arrived) - len(refused)

    def _seen(self, view: str, ids: Sequence[str]) -> dict[str, Document]:
        with one_line(f"looking at index {self._live} as it was (run the same command again)"):
            answer = self._server.search(
                pit={"id": view},
                size=len(ids),
                query={"ids": {"values": list(ids)}},
                source_excludes=BULKY,
                track_total_hits=False,
                allow_partial_search_results=False,
            )
        return {hit["_id"]: hit["_source"] for hit in answer["hits"]["hits"]}

    def _arrivals(self, ids: Sequence[str]) -> list[Document]:
        """Products that came meanwhile; without their enrichment where it is another bundle's."""
        found = bulk.enrichments(self._server, self._live, ids, vectors=self._enriched_alike)
        for document in found.values():
            enrichment = document.pop("shelfwise")
            if self._enriched_alike and enrichment:
                vector = {"vector": enrichment["vector"].tolist()} if "vector" in enrichment else {}
                document["shelfwise"] = enrichment | vector
        return [{"id": id_} | document for id_, document in found.items()]

    def renew(self) -> None:
        """Have the view kept for longer; it being lost is found out when it is needed."""
        with suppress(ApiError, TransportError):
            self._server.search(pit={"id": self._view, "keep_alive": KEEP_ALIVE}, size=0, track_total_hits=False)

    def close(self) -> None:
        """Let go of the view."""
        self._let_go(self._view)

    def _let_go(self, view: str) -> None:
        with suppress(ApiError, TransportError):
            self._server.close_point_in_time(id=view)


@contextmanager
def watched(
    server: Elasticsearch, live: LiveIndex | None, bundle: Bundle, written: Mapping[str, Any] | None
) -> Iterator[Meanwhile | None]:
    """What others write into the live index in this context; None: there is none, or the server does not say.

    :param written: how far the live index is written, by `bulk.written`.
    :raises ServerError: the server did not answer, or refused.
    """
    if live is None or written is None:
        yield None
        return
    meanwhile = Meanwhile(server, live, bundle, written)
    over = threading.Event()

    def renew() -> None:
        while not over.wait(RENEWED_EVERY):
            meanwhile.renew()

    renewing = threading.Thread(target=renew, daemon=True)
    renewing.start()
    try:
        yield meanwhile
    finally:
        over.set()
        renewing.join()
        meanwhile.close()


def _merged(before: Document, now: Document, other: Document) -> dict[str, Any] | None:
    """The shop's fields of `other`, with what changed, and as `shelfwise` what a person decided; None: as it is."""
    own = _of_shop(other)
    merged, decision = three_way(_of_shop(before), _of_shop(now), own), _decision(now)
    if decision == _decision(before) or decision.items() <= other.get("shelfwise", {}).items():
        decision = {}
    return merged | {"shelfwise": decision} if decision or merged != own else None


def _of_shop(document: Document) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "shelfwise"}


def _decision(document: Document) -> dict[str, Any]:
    enrichment = document.get("shelfwise") or {}
    decided = enrichment.get("status") in BY_A_PERSON
    return {name: enrichment[name] for name in DECISION if name in enrichment} if decided else {}


def three_way(before: Document, now: Document, other: Document) -> dict[str, Any]:
    """`other` with what changed from `before` to `now`: fields set, and fields taken away, within objects too."""
    merged = dict(other)
    for name in before.keys() | now.keys():
        was, is_ = before.get(name, GONE), now.get(name, GONE)
        if was == is_:
            continue
        if is_ is GONE:
            merged.pop(name, None)
        elif isinstance(is_, dict) and isinstance(there := other.get(name), dict):
            merged[name] = three_way(was if isinstance(was, dict) else {}, is_, there)
        else:
            merged[name] = is_
    return merged
