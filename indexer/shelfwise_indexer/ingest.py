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
from shelfwise.errors import ServerError
from shelfwise.index import LiveIndex, check_alias, create_index, find, finish, on_trial, superseded, swap, unfinished
from shelfwise.machine import cache_folder
from shelfwise.search import ProductSearch
from shelfwise.server import connect, takes_packed_vectors
from shelfwise.taxonomy import path_text
from shelfwise_indexer import bulk, neighbours
from shelfwise_indexer.catalogue import CatalogueError, DeadLetters, Rejected, Row, dead_letters_path, file_hash, read
from shelfwise_indexer.document_encoder import DocumentEncoder, PrecisionChoice
from shelfwise_indexer.enrich import Enricher, document, is_unchanged, keep_decision
from shelfwise_indexer.gate import Gate, GateFailed
from shelfwise_indexer.spool import Entry, Spool

SEGMENT = 2048  # products encoded, kept and sent together
SIMILAR = 20  # neighbours kept with each product
SAID = 20  # rejected lines, or unknown categories, that are said on stderr one by one


@dataclass(frozen=True, slots=True)
class Indexed:
    """What a run did: read = indexed + unchanged + rejected."""

    read: int
    indexed: int
    unchanged: int
    rejected: int
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
        before = gate.opponent(partial(ProductSearch, server, alias), live, bundle) if gate and live else None
        digest = file_hash(catalogue)
        target = Path(dead_letters) if dead_letters else dead_letters_path(catalogue)
        run = Spool(cache_folder(os.environ, None) / "runs", digest, bundle.version, alias, live.name if live else None)
        with run as spool, DeadLetters(target, catalogue) as letters:
            read_lines = _encode(catalogue, encoder, server, live, spool, letters)
            if not spool.segments():
                raise CatalogueError(
                    f"{catalogue}: all {read_lines} lines were rejected, alias {alias} is left as it was: "
                    f"see {letters.path}"
                )
            similar = _similar(spool, bundle)
            name = unfinished(server, alias, bundle, digest) or create_index(server, alias, bundle, digest)
            refused = _send(server, name, spool, similar)
            _write_refused(catalogue, refused, letters)
            carried = len(similar.carried - refused.keys())
            indexed = read_lines - letters.count - carried
            finish(server, name)
            _check(server, name, spool, indexed + carried, refused)
            if gate is not None:
                _pass(gate, server, alias, name, bundle, before, live)
            swap(server, alias, name)
            spool.remove()
        if old := superseded(server, alias):
            _say(f"{len(old)} older indices of {alias} can be deleted: {', '.join(old)}")
        seconds = time.monotonic() - started
        return Indexed(
            read_lines, indexed, carried, letters.count, name, seconds, letters.path if letters.count else None
        )


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
    server: Elasticsearch,
    live: LiveIndex | None,
    spool: Spool,
    letters: DeadLetters,
) -> int:
    """Read and encode the whole catalogue into the spool; segments that are there already are not encoded again."""
    bundle = encoder.bundle
    enricher = Enricher.of(bundle)
    done, lines, unknown = spool.segments(), 0, _UnknownCategories(bundle)
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
                spool.write(number, *_encode_segment(segment, encoder, enricher, server, live))
            bar.update(len(segment))
    unknown.say(catalogue)
    return lines


def _encode_segment(
    rows: Sequence[Row], encoder: DocumentEncoder, enricher: Enricher, server: Elasticsearch, live: LiveIndex | None
) -> tuple[list[Entry], npt.NDArray[np.float32]]:
    bundle = encoder.bundle
    before = bulk.enrichments(server, live.name, [row.product.id for row in rows]) if live else {}
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
        entries.append(Entry(row.line, document(row.product, enrichment), carried=place not in fresh))
    return entries, vectors


@dataclass(frozen=True, slots=True)
class _Similar:
    """Every product of the spool, in its order: which were carried over, and their stored neighbours."""

    ids: Sequence[str]
    carried: frozenset[str]
    found: neighbours.Neighbours

    def of(self, place: int) -> list[dict[str, Any]]:
        pairs = zip(self.found.ids[place], self.found.scores[place], strict=True)
        return [
            {"id": self.ids[row], "score": round(float(score), 4)} for row, score in pairs if row != neighbours.NONE
        ]


def _similar(spool: Spool, bundle: Bundle) -> _Similar:
    leaf_number = {path_text(leaf): number for number, leaf in enumerate(bundle.taxonomy.leaves)}
    number_of_group: dict[str, int] = {}
    ids, carried, leaves, groups, available = [], set(), [], [], []
    for _, entries in spool:
        for entry in entries:
            enrichment = entry.document["shelfwise"]
            filed = (enrichment.get("category") or [enrichment["candidates"][0]["category"]])[0]
            ids.append(entry.document["id"])
            if entry.carried:
                carried.add(entry.document["id"])
            leaves.append(leaf_number.setdefault(filed, len(leaf_number)))
            groups.append(number_of_group.setdefault(enrichment["group"], len(number_of_group)))
            available.append(entry.document.get("in_stock") is not False)
    found = neighbours.similar(
        spool.all_vectors(bundle.dimension),
        np.array(leaves, dtype=np.int64),
        np.array(groups, dtype=np.int64),
        np.array(available, dtype=np.bool_),
        SIMILAR,
    )
    return _Similar(ids, frozenset(carried), found)


def _send(server: Elasticsearch, name: str, spool: Spool, similar: _Similar) -> dict[str, str]:
    """Send what was not sent yet; the refused ids of all segments, each with the server's reason."""
    done, start = spool.sent(name), 0
    pack = takes_packed_vectors(server)
    with tqdm(desc="index", total=len(similar.ids), unit="product", file=sys.stderr) as bar:
        for number, entries in spool:
            if number not in done:
                documents = []
                for place, (entry, vector) in enumerate(zip(entries, spool.vectors(number), strict=True), start=start):
                    entry.document["shelfwise"] |= {
                        "vector": bulk.packed(vector) if pack else vector.tolist(),
                        "similar": similar.of(place),
                    }
                    documents.append(entry.document)
                spool.mark_refused(name, bulk.send(server, name, documents))
                spool.mark_sent(name, number)
            start += len(entries)
            bar.update(len(entries))
    return spool.refused(name)


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


class _UnknownCategories:
    """Counts the shop's categories that the bundle has not learnt, so that one line can say so."""

    def __init__(self, bundle: Bundle) -> None:
        self._taxonomy = bundle.taxonomy
        self._known = {path_text(node) for node in bundle.taxonomy.nodes}
        self._lines: dict[str, list[tuple[int, str]]] = {}

    def look(self, row: Row) -> None:
        for path in row.product.categories:
            if path_text(path) not in self._known:
                self._lines.setdefault(path_text(path), []).append((row.line, row.product.id))

    def say(self, catalogue: str | os.PathLike[str]) -> None:
        for text, places in list(self._lines.items())[:SAID]:
            line, id_ = places[0]
            closest = ", ".join(path_text(node) for node in self._taxonomy.closest(tuple(text.split(" > "))))
            _say(
                f"{catalogue}, line {line}: product {id_}: category {text} is not in the bundle's taxonomy "
                f"({len(places)} products, indexed under it all the same; closest: {closest}): "
                "train again to have it predicted"
            )
        if len(self._lines) > SAID:
            _say(f"and {len(self._lines) - SAID} more categories that are not in the bundle's taxonomy")


def _say(message: str) -> None:
    tqdm.write(message, file=sys.stderr)
