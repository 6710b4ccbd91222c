"""Known lines: a catalogue read as `catalogue` reads it, but for the lines whose documents are known already."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

from shelfwise_indexer.catalogue import MAX_LINE_BYTES, Row, has_json_lines, json_lines, not_empty, read, row_of
from shelfwise_indexer.records import Line, Rejected, json_records
from shelfwise_indexer.seen import Seen

AT_ONCE = 512  # lines that are asked for together

Documents = Callable[[Sequence[str]], Sequence[dict[str, Any] | None]]
"""Of the hashes of some lines, the documents that these lines are known to give."""


@dataclass(frozen=True, slots=True)
class Known:
    """A line, not parsed, and the document that it is known to give."""

    line: int
    document: dict[str, Any]
    source: str

    @property
    def id(self) -> str:
        """The product's."""
        return str(self.document["id"])

    @property
    def categories(self) -> list[str]:
        """Those that the shop gave, as text."""
        return list(self.document.get("category") or [])


def read_unknown(path: str | os.PathLike[str], documents: Documents) -> Iterator[Row | Known | Rejected]:
    """As `catalogue.read`; of other files than JSON lines no line is ever known.

    :raises CatalogueError: as `catalogue.read`.
    """
    name = os.fspath(path)
    return not_empty(_rows(name, documents), name) if has_json_lines(name) else read(path)


def source_of(line: bytes) -> str:
    """What tells one line from another, white space around it aside: 32 hex digits of its BLAKE2b."""
    return hashlib.blake2b(line.strip(), digest_size=16).hexdigest()


def _rows(name: str, documents: Documents) -> Iterator[Row | Known | Rejected]:
    its_lines = json_lines(name, MAX_LINE_BYTES)
    with closing(Seen()) as seen:
        for part in iter(lambda: list(islice(its_lines, AT_ONCE)), []):
            sources = [source_of(line.content) for line in part]
            for line, source, document in zip(part, sources, documents(sources), strict=True):
                yield from _row(line, source, document, seen)


def _row(line: Line, source: str, document: dict[str, Any] | None, seen: Seen) -> Iterator[Row | Known | Rejected]:
    if document is not None and not line.fault and seen.add(document["id"]):
        yield Known(line.number, document, source)
        return
    for record in json_records(iter((line,))):
        yield record if isinstance(record, Rejected) else row_of(record, seen, source)
