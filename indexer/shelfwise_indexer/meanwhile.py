"""Meanwhile: what a shop writes into the live index while the next one is filled goes live with the next one.

A catalogue knows nothing of a price that was written after it was exported. So a run keeps a view of the live index as
it was at its start (a point in time, which the server keeps at the price of some files), and at its end compares: a
field that differs from that view was written meanwhile, and is written again, over what the catalogue says; the other
fields of that product are the catalogue's. Sequence numbers tell which products there are to compare, which are few.
"""

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any

from elasticsearch import Elasticsearch
from tqdm import tqdm

from shelfwise.bundle import Bundle
from shelfwise.live_index import LiveIndex
from shelfwise.messages import first_of
from shelfwise.position import Position, position, same_history, since
from shelfwise.server import one_line
from shelfwise.source import enrichment_of
from shelfwise.write_block import blocked
from shelfwise_indexer import bulk
from shelfwise_indexer.decisions import Following
from shelfwise_indexer.encoding import say
from shelfwise_indexer.enrich import keep_decision
from shelfwise_indexer.spool import Spool
from shelfwise_indexer.view import BULKY, View

Document = Mapping[str, Any]
RENEWED_EVERY = 900.0  # seconds
AGAIN = 4  # times at most that writing is caught up with before the swap; the rest is carried after it
ABSENT = object()


class Meanwhile:
    """What others write into a live index from when this was made.

    The spool remembers which products came into another index that way: a run that goes on expects them there.
    """

    def __init__(self, server: Elasticsearch, live: LiveIndex, bundle: Bundle, written: Position, spool: Spool) -> None:
        self._server, self._live, self._start, self._written = server, live.name, written, written
        self._spool, self._following = spool, Following.of(live, bundle)
        self._enriched_alike = live.meta.get("bundle") == bundle.version
        self._view = View(server, live.name)

    def came(self, ids: Collection[str]) -> set[str]:
        """Those of these products of the live index that were not there at the start, or when `carry` was last called.

        :raises ServerError: as `carry`.
        """
        now = position(self._server, self._live)
        if not ids or now == self._written:
            return set()
        wanted, came, tells = set(ids), set[str](), _versions_tell(self._written, now)
        for hits in self._since(self._written, now, source=False):
            written = {hit["_id"]: hit["_version"] for hit in hits if hit["_id"] in wanted}
            older = [id_ for id_, number in written.items() if not (tells and number == 1)]
            came |= written.keys() - (self._view.documents(older).keys() if older else set())
        return came

    def carry(self, new: str, went_live: View | None = None) -> int:
        """Write into another index what was written since the start, or since this was last called.

        A product that was there and that the other index lacks, the catalogue lacks: it is passed over. What was
        deleted since is not deleted there. What the server refuses is said.

        :param went_live: the other index as it went live: what was written into it since is later, and stays.
        :returns: how many products the other index had otherwise; it is refreshed then.
        :raises ServerError: the server did not answer, or the view is lost, as after a restart of the server.
        """
        written = position(self._server, self._live)
        if written == self._written:
            return 0
        with one_line(f"refreshing index {self._live}"):
            self._server.indices.refresh(index=self._live)
        count, last, tells = 0, self._written, _versions_tell(self._written, written)
        with closing(self._view) as before, tqdm(desc="written meanwhile", unit=" products", delay=2) as bar:
            self._view, self._written = View(self._server, self._live), written or self._written
            for hits in self._since(last, written):
                came = {hit["_id"] for hit in hits if tells and hit["_version"] == 1}
                count += self._carry(hits, before, came, new, went_live)
                bar.update(len(hits))
        if count:
            with one_line(f"refreshing index {new}"):
                self._server.indices.refresh(index=new)
        return count

    def carry_all(self, new: str) -> int:
        """As `carry`, and then what was written while that took, until hardly anything is."""
        count = total = self.carry(new)
        for _ in range(AGAIN):
            if count < bulk.PAGE:
                break
            count = self.carry(new)
            total += count
        return total

    def carry_last(self, new: str, went_live: View) -> int:
        """As `carry`, once the alias has moved: when the last writes that were on their way to the old index are there.

        For that it takes no writes for a moment: what comes too late is told so (403), and not written in vain.
        """
        with blocked(self._server, self._live):
            pass
        return self.carry(new, went_live)

    def carry_new(self, began: Position, new: str) -> int:
        """Write into another index the products that came into the live one since an earlier start.

        No view tells of a run that was interrupted what there was when it began. But the first version of a product
        that was written since is that of a new one; what was written several times since may be older, see `untold`.

        :param began: how far the live index was written then, by `position`.
        :returns: how many; it is refreshed then.
        :raises ServerError: the server did not answer.
        """
        if began == self._start:
            return 0
        tells, before, came = _versions_tell(began, self._start), self._spool.arrived(new), list[str]()
        for hits in self._since(began, self._written):
            absent = {found["_id"] for found in self._held([hit["_id"] for hit in hits], new) if not found["found"]}
            first = {hit["_id"] for hit in hits if tells and hit["_version"] == 1}
            wanted = before | (absent & first)
            came += [hit["_id"] for hit in hits if hit["_id"] in wanted]
        if count := self._bring(came, new):
            with one_line(f"refreshing index {new}"):
                self._server.indices.refresh(index=new)
        return count

    def untold(self, began: Position, new: str) -> Iterator[str]:
        """What there is to say of products that were written since an earlier start and that `new` has otherwise.

        Of a run that was interrupted: which fields were written before this was made nobody knows any more.

        :param began: how far the live index was written then, by `position`.
        """
        if began == self._start:
            return
        differing, absent = [], []
        for hits in self._since(began, self._written):
            now = {hit["_id"]: hit["_source"] for hit in hits}
            for found in self._held(list(now), new):
                if not found["found"]:
                    absent.append(found["_id"])
                elif bulk.of_shop(now[found["_id"]]) != bulk.of_shop(found["_source"]):
                    differing.append(found["_id"])
        if differing:
            yield (
                f"{len(differing)} products were written into {self._live} before this run went on, and the catalogue, "
                f"which stands in {new}, says otherwise; write again what is newer:"
            )
        yield from first_of(differing, len(differing), "products")
        if absent:
            yield (
                f"{len(absent)} products were written into {self._live} before this run went on, and are not in "
                f"{new}; write again what is new, but for what was rejected:"
            )
        yield from first_of(absent, len(absent), "products")

    def renew(self) -> None:
        """Have what is needed of the server kept for longer."""
        self._view.renew()

    def close(self) -> None:
        """Let go of it."""
        self._view.close()

    def _since(self, began: Position, now: Position | None, source: bool = True) -> Iterator[list[dict[str, Any]]]:
        """The products that were written after a moment, as they are now, or only their ids and versions."""
        doing = f"reading what was written into index {self._live} meanwhile"
        for preference, newer in since(began, now):
            query = {"query": newer, "_source": {"excludes": BULKY} if source else False, "version": True}
            hits = bulk.scanned(self._server, self._live, doing, query, preference=preference)
            while page := list(islice(hits, bulk.PAGE)):
                yield page

    def _held(self, ids: Sequence[str], index: str) -> list[dict[str, Any]]:
        with one_line(f"reading {len(ids)} products of index {index}"):
            return list(self._server.mget(index=index, ids=list(ids), source_excludes=BULKY)["docs"])

    def _carry(
        self, hits: Sequence[Mapping[str, Any]], before: View, came: set[str], new: str, went_live: View | None
    ) -> int:
        """
        :param came: those that were not there at the start, even if they came before there was a view.
        """
        now = {hit["_id"]: self._following.document(hit["_source"]) for hit in hits}
        there_before = before.documents([id_ for id_ in now if id_ not in came])
        was = {id_: self._following.document(document) for id_, document in there_before.items()}
        at_swap = went_live.documents(list(now)) if went_live else None
        changed, as_read, arrived = [], {}, []
        for found in self._held(list(now), new):
            id_ = found["_id"]
            if not found["found"]:
                arrived += [id_] if id_ not in was else []
                continue
            there = found["_source"]
            then = there if at_swap is None else at_swap.get(id_, {})
            if (merged := _merged(was.get(id_, {}), now[id_], there, then)) is not None:
                changed.append(merged | {"id": id_})
                as_read[id_] = found["_seq_no"], found["_primary_term"]
        refused, _ = bulk.rewrite(self._server, new, changed, as_read)
        self._say_refused(refused, new)
        return len(changed) - len(refused) + self._bring(arrived, new)

    def _bring(self, ids: Sequence[str], new: str) -> int:
        """Write products whole into another index, and say how many it took."""
        if not ids:
            return 0
        self._spool.mark_arrived(new, ids)  # first: of what is there, none is unknown to a run that goes on
        refused = bulk.send(self._server, new, self._arrivals(ids))
        self._say_refused(refused, new)
        return len(ids) - len(refused)

    def _say_refused(self, refused: Mapping[str, str], new: str) -> None:
        for id_, reason in refused.items():
            say(f"product {id_}: what was written into {self._live} meanwhile is not in {new}: {reason}")

    def _arrivals(self, ids: Sequence[str]) -> list[Document]:
        """Products that came meanwhile; of their enrichment, where it is another bundle's, what a person decided."""
        found = bulk.enrichments(self._server, self._live, ids, vectors=self._enriched_alike)
        return [{"id": id_, **self._arrival(document)} for id_, document in found.items()]

    def _arrival(self, document: dict[str, Any]) -> Document:
        own = enrichment_of(document) if self._enriched_alike else {}
        enrichment = keep_decision(own, self._following.document(document))
        if "vector" in enrichment:
            enrichment["vector"] = enrichment["vector"].tolist()
        return {**bulk.of_shop(document), **({"shelfwise": enrichment} if enrichment else {})}


@contextmanager
def watched(
    server: Elasticsearch, live: LiveIndex | None, bundle: Bundle, written: Position | None, spool: Spool
) -> Iterator[Meanwhile | None]:
    """What others write into the live index in this context; None: there is none, or the server does not say (said).

    :param written: how far the live index is written, by `position`.
    :param spool: of the run.
    :raises ServerError: the server did not answer, or refused.
    """
    if live is None or written is None:
        if live is not None:
            say(
                f"what is written into index {live.name} before this run is done is not carried over: the server does "
                "not say how far the index is written (the login lacks the privilege `monitor` on it)"
            )
        yield None
        return
    meanwhile = Meanwhile(server, live, bundle, written, spool)
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


def _versions_tell(last: Position, now: Position | None) -> bool:
    """Whether a product that was written since a position, and is of the first version, was not there before."""
    return now is not None and same_history(last, now)


def three_way(before: Document, now: Document, other: Document) -> dict[str, Any]:
    """`other` with what changed from `before` to `now`: fields set, and fields taken away, within objects too."""
    merged = dict(other)
    for name in before.keys() | now.keys():
        was, is_ = before.get(name, ABSENT), now.get(name, ABSENT)
        if was == is_:
            continue
        if is_ is ABSENT:
            merged.pop(name, None)
        elif isinstance(is_, dict) and isinstance(there := other.get(name), dict):
            merged[name] = three_way(was if isinstance(was, dict) else {}, is_, there)
        else:
            merged[name] = is_
    return merged


def _merged(before: Document, now: Document, there: Document, at_swap: Document) -> dict[str, Any] | None:
    """What a document becomes: its fields of the shop, and in `shelfwise` what a person decided; None: as it is.

    :param before, now: as it was and is in the live index.
    :param there, at_swap: as it is in the other index, and was when that went live; what differs was written since, and
        is the latest.
    """
    own, own_at_swap = bulk.of_shop(there), bulk.of_shop(at_swap)
    merged = three_way(own_at_swap, own, three_way(bulk.of_shop(before), bulk.of_shop(now), own_at_swap))
    decision = keep_decision({}, now)
    old = decision == keep_decision({}, before) or decision.items() <= there.get("shelfwise", {}).items()
    if old or keep_decision({}, there) != keep_decision({}, at_swap):
        decision = {}
    return merged | {"shelfwise": decision} if decision or merged != own else None
