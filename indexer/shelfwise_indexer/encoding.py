"""Encoding: a catalogue becomes the segments of a spool. Reading, the model and writing overlap."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np
from tqdm import tqdm

from shelfwise.bundle import Bundle
from shelfwise.encoder import Encoded, Floats
from shelfwise.mapping import fields_of_the_shop
from shelfwise.messages import SAID
from shelfwise_indexer.carried import Carried, is_same
from shelfwise_indexer.catalogue import DeadLetters, Rejected, Row
from shelfwise_indexer.document_encoder import DocumentEncoder
from shelfwise_indexer.enrich import Enricher, document, is_unchanged, keep_decision
from shelfwise_indexer.kept_lines import KeptLines
from shelfwise_indexer.known_lines import Known, read_unknown
from shelfwise_indexer.pipeline import ahead, behind
from shelfwise_indexer.spool import Entry, Spool
from shelfwise_indexer.unknown_categories import UnknownCategories

MOST_SEGMENTS = 16  # that are held in memory until there are enough texts to encode


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows that are kept together: their texts, what the live index holds of them, and the places to encode.

    Of those that are known already there is no text; `known` holds their vectors, float32 [n, dimension], by place.
    `decided` holds what a person may have decided, in an index before the live one, of products that that one lacks.
    """

    number: int
    rows: Sequence[Row | Known]
    texts: Sequence[str]
    known: Mapping[int, Floats]
    before: Mapping[str, Mapping[str, Any]]
    changed: Sequence[int]
    decided: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, number: int, rows: Sequence[Row | Known], bundle: Bundle, carried: Carried) -> "Segment":
        """Compare rows with the live index."""
        before = carried.documents([row.id for row in rows if isinstance(row, Row)])
        texts = [bundle.text(row.product) if isinstance(row, Row) else "" for row in rows]
        changed = [
            place
            for place, (row, text) in enumerate(zip(rows, texts, strict=True))
            if isinstance(row, Row) and not is_unchanged(before.get(row.id), row.product, text, bundle.version)
        ]
        known = {place: row.document["shelfwise"] for place, row in enumerate(rows) if isinstance(row, Known)}
        vectors = carried.vectors([enrichment["text_hash"] for enrichment in known.values()])
        lacking = [row.id for row in rows if isinstance(row, Row) and row.id not in before]
        decided = carried.decisions_before(lacking)
        return cls(number, rows, texts, dict(zip(known, vectors, strict=True)), before, changed, decided)


class Source:
    """The segments of a catalogue that a spool does not hold yet; what is no product goes to the dead letters.

    `lines` counts what was read so far.
    """

    def __init__(
        self,
        catalogue: str | os.PathLike[str],
        bundle: Bundle,
        carried: Carried,
        lines: KeptLines,
        letters: DeadLetters,
        size: int,
    ) -> None:
        """:param size: products of a segment."""
        self.lines = 0
        self._catalogue, self._bundle, self._carried, self._letters = catalogue, bundle, carried, letters
        self._kept, self._size = lines, size
        self._unknown = UnknownCategories(bundle)

    def segments(self, done: int) -> Iterator[Segment]:
        """:param done: how many segments are encoded already."""
        rows = self._rows()
        for number, segment in enumerate(iter(lambda: list(islice(rows, self._size)), [])):
            for row in segment:
                self._unknown.look(row)
            if number >= done:
                yield Segment.of(number, segment, self._bundle, self._carried)

    def messages(self) -> Iterator[str]:
        """What there is to say about categories, once all was read."""
        return self._unknown.messages(self._catalogue)

    def _rows(self) -> Iterator[Row | Known]:
        letters = self._letters
        for row in read_unknown(self._catalogue, self._kept.documents):
            self.lines += 1
            if not isinstance(row, Rejected):
                yield row
                continue
            row.check_not_cut_off(letters.source)
            letters.write(row)
            if letters.count <= SAID:
                say(f"{self._catalogue}, line {row.line}: {row.reason}")
            elif letters.count == SAID + 1:
                say(f"more than {SAID} lines are rejected, the others only stand among the dead letters")


class Unread:
    """Products that the model could hardly read (see `Encoded.unread`): how many, and the first."""

    def __init__(self) -> None:
        self.count = 0
        self.first = ""

    def look(self, segment: Segment, encoded: Encoded) -> None:
        """Count those of a segment."""
        if encoded.unread is None or not encoded.unread.any():
            return
        if not self.count:
            self.first = segment.rows[segment.changed[int(encoded.unread.argmax())]].id
        self.count += int(encoded.unread.sum())

    def messages(self, catalogue: str | os.PathLike[str]) -> Iterator[str]:
        """What there is to say about them."""
        if self.count:
            yield (
                f"{catalogue}: the bundle's model does not know the words of {self.count} products, the first is "
                f"{self.first}: without a category of the shop's own they wait for review, and only their words find "
                "them; train on a backbone that knows them (`--backbone multilingual`)"
            )


def encode(
    catalogue: str | os.PathLike[str],
    encoder: DocumentEncoder,
    carried: Carried,
    lines: KeptLines,
    spool: Spool,
    letters: DeadLetters,
    size: int,
) -> int:
    """Read and encode the whole catalogue into the spool; segments that are there already are not encoded again.

    While the model works on a segment, the next is read and compared, and the one before is written; where only a few
    texts of each have changed, on several.

    :param size: products of a segment.
    :returns: the lines read.
    """
    source, done = Source(catalogue, encoder.bundle, carried, lines, letters, size), spool.segments()
    enricher = Enricher.of(encoder.bundle)
    if done:
        say(f"going on with an interrupted run: {done} segments of {size} products are encoded already")
    elif carried.live is None:
        encoder.begin_loading()  # every text is new: there is no need to wait for the first
    with tqdm(desc="encode", unit="product", file=sys.stderr) as bar:
        unread = Unread()

        def keep(pair: tuple[Segment, Encoded]) -> None:
            write(spool, enricher, *pair)
            unread.look(*pair)
            bar.update(len(pair[0].rows))

        bar.update(done * size)
        with behind(keep) as written, ahead(lambda: source.segments(done)) as segments:
            for group in groups(segments, size, encoder.begin_loading):
                for pair in zip(group, _encoded(group, encoder), strict=True):
                    written(pair)
    for message in (*source.messages(), *unread.messages(catalogue)):
        say(message)
    return source.lines


def groups(
    segments: Iterable[Segment], enough: int, on_change: Callable[[], object] = lambda: None
) -> Iterator[list[Segment]]:
    """Segments to be encoded together: full batches of texts of like length need more than a few texts.

    A group ends with `enough` changed texts, or with MOST_SEGMENTS.

    :param on_change: called once, with the first text to encode.
    """
    group: list[Segment] = []
    changed, told = 0, False
    for segment in segments:
        group.append(segment)
        changed += len(segment.changed)
        if changed and not told:
            told = True
            on_change()
        if changed >= enough or len(group) == MOST_SEGMENTS:
            yield group
            group, changed = [], 0
    if group:
        yield group


def _encoded(group: Sequence[Segment], encoder: DocumentEncoder) -> Iterator[Encoded]:
    """What the model says of the texts that changed, segment by segment, in their order."""
    texts = [segment.texts[place] for segment in group for place in segment.changed]
    encoded, start = encoder.encode(texts), 0
    for segment in group:
        end = start + len(segment.changed)
        yield encoded.at(slice(start, end))
        start = end


def write(spool: Spool, enricher: Enricher, segment: Segment, encoded: Encoded) -> None:
    """Make the documents of a segment, and keep them with their vectors."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    rows = segment.rows
    unread = np.zeros(len(segment.changed), dtype=np.bool_) if encoded.unread is None else encoded.unread
    said = zip(segment.changed, encoded.vectors, encoded.probabilities, unread, strict=True)
    fresh = {
        place: enricher.enrichment(row.product, segment.texts[place], vector, probabilities, moment, bool(unknown))
        for place, vector, probabilities, unknown in said
        if isinstance(row := rows[place], Row)
    }
    added = fields_of_the_shop()
    entries, vectors = [], np.empty((len(rows), encoded.vectors.shape[1]), dtype=np.float32)
    for place, row in enumerate(rows):
        if isinstance(row, Known):
            vectors[place] = segment.known[place]
            entries.append(Entry(row.line, row.document, carried=True, same=True, source=row.source))
            continue
        old = segment.before.get(row.id)
        enrichment = fresh.get(place) or dict(old["shelfwise"] if old else {})
        vectors[place] = enrichment.pop("vector")
        enrichment = keep_decision(enrichment, old or segment.decided.get(row.id))
        enrichment["group"] = row.product.variant_of or row.id
        content = document(row.product, enrichment) | {name: old[name] for name in added if old and name in old}
        entries.append(Entry(row.line, content, place not in fresh, is_same(old, content), row.source))
    spool.write(segment.number, entries, vectors)


def say(message: str) -> None:
    """A line on stderr, above the bars."""
    tqdm.write(message, file=sys.stderr)
