"""The catalogue: a file of products, read as a stream in which one bad line costs one line."""

import gzip
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path as FilePath
from typing import Any, BinaryIO, cast

from shelfwise.errors import InvalidProduct
from shelfwise.product import Product, id_text, parse_product
from shelfwise.standard_input import standard_input
from shelfwise.taxonomy import path_text
from shelfwise_indexer.dead_letters import DeadLetters
from shelfwise_indexer.records import (
    DUPLICATE,
    LETTER_FIELDS,
    CatalogueError,
    Line,
    Record,
    Rejected,
    check_stays,
    json_records,
    json_text,
    lines,
    object_or_text,
    opened,
    text_of,
)
from shelfwise_indexer.seen import Seen
from shelfwise_indexer.tables import csv_records, parquet_records

__all__ = ["CatalogueError", "DeadLetters", "Rejected", "Row", "dead_letters_path", "file_hash", "read"]

JSON_LINES = (".jsonl", ".ndjson", ".json")
TABLES = (".csv", ".tsv")
EXTENSIONS = (*(kind + packed for kind in (*JSON_LINES, *TABLES) for packed in ("", ".gz")), ".parquet")
MAX_LINE_BYTES = 10_000_000

_GZIP_MAGIC = b"\x1f\x8b"
_LETTER_FIELDS_QUOTED = [b'"%s"' % field.encode() for field in LETTER_FIELDS]


@dataclass(frozen=True, slots=True)
class Row:
    """One product, the line it stands on (1 = first; of Parquet the row) and the record as the shop wrote it."""

    line: int
    product: Product
    record: Mapping[str, Any]
    source: str = ""
    """Hash of the line, where that was asked for; see `known_lines`."""

    @property
    def id(self) -> str:
        """The product's."""
        return self.product.id

    @property
    def categories(self) -> list[str]:
        """The product's, as text."""
        return [path_text(path) for path in self.product.categories]

    def rejected(self, reason: str) -> Rejected:
        """This row, turned away by a later stage."""
        return Rejected(self.line, reason, json_text(self.record), self.product.id)


def read(path: str | os.PathLike[str], max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Row | Rejected]:
    """Every non-blank line of a catalogue, in order, as a product or as the reason why it is none.

    JSON lines, CSV or TSV (also `.gz`) and Parquet, told apart by the extension; `-` is standard input with JSON lines.
    A line of a dead-letter file stands for the record in it. Of products with the same id the first is kept; ids are
    remembered in a temporary file (see `seen`), so memory does not grow with the catalogue.

    :param max_line_bytes: longer lines are rejected unread.
    :raises CatalogueError: the file is not there, of no known kind, or without rows; raised at once, not while reading.
    :raises UsageError: standard input is closed.
    """
    name = os.fspath(path)
    return not_empty(_rows(_records(name, max_line_bytes)), name)


def not_empty(rows: Iterator[Any], name: str) -> Iterator[Any]:
    """The rows of a catalogue.

    :raises CatalogueError: there are none; raised at once, not while reading.
    """
    first = next(rows, None)
    if first is None:
        raise CatalogueError(f"{_spoken(name)}: the catalogue is empty: expected at least one product, found no rows")
    return itertools.chain((first,), rows)


def file_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 of the file as it lies there (hex).

    :raises CatalogueError: there is no such file, or it is a pipe.
    """
    check_stays(os.fspath(path))
    with opened(os.fspath(path)) as stream:
        return hashlib.file_digest(cast(BufferedReader, stream), "sha256").hexdigest()


def dead_letters_path(catalogue: str | os.PathLike[str], alias: str | None = None) -> FilePath:
    """Where the rejected lines of a catalogue go: `<catalogue stem>.<alias>.dead-letters.jsonl`, here."""
    name = FilePath(catalogue).name
    extension = _extension(name)
    stem = "stdin" if name == "-" else name[: len(name) - len(extension)] if extension else name
    named = stem if alias is None else f"{stem}.{alias}"
    return FilePath(f"{named}.dead-letters.jsonl")


def _records(name: str, max_line_bytes: int) -> Iterator[Record | Rejected]:
    if name == "-":
        yield from json_records(lines(standard_input(), max_line_bytes))
        return
    extension = _extension(name)
    if extension is None:
        opened(name).close()
        raise CatalogueError(f"{name}: of no known kind: expected a name that ends in {', '.join(EXTENSIONS)}")
    if extension == ".parquet":
        yield from parquet_records(name)
        return
    if extension.startswith(TABLES):
        with _lines(name, extension, max_line_bytes) as its_lines:
            yield from csv_records(its_lines, name, max_line_bytes)
    else:
        yield from json_records(json_lines(name, max_line_bytes))


def has_json_lines(name: str) -> bool:
    """Whether each line of the file says by itself what it holds; not asked of standard input."""
    return (_extension(name) or "").removesuffix(".gz").endswith(JSON_LINES)


def holds_dead_letters(path: str | os.PathLike[str]) -> bool:
    """Whether the records of a file are dead letters, as `DeadLetters` writes them.

    :raises CatalogueError: some are and others are not, so that it is neither these nor a catalogue; or it is a pipe.
    """
    name = os.fspath(path)
    check_stays(name)
    found: bool | None = None
    if not has_json_lines(name):
        return False
    for line in json_lines(name, MAX_LINE_BYTES):
        if found is False and not all(field in line.content for field in _LETTER_FIELDS_QUOTED):
            continue  # of a catalogue hardly a line is parsed for this
        content = object_or_text(text_of(line.content))
        if not isinstance(content, dict):
            continue
        is_letter = content.keys() == LETTER_FIELDS
        if found not in (None, is_letter):
            others = (
                "a dead letter, which those before it are not"
                if is_letter
                else "no dead letter, as those before it are"
            )
            raise CatalogueError(
                f"{name}: line {line.number}: is {others}: mend only `record` of a letter, and keep other products in "
                "a file of their own, which replaces what is live"
            )
        found = is_letter
    return bool(found)


def json_lines(name: str, max_line_bytes: int) -> Iterator[Line]:
    """The lines of a file of JSON lines."""
    extension = _extension(name) or ""
    with _lines(name, extension, max_line_bytes) as its_lines:
        yield from _no_array(its_lines, name, extension)


@contextmanager
def _lines(name: str, extension: str, max_line_bytes: int) -> Iterator[Iterator[Line]]:
    with opened(name) as file, unpacked(file, name) if extension.endswith(".gz") else nullcontext(file) as stream:
        yield lines(stream, max_line_bytes)


def _rows(records: Iterable[Record | Rejected]) -> Iterator[Row | Rejected]:
    with closing(Seen()) as seen:
        yield from _unique(records, seen)


def _unique(records: Iterable[Record | Rejected], seen: Seen) -> Iterator[Row | Rejected]:
    for record in records:
        yield record if isinstance(record, Rejected) else row_of(record, seen)


def row_of(record: Record, seen: Seen, source: str = "") -> Row | Rejected:
    """The product of a record, or why it is none.

    :param source: see `Row`.
    """
    line, content = record
    try:
        product = parse_product(content)
    except InvalidProduct as error:
        return Rejected(line, str(error), json_text(content), id_text(content.get("id")))
    if not seen.add(product.id):
        reason = f"product {product.id}: {DUPLICATE}: an earlier line has it, and the first one is kept"
        return Rejected(line, reason, json_text(content), product.id)
    return Row(line, product, content, source)


def _no_array(its_lines: Iterator[Line], name: str, extension: str) -> Iterator[Line]:
    for line in its_lines:
        if line.blank:
            continue
        if line.content.lstrip().startswith(b"["):
            stem = FilePath(name).name[: -len(extension)]
            plain = f"gzip -dc {name} | jq -c '.[]'" if extension.endswith(".gz") else f"jq -c '.[]' {name}"
            wanted = f"expected one object a line ({plain} > {stem}.lines.jsonl)"
            raise CatalogueError(f"{name}: line {line.number}: begins a JSON array: {wanted}")
        yield line
        break
    yield from its_lines


def unpacked(file: BinaryIO, name: str) -> BinaryIO:
    """What a gzip file holds.

    :raises CatalogueError: it is none.
    """
    magic = file.read(2)
    file.seek(0)
    if magic and magic != _GZIP_MAGIC:
        raise CatalogueError(f"{name}: not a gzip file: compress it, or take .gz off its name")
    return cast(BinaryIO, gzip.GzipFile(fileobj=file))


def _extension(name: str) -> str | None:
    lower = name.lower()
    return max((extension for extension in EXTENSIONS if lower.endswith(extension)), key=len, default=None)


def _spoken(name: str) -> str:
    return "standard input" if name == "-" else name
