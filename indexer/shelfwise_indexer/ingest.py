"""Ingest: from a catalogue file to an index that is searched. Every line is indexed, unchanged or rejected."""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from elasticsearch import Elasticsearch
from tqdm import tqdm

from shelfwise.bundle import Bundle
from shelfwise.clone import clone_index, release
from shelfwise.errors import ServerError
from shelfwise.index import (
    LiveIndex,
    check_alias,
    create_index,
    described,
    find,
    finish,
    on_trial,
    superseded,
    swap,
    unfinished,
)
from shelfwise.machine import cache_folder
from shelfwise.search import ProductSearch
from shelfwise.server import connect, takes_packed_vectors
from shelfwise_indexer import bulk
from shelfwise_indexer.carried import Carried, is_same
from shelfwise_indexer.catalogue import CatalogueError, DeadLetters, Rejected, Row, dead_letters_path, file_hash, read
from shelfwise_indexer.delta import Delta, delta
from shelfwise_indexer.document_encoder import DocumentEncoder, PrecisionChoice
from shelfwise_indexer.enrich import Enricher, document, is_unchanged, keep_decision, text_hash
from shelfwise_indexer.gate import Gate, GateFailed
from shelfwise_indexer.kept_vectors import keep
from shelfwise_indexer.similar_lists import SimilarLists
from shelfwise_indexer.spool import Entry, Spool
from shelfwise_indexer.spooled import Spooled
from shelfwise_indexer.unknown_categories import UnknownCategories

SEGMENT = 2048  # products encoded, kept and sent together
SAID = 20  # rejected lines that are said on stderr one by one


@dataclass(frozen=True, slots=True)
class Indexed:
    """What a run did: read = indexed + unchanged + rejected.

    Unchanged is what was not encoded, because its text, categories and bundle are those of the live index; `written`
    counts the documents that were sent to the server, whole or with new fields of the shop's (a price, the stock).
    """

    read: int
    indexed: int
    unchanged: int
    rejected: int
    written: int
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
) -> Indexed:
    """Fill a new index from a catalogue, check it, and let the alias stand for it.

    A product whose text, categories and bundle are those of the live index is carried over without encoding it again
    (counted as unchanged). What a person confirmed or corrected stays. A run that was killed goes on where it was when
    it is called again with the same catalogue, bundle and alias. Until the last step, searches see the old index.

    :param dead_letters: file for rejected lines; default `<catalogue stem>.dead-letters.jsonl` in the current folder.
    :param precision: arithmetic of the model; `auto`: the fastest here that finds the same (see `DocumentEncoder`).
    :param gate: what the new index has to pass before the alias stands for it; the same run without it goes on there.
    :raises GateFailed: it did not pass; the alias is as it was, and the new index was kept.
    :raises UsageError: the bundle has no model of that precision.
    :raises CatalogueError, InvalidBundle, ServerError, IncompatibleIndex: the alias is as it was.
    """
    started = time.monotonic()
    bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
    check_alias(alias)
    encoder = DocumentEncoder(bundle, precision)
    with closing(connect(url)) if client is None else nullcontext(client) as server:
        live = find(server, alias)
        if live is not None:
            release(server, live)
        before = gate.opponent(partial(ProductSearch, server, alias), live, bundle) if gate and live else None
        digest = file_hash(catalogue)
        target = Path(dead_letters) if dead_letters else dead_letters_path(catalogue)
        cache = cache_folder(os.environ, None)
        kept = cache / "vectors" / text_hash(f"{alias}\0{bundle.version}")
        run = Spool(cache / "runs", digest, bundle.version, alias, live.name if live else None)
        with run as spool, DeadLetters(target, catalogue) as letters:
            carried = Carried.of(server, live, bundle, kept)
            read_lines = _encode(catalogue, encoder, carried, spool, letters)
            if not spool.segments():
                raise CatalogueError(
                    f"{catalogue}: all {read_lines} lines were rejected, alias {alias} is left as it was: "
                    f"see {letters.path}"
                )
            products = Spooled.of(spool, bundle)
            changes = delta(server, live, bundle, products)
            wanted = None if changes is None else ~products.carried
            similar = SimilarLists.of(spool, products, bundle.dimension, wanted)
            name = _target(server, alias, bundle, digest, live, changes)
            refused = _send(server, name, spool, similar, changes)
            _write_refused(catalogue, refused, letters)
            finish(server, name)
            _check(server, name, spool, read_lines - letters.count, refused)
            if gate is not None:
                _pass(gate, server, alias, name, bundle, before, live)
            swap(server, alias, name)
            keep(kept, products.text_hashes, spool.vectors_path)
            unchanged = int(products.carried.sum()) - _carried_among(spool, refused)
            spool.remove()
        if old := superseded(server, alias):
            _say(f"{len(old)} older indices of {alias} can be deleted: {', '.join(old)}")
        return Indexed(
            read=read_lines,
            indexed=read_lines - letters.count - unchanged,
            unchanged=unchanged,
            rejected=letters.count,
            written=(len(products) if changes is None else changes.written) - len(refused),
            index=name,
            seconds=time.monotonic() - started,
            dead_letters=letters.path if letters.count else None,
        )


def _target(
    server: Elasticsearch, alias: str, bundle: Bundle, digest: str, live: LiveIndex | None, changes: Delta | None
) -> str:
    """The index to write into: what a killed run left of the same kind, else a clone of the live one, or a new one."""
    original = live if changes is not None else None
    left = unfinished(server, alias, bundle, digest)
    if left and described(server, left).meta.get("cloned_from") == (original.name if original else None):
        return left
    if original is None:
        return create_index(server, alias, bundle, digest)
    _say(f"only what changed: {changes}; the rest is taken from index {original.name}")
    return clone_index(server, original, alias, bundle, digest)


def _pass(
    gate: Gate,
    server: Elasticsearch,
    alias: str,
    name: str,
    bundle: Bundle,
    before: ProductSearch | None,
    live: LiveIndex | None,
) -> None:
    """:raises GateFailed: the new index is significantly worse."""
    with on_trial(server, alias, name) as trial:
        verdict = gate.check(ProductSearch(server, trial, bundle), before, live.name if live else "")
    if verdict is None:
        _say(f"gate: {alias} has no live index to compare with: passed")
    elif not verdict.passed:
        raise GateFailed(verdict, alias, name)
    else:
        _say(f"gate: {verdict}")


def _encode(
    catalogue: str | os.PathLike[str],
    encoder: DocumentEncoder,
    carried: Carried,
    spool: Spool,
    letters: DeadLetters,
) -> int:
    """Read and encode the whole catalogue into the spool; segments that are there already are not encoded again."""
    bundle = encoder.bundle
    enricher = Enricher.of(bundle)
    done, lines, unknown = spool.segments(), 0, UnknownCategories(bundle)
    if done:
        _say(f"going on with an interrupted run: {done} segments of {SEGMENT} products are encoded already")
    with tqdm(desc="encode", unit="product", file=sys.stderr) as bar:

        def rows() -> Iterator[Row]:
            nonlocal lines
            for row in read(catalogue):
                lines += 1
                if isinstance(row, Rejected):
                    letters.write(row)
                    if letters.count <= SAID:
                        _say(f"{catalogue}, line {row.line}: {row.reason}")
                    elif letters.count == SAID + 1:
                        _say(f"more than {SAID} lines are rejected, the others only stand in {letters.path}")
                else:
                    yield row

        source = rows()
        for number, segment in enumerate(iter(lambda: list(islice(source, SEGMENT)), [])):
            for row in segment:
                unknown.look(row)
            if number >= done:
                spool.write(number, *_encode_segment(segment, encoder, enricher, carried))
            bar.update(len(segment))
    for message in unknown.messages(catalogue):
        _say(message)
    return lines


def _encode_segment(
    rows: Sequence[Row], encoder: DocumentEncoder, enricher: Enricher, carried: Carried
) -> tuple[list[Entry], npt.NDArray[np.float32]]:
    bundle = encoder.bundle
    before = carried.documents([row.product.id for row in rows])
    texts = [bundle.text(row.product) for row in rows]
    changed = [
        place
        for place, (row, text) in enumerate(zip(rows, texts, strict=True))
        if not is_unchanged(before.get(row.product.id), row.product, text, bundle.version)
    ]
    encoded = encoder.encode([texts[place] for place in changed])
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    fresh = {
        place: enricher.enrichment(rows[place].product, texts[place], vector, probabilities, moment)
        for place, vector, probabilities in zip(changed, encoded.vectors, encoded.probabilities, strict=True)
    }
    entries, vectors = [], np.empty((len(rows), bundle.dimension), dtype=np.float32)
    for place, row in enumerate(rows):
        old = before.get(row.product.id)
        enrichment = fresh.get(place) or dict(old["shelfwise"] if old else {})
        vectors[place] = enrichment.pop("vector")
        enrichment = keep_decision(enrichment, old) | {"group": row.product.variant_of or row.product.id}
        content = document(row.product, enrichment)
        entries.append(Entry(row.line, content, place not in fresh, is_same(old, content)))
    return entries, vectors


def _send(
    server: Elasticsearch, name: str, spool: Spool, similar: SimilarLists, changes: Delta | None
) -> dict[str, str]:
    """Send what was not sent yet; the refused ids of all segments, each with the server's reason."""
    done, start = spool.sent(name), 0
    packs = takes_packed_vectors(server)
    with tqdm(desc="index", total=len(similar.ids), unit="product", file=sys.stderr) as bar:
        for number, entries in spool:
            if number not in done:
                refused, places = ({}, range(len(entries))) if changes is None else _rewrite(server, name, entries)
                vectors, lists = spool.vectors(number), similar.at(np.array(places, dtype=np.int64) + start)
                documents = []
                for place, its in zip(places, lists, strict=True):
                    vector = bulk.packed(vectors[place]) if packs else vectors[place].tolist()
                    own = entries[place].document["shelfwise"] | {"vector": vector, "similar": its}
                    documents.append(entries[place].document | {"shelfwise": own})
                spool.mark_refused(name, refused | bulk.send(server, name, documents))
                spool.mark_sent(name, number)
            start += len(entries)
            bar.update(len(entries))
    all_refused = spool.refused(name)
    if changes is not None:
        bulk.delete(server, name, [*changes.gone, *all_refused])
    return all_refused


def _rewrite(server: Elasticsearch, name: str, entries: Sequence[Entry]) -> tuple[dict[str, str], Sequence[int]]:
    """Rewrite what was carried over and changed; what was refused, and the places of what is to be sent whole."""
    rewritten = [entry.document for entry in entries if entry.carried and not entry.same]
    refused, missing = bulk.rewrite(server, name, rewritten)  # missing: deleted from the live index meanwhile
    places = [n for n, entry in enumerate(entries) if not entry.carried or entry.document["id"] in missing]
    return refused, places


def _carried_among(spool: Spool, refused: Mapping[str, str]) -> int:
    if not refused:
        return 0
    return sum(entry.carried and entry.document["id"] in refused for _, entries in spool for entry in entries)


def _write_refused(catalogue: str | os.PathLike[str], refused: Mapping[str, str], letters: DeadLetters) -> None:
    if not refused:
        return
    for row in read(catalogue):  # once more, for the records as the shop wrote them
        if isinstance(row, Row) and (reason := refused.get(row.product.id)):
            letters.write(row.rejected(f"the server refused it: {reason}"))
            if letters.count <= SAID:
                _say(f"{catalogue}, line {row.line}: product {row.product.id}: the server refused it: {reason}")


def _check(server: Elasticsearch, name: str, spool: Spool, expected: int, refused: Mapping[str, str]) -> None:
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


def _say(message: str) -> None:
    tqdm.write(message, file=sys.stderr)
