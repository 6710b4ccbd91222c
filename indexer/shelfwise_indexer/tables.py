"""Tables: the records of CSV and Parquet files."""

import csv
import itertools
import math
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import orjson

from shelfwise.product import CONTRACT_FIELDS, EXACT_BELOW, id_text
from shelfwise_indexer.cells import COMMA_IS_FREE, NEEDED, content, holds, with_point
from shelfwise_indexer.parquet_values import Reading, readings
from shelfwise_indexer.records import (
    CatalogueError,
    Line,
    Record,
    Rejected,
    json_text,
    not_utf8,
    opened,
    text_of,
)

SHOWN_BYTES = 200  # in a dead letter, of what is no text
_PARQUET_BATCH = 1_024
_WHOLE = ("id", "variant_of", "in_stock")  # pandas makes a column of whole numbers floats where a value is missing
_DELIMITERS: tuple[str, ...] = (",", ";", "\t")
_EXCEL = re.compile(rb'"?sep=([\t -~])"?\r?\n?', re.IGNORECASE)
_END_OF_OLD = re.compile(rb"\r[^\r\n\0]")  # of a line, as Macs wrote it


def csv_records(lines: Iterator[Line], name: str, max_line_bytes: int) -> Iterator[Record | Rejected]:
    """The rows of a CSV file, empty cells and blank ones left out; a record's line is where it begins.

    The first line is the header; the delimiter is a comma, a semicolon or a tab, or what Excel's line `sep=` before
    the header says. Where it is a semicolon, price and popularity may have a decimal comma: `1.299,50`, and not
    `1,299`, which may be a thousand. Several paths in a cell of `categories` are apart by `|`. What an unclosed quote
    swallowed is put back and read line by line.

    :param max_line_bytes: the longest cell, too.
    :raises CatalogueError: the header cannot be read, has no id or title, or names a column twice.
    """
    csv.field_size_limit(max_line_bytes)  # of this process; Python's own, 131,072, is less than a page's HTML
    filled = (line for line in lines if not line.blank)
    header, signs = next(filled, None), _DELIMITERS
    if header is not None and (told := _EXCEL.fullmatch(header.content)):
        header, signs = next(filled, None), (told[1].decode(),)
    if header is None:
        return
    columns, delimiter = _header(header, name, signs)
    source = _Source(lines)
    for line in source:
        if line.blank:
            continue
        taken = [line]
        try:
            cells = next(csv.reader(_read_on(taken, source), delimiter=delimiter, strict=True))
        except csv.Error as error:
            source.put_back(taken[1:])
            reason = line.fault or f"not CSV: {error}"
            yield Rejected(line.number, reason, text_of(line.content), cut_off=line.cut_off)
        else:
            yield _csv_record(columns, cells, taken, delimiter)


def _csv_record(columns: list[str], cells: list[str], taken: list[Line], delimiter: str) -> Record | Rejected:
    written = b"".join(line.content for line in taken)
    try:
        written.decode("utf-8")
    except UnicodeDecodeError as error:
        return Rejected(taken[0].number, not_utf8(written, error.start), text_of(written))
    if len(cells) != len(columns):
        reason = (
            f"expected {len(columns)} cells, as in the header, got {len(cells)}: quote a cell that holds a delimiter"
        )
        return Rejected(taken[0].number, reason, text_of(written))
    named = {column: cell for column, cell in zip(columns, cells, strict=True) if column and holds(column, cell)}
    if delimiter == COMMA_IS_FREE:
        named = {column: with_point(column, cell) for column, cell in named.items()}
    try:
        return taken[0].number, {column: content(column, cell) for column, cell in named.items()}
    except ValueError as error:
        return Rejected(taken[0].number, str(error), json_text(named), _id(named))


class _Source:
    """Lines that can be put back."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._again = deque[Line]()

    def __iter__(self) -> Iterator[Line]:
        return self

    def __next__(self) -> Line:
        return self._again.popleft() if self._again else next(self._lines)

    def put_back(self, lines: list[Line]) -> None:
        self._again.extendleft(reversed(lines))


def _read_on(taken: list[Line], source: _Source) -> Iterator[str]:
    """What a CSV reader takes for one record: the line in `taken` and, while a quote is open, the next ones."""
    for line in itertools.chain(taken[:1], source):
        if line is not taken[0]:
            taken.append(line)
        if line.fault:
            raise csv.Error(f"a quote is still open at line {line.number}, which cannot be read")
        yield line.content.decode("utf-8", "surrogateescape")


def _header(line: Line, name: str, signs: Sequence[str]) -> tuple[list[str], str]:
    """The column names (contract fields in lower case) and the delimiter that finds most of the contract's fields."""
    try:
        text = line.content.decode("utf-8")
        if line.fault:
            raise csv.Error(line.fault)
        read_with = {delimiter: next(csv.reader([text], delimiter=delimiter)) for delimiter in signs}
    except (UnicodeDecodeError, csv.Error) as error:
        if _END_OF_OLD.search(line.content):
            raise CatalogueError(
                f"{name}: its lines end in \\r alone, as on old Macs: save it with Windows or Unix line ends"
            ) from None
        raise CatalogueError(
            f"{name}: line {line.number}: the header cannot be read ({error}): save as UTF-8"
        ) from None
    named = {
        delimiter: [cell.strip().lower() if cell.strip().lower() in CONTRACT_FIELDS else cell.strip() for cell in cells]
        for delimiter, cells in read_with.items()
    }
    delimiter = max(named, key=lambda sign: (len({*CONTRACT_FIELDS} & {*named[sign]}), len(named[sign])))
    columns = named[delimiter]
    _check_columns(columns, name)
    return columns, delimiter


def _check_columns(columns: list[str], name: str) -> None:
    if twice := sorted({column for column in columns if column and columns.count(column) > 1}):
        raise CatalogueError(f"{name}: the header names {', '.join(twice)} twice: rename one")
    if missing := [column for column in NEEDED if column not in columns]:
        found = ", ".join(columns[:20]) or "nothing"
        raise CatalogueError(
            f"{name}: no column {' and no column '.join(missing)}: expected both id and title, got {found}"
        )


def parquet_records(name: str) -> Iterator[Record | Rejected]:
    """The rows of a Parquet file, counted from 1, batch by batch; nulls stay, NaN becomes null, a map an object.

    :raises CatalogueError: it is no Parquet file, has no id or title, or names a column twice.
    """
    import pyarrow as pa  # here, because it takes longer to load than most catalogues to read
    from pyarrow import parquet

    with opened(name) as file:
        if not file.read(1):
            return
        file.seek(0)
        try:
            table = parquet.ParquetFile(file)
        except (pa.ArrowException, OSError) as error:
            raise CatalogueError(f"{name}: not a Parquet file ({_first_line(error)}): write it anew") from None
        _check_columns(table.schema_arrow.names, name)
        row, meant = 0, readings(table.schema_arrow)
        batches = table.iter_batches(batch_size=_PARQUET_BATCH)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                reason = f"the file is damaged at this row ({_first_line(error)}): nothing from here on was read"
                yield Rejected(row + 1, f"{reason}, get it anew", "", cut_off=True)
                return
            if batch is None:
                return
            try:
                records = batch.to_pylist()
            except (OverflowError, ValueError):  # the same row by row, to find what cannot be read
                records = [_read_alone(row + at + 1, batch.slice(at, 1), meant) for at in range(batch.num_rows)]
            for record in records:
                row += 1
                yield record if isinstance(record, Rejected) else _parquet_record(row, record, meant)


def _read_alone(row: int, batch: Any, meant: Mapping[str, Reading]) -> dict[str, Any] | Rejected:
    import pyarrow as pa

    record: dict[str, Any] = {}
    reason = ""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            record[name] = column[0].as_py()
        except UnicodeDecodeError as error:
            reason = f"{name} is {not_utf8(error.object, error.start)}"
            record[name], meant = text_of(error.object), {other: meant[other] for other in meant if other != name}
        except (OverflowError, ValueError) as error:
            expected = "expected a moment of the years 1 to 9999, in a known time zone"
            reason = f"{name} cannot be read ({_first_line(error)}): {expected}"
            record[name] = _as_text(column) if pa.types.is_temporal(column.type) else None
    if not reason:
        return record
    others = _parquet_record(row, record, meant)
    text = others.record_text if isinstance(others, Rejected) else _to_be_mended(others[1])
    return Rejected(row, reason, text, _id(record))


def _as_text(moments: Any) -> str | None:
    """The first of a column of moments; of an unknown time zone in UTC."""
    import pyarrow as pa

    try:
        text = moments.cast(pa.string())
    except pa.ArrowInvalid:
        text = moments.cast(pa.int64()).cast(pa.timestamp(moments.type.unit)).cast(pa.string())
    return cast(str | None, text[0].as_py())


def _parquet_record(row: int, record: dict[str, Any], meant: Mapping[str, Reading]) -> Record | Rejected:
    for name in meant.keys() & record.keys():
        record[name] = None if record[name] is None else meant[name](record[name])
    plain = {name: _number(name, value) if isinstance(value, float) else value for name, value in record.items()}
    try:
        # one way through JSON makes dates text and NaN null, as the other formats would have them
        return row, orjson.loads(orjson.dumps(plain, default=_as_json))
    except (orjson.JSONEncodeError, ValueError) as error:
        return Rejected(row, f"a value that JSON cannot hold: {error}", _to_be_mended(plain), _id(record))


def _id(record: Mapping[str, Any]) -> str | None:
    return id_text(record.get("id"))


def _to_be_mended(record: Mapping[str, Any]) -> str:
    """A row for people, whole but for most of what is no text; its JSON is none where `text_of` made text of bytes."""

    def readable(value: object) -> object:
        return text_of(value[:SHOWN_BYTES]) if isinstance(value, bytes) else _as_json(value)

    try:
        return orjson.dumps(record, default=readable).decode().replace("\\\\x", "\\x")
    except orjson.JSONEncodeError:
        return str(record)


def _number(name: str, value: float) -> object:
    """A float as the other formats would have it: infinity is text, which is no price; an id is a whole number."""
    if math.isinf(value):
        return str(value)
    return int(value) if name in _WHOLE and value.is_integer() and abs(value) < EXACT_BELOW else value


def _as_json(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("utf-8")
    try:
        return float(value)  # type: ignore[arg-type]  # decimal.Decimal, the only number that orjson does not know
    except (TypeError, ValueError):
        return str(value)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
