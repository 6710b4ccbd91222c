"""Filters: what a caller restricts a search to. They only ever remove products; they never change a score."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from shelfwise.errors import UsageError
from shelfwise.product import CONTRACT_FIELDS, is_number, shown
from shelfwise.taxonomy import Path, path_text

Body = dict[str, Any]

STATUSES = ("accepted", "review", "confirmed", "corrected")
_EXACT = {"id": "id", "brand": "brand.folded", "language": "language", "variant_of": "variant_of"}
_NUMBERS = ("price", "popularity")
_STATUS = "shelfwise.status"
_NAMES = {field: name for name, field in _EXACT.items()} | {_STATUS: "status"}
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_ATTRIBUTE = "attributes."
_NUMBER = re.compile(r"(-?(?:0|[1-9]\d*))(?:\.(\d*?)0*)?")  # 007 is a code
_RANGE = re.compile(r"-?[\d.]*\d\s*\.\.\s*(<?\s*-?\d[\d.]*)?|\.\.\s*<?\s*-?\d[\d.]*")
FIELDS = (*_EXACT, *_NUMBERS, "in_stock", "status")
LONGEST = 1024  # characters; the mapping indexes no longer value


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition on one field. Build it with `Filter.parse`.

    :raises UsageError: as `parse`.
    """

    field: str
    """The field in the index; it may be given as callers name it, as `parse` reads it."""
    value: str | float | bool | tuple[float | None, float | None]
    """A term, or the two ends of a range, both included, None for an open one."""

    def __post_init__(self) -> None:
        if not isinstance(self.field, str):
            raise UsageError(f"the field of a filter must be a name such as brand, got {_shown(self.field)}")
        field, value = _read(_NAMES.get(self.field, self.field), self.value)
        object.__setattr__(self, "field", field)
        object.__setattr__(self, "value", value)

    @classmethod
    def parse(cls, text: str) -> "Filter":
        """Read `FIELD=VALUE`: `brand=Sony`, `price=10..20`, `price=..20`, `in_stock=true`, `color=red`.

        The ends of a range belong to it; `price=10..<20` ends below 20, as the ranges of `PriceFacet` do.

        A field that the product contract does not name is an attribute; `attributes.color` is the same as `color`.
        Brand and language match whatever their capitals and accents; an attribute matches exactly, but for 5 and 5.0,
        and for true and True.

        :raises UsageError: not of this form, a field that cannot be filtered by, or a value that its field never has.
        """
        if not isinstance(text, str):
            raise UsageError(f"filter {_shown(text)}: expected its text, such as brand=Sony or price=10..20")
        name, equals, value = text.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name or not value:
            raise UsageError(f"filter {_shown(text)}: expected FIELD=VALUE, such as brand=Sony or price=10..20")
        return cls(*_read(name, value))

    @property
    def name(self) -> str:
        """The field as callers name it."""
        return _NAMES.get(self.field, self.field.removeprefix(_ATTRIBUTE))

    @property
    def attribute(self) -> str | None:
        """Name of the attribute, if the condition is on one: whether a catalogue has it, only the index knows."""
        return self.field.removeprefix(_ATTRIBUTE) if self.field.startswith(_ATTRIBUTE) else None

    def body(self) -> Body:
        """The condition as a query of the server."""
        if isinstance(self.value, tuple):
            least, most = self.value
            ends = {"gte": least, "lte": most}
            return {"range": {self.field: {name: end for name, end in ends.items() if end is not None}}}
        if self.attribute and len(forms := _forms(str(self.value))) > 1:
            return {"terms": {self.field: forms}}
        return {"term": {self.field: {"value": self.value}}}


def filter_bodies(filters: Iterable[Filter], category: Path | None = None) -> list[Body]:
    """All conditions as queries that must all hold; conditions on the same field are alternatives.

    :param category: finds the products of this node and of everything below it.
    """
    by_field: dict[str, list[Filter]] = {}
    for condition in dict.fromkeys(filters):
        by_field.setdefault(condition.field, []).append(condition)
    bodies = [in_category(category)] if category is not None else []
    for same in by_field.values():
        if len(same) == 1:
            bodies.append(same[0].body())
        else:
            either = [condition.body() for condition in same]
            bodies.append({"bool": {"should": either, "minimum_should_match": 1}})
    return bodies


def in_category(path: Path) -> Body:
    """Products of this node of the taxonomy or of one below it."""
    return {"term": {"shelfwise.ancestors": {"value": path_text(path)}}}


def has_attribute(name: str) -> Body:
    """Products that have the attribute at all."""
    return {"exists": {"field": _ATTRIBUTE + name}}


def unknown_attribute(name: str, known: Sequence[str]) -> UsageError:
    """The error for an attribute that no product has."""
    others = f"attributes are {', '.join(known)}" if known else "no product has any"
    return UsageError(f"no product has an attribute {_shown(name)}: {others}; other fields are {', '.join(FIELDS)}")


def _read(name: str, value: Any) -> tuple[str, Any]:
    """The field in the index, and the value that it is compared with; see `Filter.parse`.

    :param value: as text, or as `Filter` has it.
    """
    is_range = name in _NUMBERS and isinstance(value, tuple) and len(value) == 2
    if not isinstance(value, str | Real) and not is_range:
        raise UsageError(
            f"filter on {_shown(name)}: expected one value, or the two ends of a range of {' or '.join(_NUMBERS)}, "
            f"got {_shown(value)}; several filters on one field are alternatives"
        )
    text = value if isinstance(value, str) else None
    if text is not None and (len(text) > LONGEST or "\0" in name + text):
        raise UsageError(f"filter on {_shown(name)}: a value has at most {LONGEST} characters, no NUL among them")
    if name in _EXACT:
        return _EXACT[name], value
    if name in _NUMBERS:
        ends = value if isinstance(value, tuple) else (value, value) if text is None else _range(text)
        return name, _checked(name, ends, value)
    if name == "in_stock":
        truth = value if isinstance(value, bool) else TRUTH.get(str(value).lower())
        if truth is None:
            raise UsageError(f"filter in_stock={_shown(value)}: expected true or false")
        return name, truth
    if name == "status":
        if value not in STATUSES:
            raise UsageError(f"filter status={_shown(value)}: expected one of {', '.join(STATUSES)}")
        return _STATUS, value
    if name in ("category", "categories"):
        raise UsageError("a category is not a filter field: pass it as --category, which finds all below it too")
    if name in CONTRACT_FIELDS:
        raise UsageError(f"{name} cannot be filtered by: there are {', '.join(FIELDS)}, and any attribute")
    if text is not None and _RANGE.fullmatch(text):
        raise UsageError(
            f"filter {_shown(name)}={_shown(value)}: attributes have no ranges, only values such as "
            f"{name:.60}=2; ranges are of {' and '.join(_NUMBERS)}"
        )
    return _ATTRIBUTE + name.removeprefix(_ATTRIBUTE), value


def _forms(value: str) -> list[str]:
    """How catalogues write a value of an attribute, which is stored as text: a number with and without `.0`."""
    if value.lower() in ("true", "false"):
        return list(dict.fromkeys([value, value.lower(), value.capitalize()]))
    if number := _NUMBER.fullmatch(value):
        whole, part = number[1], number[2]
        return list(dict.fromkeys([value, *([f"{whole}.{part}"] if part else [whole, f"{whole}.0"])]))
    return [value]


def _range(text: str) -> tuple[float | None, float | None]:
    """The two ends; NaN for what is no number."""
    first, dots, last = text.partition("..")
    below = last.strip().startswith("<")
    last = last.strip().removeprefix("<") if dots else first
    try:
        least, most = (float(end) if end.strip() else None for end in (first, last))
    except ValueError:
        return math.nan, math.nan
    if below:
        most = math.nan if most is None else math.nextafter(most, -math.inf)  # the greatest number below
    return least, most


def _checked(name: str, ends: tuple[Any, Any], given: object) -> tuple[float | None, float | None]:
    """:raises UsageError: they are no range."""
    numbers = [end for end in ends if end is not None]
    if not numbers or not all(_is_number(end) for end in numbers):
        raise UsageError(f"filter {name}={_shown(given)}: expected a number or a range such as 10..20, ..20 or 10..")
    if len(numbers) == 2 and numbers[0] > numbers[1]:
        raise UsageError(f"filter {name}={_shown(given)}: the range is empty, write the lesser number first")
    return ends


def _is_number(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)


def _shown(given: object) -> str:
    if not isinstance(given, str):
        return shown(given)
    return repr(given) if len(given) <= 60 else repr(given[:57] + "...")
