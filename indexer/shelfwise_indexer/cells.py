"""Cells: what a cell of a CSV file holds."""

import ast
import re
from typing import Any

import orjson

from shelfwise.product import CONTRACT_FIELDS, shown
from shelfwise_indexer.records import too_deep, writable

NEEDED = ("id", "title")
COMMA_IS_FREE = ";"  # the delimiter of those whose numbers have a comma

_NUMBERS = ("price", "popularity")
# Not `1,299`, which may be a thousand and more.
_DECIMAL_COMMA = re.compile(r"(?![1-9][0-9]{0,2},[0-9]{3}$)[0-9]{1,3}(\.?[0-9]{3})*,[0-9]+")
_PATHS = ("category", "categories")
_IDS = ("id", "variant_of")
_WHOLE_AS_FLOAT = re.compile(r"[0-9]+\.0")
_MAY_BE_MISSING = {*CONTRACT_FIELDS} - {*NEEDED}
_MISSING = ("nan", "NaN")  # what pandas makes text of where there was nothing
# `['A', …]`, `[]`, `[A, B]`, and not `[Sale]` or `[New] A > B`, which shops call categories.
_A_LIST = re.compile(r"\[\s*(?:['\"\[\]]|[^\]>|]*,[^\]>|]*\]$)")
# A text as Python writes it, and the comma behind it, which numpy's lists lack.
_LISTED = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*,?""", re.DOTALL)


def holds(column: str, cell: str) -> bool:
    """Whether there is something in the cell."""
    return bool(cell.strip()) and not (cell in _MISSING and column in _MAY_BE_MISSING)


def with_point(column: str, cell: str) -> str:
    """The cell, or where it is a number with a decimal comma, that number with a point and without thousands' ones."""
    if column in _NUMBERS and _DECIMAL_COMMA.fullmatch(cell.strip()):
        return cell.strip().replace(".", "").replace(",", ".")
    return cell


def content(column: str, cell: str) -> object:
    """What a record has of it: of paths and attributes what they are in JSON, else the text.

    :raises ValueError: it does not hold what it seems to; says what was expected.
    """
    if column in _IDS and _WHOLE_AS_FLOAT.fullmatch(cell.strip()):
        whole = cell.strip()[:-2]
        raise ValueError(f"{column} {shown(cell)} looks like a whole number that was made a float: write {whole}")
    if column in _PATHS and _A_LIST.match(cell.strip()):
        return _list(column, cell.strip())
    if column == "categories":
        return [path for path in cell.split("|") if path.strip()]
    if column == "attributes":
        return writable(cell)
    return cell


def _list(column: str, cell: str) -> list[Any]:
    """A list in a cell, as JSON, pandas or numpy writes it.

    :raises ValueError: it is none.
    """
    for read, text in ((orjson.loads, cell), (ast.literal_eval, _LISTED.sub(r"\1,", cell))):
        try:
            found = orjson.loads(orjson.dumps(read(text)))  # Python's lists may hold what JSON cannot
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        if isinstance(found, list) and not too_deep(found):
            return found
    raise ValueError(f'{column} begins and ends as a list, and is none: write ["A", "B"] or A > B, got {shown(cell)}')
