"""Records: the lines of a file, each an object or the reason why it is none."""

import itertools
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, BinaryIO

import orjson

from shelfwise.errors import ShelfwiseError
from shelfwise.product import id_text

LETTER_FIELDS = frozenset(("file", "line", "id", "reason", "record"))
DUPLICATE = "duplicate id"  # begins the reason, after the product
MAX_DEPTH = 100  # objects and lists in one another; the server takes 20 in attributes, orjson reads 1,024, writes 254
TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels: flatten it (the server takes 20 in attributes)"
PRODUCT_EXPECTED = "expected an object with at least id and title"

_BOM = b"\xef\xbb\xbf"
_SHOWN_OF_A_LONG_LINE = 1_000  # bytes

Record = tuple[int, dict[str, Any]]  # the number of the line on which it begins, and what it holds


class CatalogueError(ShelfwiseError):
    """A catalogue cannot be read at all; the text names the file and what to do."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that is not a product: where, why, and what it held, so that it can be mended and read again."""

    line: int
    reason: str
    record_text: str
    id: str | None = None
    cut_off: bool = False
    """Whether nothing from here on could be read, so that nobody knows how much there was."""

    def check_not_cut_off(self, name: str) -> None:
        """:raises CatalogueError: what is made of this file would lack what could not be read."""
        if self.cut_off:
            raise CatalogueError(f"{name}, line {self.line}: {self.reason}")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, or why there is none to be had at this number."""

    number: int
    content: bytes
    fault: str | None = None
    cut_off: bool = False
    """See `Rejected`."""

    @property
    def blank(self) -> bool:
        """Whether there is nothing on it, and nothing wrong with it."""
        return not self.fault and not self.content.strip()


def opened(name: str) -> BinaryIO:
    """The file's bytes.

    :raises CatalogueError: it is not there, or cannot be opened.
    """
    try:
        return FilePath(name).open("rb")
    except FileNotFoundError:
        if name == "-":
            raise CatalogueError(
                "-: a file is needed here, as it is read twice: write standard input into one"
            ) from None
        raise CatalogueError(f"{name}: there is no such file: check the path") from None
    except IsADirectoryError:
        raise CatalogueError(f"{name}: is a folder: expected a file of products") from None
    except (OSError, ValueError) as error:
        raise CatalogueError(f"{name}: cannot be opened ({error}): check the path and its permissions") from None


def check_stays(name: str) -> None:
    """Refuse what can be read only once, before it is opened: a pipe that nobody writes to would be waited for.

    :raises CatalogueError: it is a pipe or a device.
    """
    try:
        kind = FilePath(name).stat().st_mode
    except (OSError, ValueError):
        return  # `opened` says what is wrong
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        raise CatalogueError(
            f"{name}: a file is needed here, as it is read twice: write what this pipe or device gives into one"
        )


def lines(stream: BinaryIO, max_line_bytes: int) -> Iterator[Line]:
    """The lines, counted from 1, blank ones too; a byte-order mark is passed over.

    What cannot be read further (a gzip file that is cut off) ends in a line with a fault.
    """
    for number in itertools.count(1):
        try:
            content = stream.readline(max_line_bytes + 1)
            cut = len(content) > max_line_bytes and not content.endswith(b"\n")
            rest = cut
            while rest:
                piece = stream.readline(1 << 20)
                rest = bool(piece) and not piece.endswith(b"\n")
        except (EOFError, OSError, zlib.error) as error:
            reason = (
                f"the file is cut off or damaged at this line ({error}): nothing from here on was read, get it anew"
            )
            yield Line(number, b"", reason, cut_off=True)
            return
        if not content:
            return
        if number == 1:
            content = content.removeprefix(_BOM)
        if cut:
            reason = (
                f"line is longer than {max_line_bytes:,} bytes: only its first {_SHOWN_OF_A_LONG_LINE:,} are here; "
                f"shorten line {number} of the file itself, which has the whole"
            )
            yield Line(number, content[:_SHOWN_OF_A_LONG_LINE], reason)
        else:
            yield Line(number, content)


def json_records(its_lines: Iterator[Line], expected: str = PRODUCT_EXPECTED) -> Iterator[Record | Rejected]:
    """The object on each line; a dead letter stands for the record in it.

    :param expected: how the reason begins for a line that is no object.
    """
    for line in its_lines:
        if line.blank:
            continue
        if line.fault:
            yield Rejected(line.number, line.fault, text_of(line.content), cut_off=line.cut_off)
            continue
        try:
            content = orjson.loads(line.content.decode("utf-8"))
        except UnicodeDecodeError as error:
            yield Rejected(line.number, not_utf8(line.content, error.start), text_of(line.content))
        except orjson.JSONDecodeError as error:
            yield Rejected(line.number, f"not JSON: {error}", text_of(line.content))
        else:
            yield _json_record(line, content, expected)


def _json_record(line: Line, content: object, expected: str) -> Record | Rejected:
    if isinstance(content, dict) and content.keys() == LETTER_FIELDS:
        return _unwrapped(line, content, expected)
    if line.content.count(b"{") + line.content.count(b"[") > MAX_DEPTH and too_deep(content):
        return Rejected(line.number, TOO_DEEP, text_of(line.content))
    if isinstance(content, dict):
        return line.number, content
    shown = json_text(content)
    return Rejected(line.number, f"{expected}, got {shown[:60]}", shown)


def _unwrapped(line: Line, letter: dict[str, Any], expected: str) -> Record | Rejected:
    inner = letter["record"]
    content = writable(inner) if isinstance(inner, str) else inner
    if isinstance(content, str):
        why = TOO_DEEP if too_deep(object_or_text(content)) else "not an object: mend `record`"
        return Rejected(line.number, f"the record of this dead letter is still {why}", content)
    record = _json_record(line, content, expected)
    if isinstance(record, Rejected) or DUPLICATE not in str(letter["reason"]):
        return record
    its_id = id_text(letter["id"])
    if id_text(record[1].get("id")) != its_id:
        return record
    why = f"product {its_id}: {DUPLICATE} still: give it one of its own, or take the line out"
    return Rejected(line.number, why, json_text(record[1]), its_id)


def object_or_text(text: str) -> object:
    """The object that the text is in JSON, else the text."""
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return content if isinstance(content, dict) else text


def writable(text: str) -> object:
    """As `object_or_text`, but what is nested too deep to be written again stays text."""
    content = object_or_text(text)
    return text if too_deep(content) else content


def too_deep(content: object) -> bool:
    """Whether objects and lists are nested deeper than MAX_DEPTH."""
    level = [content] if isinstance(content, (dict, list)) else []
    for _ in range(MAX_DEPTH):
        within = (part for one in level for part in (one.values() if isinstance(one, dict) else one))
        level = [part for part in within if isinstance(part, (dict, list))]
    return bool(level)


def json_text(content: object) -> str:
    """The value as one line of JSON."""
    return orjson.dumps(content).decode()


def text_of(content: bytes) -> str:
    r"""A line for people: what is not UTF-8 becomes \xNN, which JSON does not take, so that it must be mended."""
    return content.decode("utf-8", "backslashreplace").rstrip("\r\n")


def not_utf8(content: bytes, at: int) -> str:
    """The reason that names the first byte which is not UTF-8."""
    return f"not UTF-8: byte 0x{content[at]:02x} at column {at + 1}: save the file as UTF-8"
