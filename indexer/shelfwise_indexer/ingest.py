"""Ingest: from a catalogue file to an index that is searched. Every line is indexed, unchanged or rejected."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from elasticsearch import Elasticsearch

from shelfwise.bundle import Bundle
from shelfwise.errors import ServerError
from shelfwise.index import being_filled, superseded
from shelfwise.live_index import check_alias, find
from shelfwise.machine import cache_folder
from shelfwise.messages import first_of
from shelfwise.position import position
from shelfwise.search import ProductSearch
from shelfwise.server import connect
from shelfwise.write_block import prepare
from shelfwise_indexer.catalogue import DeadLetters, dead_letters_path, file_hash, holds_dead_letters
from shelfwise_indexer.decisions import known_nowhere_else
from shelfwise_indexer.delta import check_takes
from shelfwise_indexer.document_encoder import DeviceChoice, DocumentEncoder, PrecisionChoice
from shelfwise_indexer.encoding import say
from shelfwise_indexer.enrich import text_hash
from shelfwise_indexer.file_state import FileState
from shelfwise_indexer.gate import Gate
from shelfwise_indexer.index_run import Run
from shelfwise_indexer.kept_lines import keep_lines
from shelfwise_indexer.kept_vectors import keep
from shelfwise_indexer.meanwhile import watched
from shelfwise_indexer.spool import Spool
from shelfwise_indexer.spooled import Spooled


@dataclass(frozen=True, slots=True)
class Indexed:
    """What a run did: read = indexed + unchanged + rejected.

    Unchanged is what was not encoded, because its text, categories and bundle are those of the live index; `written`
    counts the documents that were sent to the server, whole or with new fields of the shop's (a price, the stock).
    Gone is what the index before had and this one has not, be it that the catalogue lacks it or that it was rejected.
    """

    read: int
    indexed: int
    unchanged: int
    rejected: int
    written: int
    gone: int
    index: str
    seconds: float
    dead_letters: Path | None

    def to_json(self) -> dict[str, Any]:
        """What `shelfwise index` prints."""
        return {
            "read": self.read,
            "indexed": self.indexed,
            "unchanged": self.unchanged,
            "rejected": self.rejected,
            "index": self.index,
            "seconds": round(self.seconds, 1),
            "docs_per_second": round((self.indexed + self.unchanged) / max(self.seconds, 1e-9), 1),
            "written": self.written,
            "gone": self.gone,
            "dead_letters": str(self.dead_letters) if self.dead_letters else None,
        }


def index(
    catalogue: str | os.PathLike[str],
    bundle: Bundle | str | os.PathLike[str],
    alias: str,
    url: str | None = None,
    client: Elasticsearch | None = None,
    dead_letters: str | os.PathLike[str] | None = None,
    gate: Gate | None = None,
    precision: PrecisionChoice = "auto",
    merge: int | None = None,
    device: DeviceChoice = "auto",
    allow_shrink: bool = False,
) -> Indexed:
    """Fill a new index from a catalogue, check it, and let the alias stand for it.

    A product whose text, categories and bundle are those of the live index is carried over without encoding it again
    (counted as unchanged). What a person confirmed or corrected stays. A run that was killed goes on where it was when
    it is called again with the same catalogue, bundle and alias. Until the last step, searches see the old index; what
    the shop writes there until then, a price or a new product, is in the new one too.

    What the live index has and the catalogue lacks is gone afterwards, unless the catalogue is a file of dead letters:
    what was mended there is added to the live index. How much that is, is said.

    :param dead_letters: file for rejected lines; default `<catalogue stem>.<alias>.dead-letters.jsonl`, here.
    :param precision: arithmetic of the model; `auto`: the fastest here that finds the same (see `DocumentEncoder`).
    :param device: where the model runs; `auto`: the GPUs that torch can use, else the processor.
    :param merge: segments that each shard is merged down to before it is live; default: the server merges as it likes.
    :param gate: what the new index has to pass before the alias stands for it; the same run without it goes on there.
    :param allow_shrink: whether more than half of a live index of 1,000 products or more may be gone.
    :raises CatalogueShrank: it would be; the same run that allows it goes on there.
    :raises GateFailed: it did not pass; the alias is as it was, and the new index was kept.
    :raises UsageError: the bundle has no model of that precision, or the machine no such device.
    :raises CatalogueError, InvalidBundle, ServerError, IncompatibleIndex: the alias is as it was.
    """
    started = time.monotonic()
    bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
    check_alias(alias)
    encoder = DocumentEncoder(bundle, precision, device=device)
    with closing(connect(url)) if client is None else nullcontext(client) as server:
        live = find(server, alias)
        if live is not None:
            prepare(server, live)
        state = FileState.of(catalogue)
        grown = live if live is not None and holds_dead_letters(catalogue) else None
        if grown is not None:
            check_takes(grown, bundle)
            say(f"{catalogue} holds dead letters: they join the products of index {grown.name}, none is deleted")
        before = gate.opponent(partial(ProductSearch, server, alias), live, bundle) if gate and live else None
        digest = file_hash(catalogue)
        target = Path(dead_letters) if dead_letters else dead_letters_path(catalogue, alias=alias)
        cache = cache_folder(os.environ, None)
        kept = cache / "vectors" / text_hash(f"{alias}\0{bundle.version}")
        spool = Spool(cache / "runs", digest, bundle.version, alias, live.name if live else None)
        as_read = position(server, live.name) if live else None
        watch = watched(server, live, bundle, as_read, spool)
        with spool, DeadLetters(target, catalogue) as letters, watch as meanwhile:
            run = Run(
                server=server,
                alias=alias,
                bundle=bundle,
                catalogue=catalogue,
                state=state,
                digest=digest,
                live=live,
                grown=grown,
                kept=kept,
                spool=spool,
                letters=letters,
                meanwhile=meanwhile,
                as_read=as_read,
                began=spool.began(as_read),
                goes_on=spool.segments() > 0,
                allow_shrink=allow_shrink,
            )
            read_lines = run.encode(encoder)
            products = Spooled.of(spool, bundle)
            for message in products.unknown.messages():
                say(message)
            filled = run.fill(products, read_lines, merge)
            if gate is not None:
                run.check_gate(gate, filled.index, before)
            written = run.go_live(filled)
            gone = filled.gone.without(spool.arrived(filled.index))
            for message in gone.messages(filled.index, letters):
                say(message)
            if grown is None:
                keep(kept, products.text_hashes, spool.vectors_path)
                keep_lines(kept, spool, filled.refused, written)
            unchanged = int(products.carried.sum()) - _carried_among(spool, filled.refused)
            spool.remove()
        for message in _others(server, alias):
            say(message)
        sent = len(products) if filled.changes is None else filled.changes.written
        return Indexed(
            read=read_lines,
            indexed=read_lines - letters.count - unchanged,
            unchanged=unchanged,
            rejected=letters.count,
            written=sent - len(filled.refused),
            gone=len(gone.ids),
            index=filled.index,
            seconds=time.monotonic() - started,
            dead_letters=letters.path if letters.count else None,
        )


def _carried_among(spool: Spool, refused: Mapping[str, str]) -> int:
    if not refused:
        return 0
    return sum(entry.carried and entry.document["id"] in refused for entry in spool.stream())


def _others(server: Elasticsearch, alias: str) -> Iterator[str]:
    """Which indices can be deleted, and what only they know of decisions; and which others are being filled."""
    current, old = find(server, alias), superseded(server, alias)
    if current and old:
        yield f"{len(old)} older indices of {alias} can be deleted: {', '.join(old)}"
        kept = [name for name in (current.name, current.meta.get("previous")) if name and name not in old]
        try:
            lost = known_nowhere_else(server, old, kept)
        except ServerError as error:  # what is live is live
            yield f"whether only they know of decisions is not known: {error}"
            lost = []
        if lost:
            yield f"only they know what people decided of {len(lost)} products, which no newer index has:"
            yield from first_of(lost, len(lost), "products")
    if left := [name for name in being_filled(server, alias) if name not in old]:
        yield (
            f"{len(left)} indices of {alias} are being filled by other runs, or were left by runs that were "
            f"interrupted; where no run fills it or will go on, delete it: {', '.join(left)}"
        )
