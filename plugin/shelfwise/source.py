"""The source of a hit: its values as the index reads them.

`_source` keeps what a shop's own update sent, where the mapping coerces: `"19.99"` is a price, `"false"` out of stock.
"""

import math
from collections.abc import Mapping
from typing import Any

Source = Mapping[str, Any]
OWN = "shelfwise"
OWN_DOTTED = f"{OWN}."


def price_of(source: Source) -> float | None:
    """The price; None: there is none."""
    return _number(source.get("price"))


def popularity_of(source: Source) -> float | None:
    """The popularity, at least 0; None: there is none."""
    number = _number(source.get("popularity"))
    return None if number is None else max(0.0, number)


def in_stock(source: Source) -> bool | None:
    """Whether it is in stock; None: not known."""
    value = _first(source.get("in_stock"))
    if isinstance(value, str):
        return {"true": True, "false": False, "": False}.get(value)
    return value if isinstance(value, bool) else None


def confidence_of(enriched: Source) -> float | None:
    """The confidence in a product's object `shelfwise`, as exact as a float32 is; None: there is none."""
    confidence = _number(enriched.get("confidence"))
    return None if confidence is None else float(f"{confidence:.7g}")


def listed(value: object) -> list[Any]:
    """A field's values: to Elasticsearch one value, a list of one and a list within a list are the same."""
    if isinstance(value, list):
        return [one for part in value for one in listed(part)]
    return [] if value is None else [value]


def enrichment_of(source: Source) -> dict[str, Any]:
    """The object `shelfwise`: a partial update may have written fields of it under dotted names, beside the object."""
    dotted = {name.removeprefix(OWN_DOTTED): value for name, value in source.items() if name.startswith(OWN_DOTTED)}
    return {**(source.get(OWN) or {}), **dotted}


def attributes_of(source: Source) -> dict[str, Any]:
    """The attributes of a product, in one object: what the shop wrote by itself may be a list of such."""
    return {name: value for one in listed(source.get("attributes")) for name, value in one.items()}


def brand_of(source: Source) -> str | None:
    """The brand, of several the first; None: there is none."""
    value = _first(source.get("brand"))
    return None if value is None else str(value)


def _first(value: object) -> object:
    return next(iter(listed(value)), None)


def _number(value: object) -> float | None:
    first = _first(value)
    if not isinstance(first, int | float | str):
        return None
    try:
        number = float(first)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
