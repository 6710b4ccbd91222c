"""Encoding: a catalogue becomes the segments of a spool. Reading, the model and writing overlap."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np
from tqdm import tqdm

from shelfwise.bundle import Bundle
from shelfwise.encoder import Encoded
from shelfwise_indexer.carried import Carried, is_same
from shelfwise_indexer.catalogue import DeadLetters, Rejected, Row, read
from shelfwise_indexer.document_encoder import DocumentEncoder
from shelfwise_indexer.enrich import Enricher, document, is_unchanged, keep_decision
from shelfwise_indexer.pipeline import ahead, behind
from shelfwise_indexer.spool import Entry, Spool
from shelfwise_indexer.unknown_categories import UnknownCategories

SAID = 20  # rejected lines that are said on stderr one by one


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows that are kept together: their texts, what the live index holds of them, and the places to encode."""

    number: int
    rows: Sequence[Row]
    texts: Sequence[str]
    before: Mapping[str, Mapping[str, Any]]
    changed: Sequence[int]

    @classmethod
    def of(cls, number: int, rows: Sequence[Row], bundle: Bundle, carried: Carried) -> "Segment":
        """Compare rows with the live index."""
        before = carried.documents([row.product.id for row in rows])
        texts = [bundle.text(row.product) for row in rows]
        changed = [
            place
            for place, (row, text) in enumerate(zip(rows, texts, strict=True))
            if not is_unchanged(before.get(row.product.id), row.product, text, bundle.version)
        ]
        return cls(number, rows, texts, before, changed)

    def encoded(self, encoder: DocumentEncoder) -> Encoded:
        """What the model says of the texts that changed, in their order."""
        return encoder.encode([self.texts[place] for place in self.changed])


class Source:
    """The segments of a catalogue that a spool does not hold yet; what is no product goes to the dead letters.

    `lines` counts what was read so far.
    """

    def __init__(
        self, catalogue: str | os.PathLike[str], bundle: Bundle, carried: Carried, letters: DeadLetters, size: int
    ) -> None:
        """:param size: products of a segment."""
        self.lines = 0
        self._catalogue, self._bundle, self._carried, self._letters = catalogue, bundle, carried, letters
        self._size = size
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

    def _rows(self) -> Iterator[Row]:
        letters = self._letters
        for row in read(self._catalogue):
            self.lines += 1
            if not isinstance(row, Rejected):
                yield row
                continue
            letters.write(row)
            if letters.count <= SAID:
                say(f"{self._catalogue}, line {row.line}: {row.reason}")
            elif letters.count == SAID + 1:
                say(f"more than {SAID} lines are rejected, the others only stand in {letters.path}")


def encode(
    catalogue: str | os.PathLike[str],
    encoder: DocumentEncoder,
    carried: Carried,
    spool: Spool,
    letters: DeadLetters,
    size: int,
) -> int:
    """Read and encode the whole catalogue into the spool; segments that are there already are not encoded again.

    While the model works on a segment, the next is read and compared, and the one before is written.

    :param size: products of a segment. :returns: the lines read.
    """
    source, done = Source(catalogue, encoder.bundle, carried, letters, size), spool.segments()
    enricher = Enricher.of(encoder.bundle)
    if done:
        say(f"going on with an interrupted run: {done} segments of {size} products are encoded already")
    with tqdm(desc="encode", unit="product", file=sys.stderr) as bar:

        def keep(pair: tuple[Segment, Encoded]) -> None:
            write(spool, enricher, *pair)
            bar.update(len(pair[0].rows))

        bar.update(done * size)
        with behind(keep) as written, ahead(lambda: source.segments(done)) as segments:
            for segment in segments:
                written((segment, segment.encoded(encoder)))
    for message in source.messages():
        say(message)
    return source.lines


def write(spool: Spool, enricher: Enricher, segment: Segment, encoded: Encoded) -> None:
    """Make the documents of a segment, and keep them with their vectors."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    rows = segment.rows
    fresh = {
        place: enricher.enrichment(rows[place].product, segment.texts[place], vector, probabilities, moment)
        for place, vector, probabilities in zip(segment.changed, encoded.vectors, encoded.probabilities, strict=True)
    }
    entries, vectors = [], np.empty((len(rows), encoded.vectors.shape[1]), dtype=np.float32)
    for place, row in enumerate(rows):
        old = segment.before.get(row.product.id)
        enrichment = fresh.get(place) or dict(old["shelfwise"] if old else {})
        vectors[place] = enrichment.pop("vector")
        enrichment = keep_decision(enrichment, old) | {"group": row.product.variant_of or row.product.id}
        content = document(row.product, enrichment)
        entries.append(Entry(row.line, content, place not in fresh, is_same(old, content)))
    spool.write(segment.number, entries, vectors)


def say(message: str) -> None:
    """A line on stderr, above the bars."""
    tqdm.write(message, file=sys.stderr)
