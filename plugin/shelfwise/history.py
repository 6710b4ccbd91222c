"""The history: what a person looked at, put into the cart or bought, and how much each product of it counts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Literal, get_args

from shelfwise.errors import UsageError
from shelfwise.product import id_text, iso_moment, shown

EventKind = Literal["view", "cart", "purchase"]
KIND_WEIGHTS: Mapping[EventKind, float] = {"view": 1.0, "cart": 2.0, "purchase": 4.0}
DECAY = 0.7  # each product further back counts so much of the one after it
HALF_LIFE = 30.0  # days after which an event counts half, beside DECAY, where times are known
DAY = 86_400.0  # seconds
BASKET_GAP = DAY  # seconds without an event that end a basket
LATEST = 7_258_118_400.0  # seconds: the year 2200, beyond which a time is in another unit
AS_DATE = 1900_01_01, 2200_12_31  # whole numbers that are no seconds, all of 1970, but a date without hyphens
MOST_WEIGHT = 1000.0  # of the shop's own factor: what is greater is an order's value, or a slip
FIELDS = ("product", "time", "kind", "weight")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a person did with one product."""

    product: str
    time: float | None = None
    """Seconds since 1970, UTC."""
    kind: EventKind | None = None
    """None where the shop does not say: it counts as a purchase, as most logs without kinds are of purchases."""
    weight: float = 1.0
    """The shop's own factor, 0 to `MOST_WEIGHT`."""

    @property
    def bought(self) -> bool:
        """Whether the product is the person's own now."""
        return self.kind in (None, "purchase")


def parse_event(value: object) -> Event:
    """An event as a product id, or as an object with `product` and optionally `time`, `kind` and `weight`.

    Fields that are not an event's are passed over.

    :raises UsageError: it is neither, or one of its fields is wrong; the message names field and value.
    """
    if not isinstance(value, Mapping):
        return Event(_product(value))
    return Event(
        _product(value.get("product")), _time(value.get("time")), _kind(value.get("kind")), _weight(value.get("weight"))
    )


def parse_history(value: object) -> list[Event]:
    """A history, oldest first, as JSON has it: a list of events.

    :raises UsageError: it is no list, or one of its events is none; the message says which.
    """
    if not isinstance(value, (list, tuple)):
        raise UsageError(f"history must be a list of product ids or events, oldest first, got {shown(value)}")
    events = []
    for place, given in enumerate(value, start=1):
        try:
            events.append(parse_event(given))
        except UsageError as error:
            raise UsageError(f"event {place} of the history: {error}") from None
    return events


def check_user(value: object) -> str | int:
    """Who an event is of, as it was given.

    :raises UsageError: it is neither text nor a whole number (JSON numbers from 2^64 on are read as floats).
    """
    if not isinstance(value, (str, int)) or isinstance(value, bool) or value == "":
        raise UsageError(f"user must be an id, text or a whole number, got {str(value)[:60]!r}")
    return value


def in_order(history: Sequence[Event]) -> list[Event]:
    """Oldest first: by time where every event has one, else as it was given."""
    if all(event.time is not None for event in history):
        return sorted(history, key=lambda event: event.time or 0.0)
    return list(history)


def product_weights(history: Sequence[Event]) -> dict[str, float]:
    """How much each product counts, newest first: `DECAY` a product further back, times its strongest event.

    Where times are known an event also counts half for every `HALF_LIFE` days that it is older than the newest. The
    greatest weight is 1.
    """
    newest_first = list(reversed(in_order(history)))
    newest = max((event.time for event in history if event.time is not None), default=0.0)
    weights: dict[str, float] = {}
    rank: dict[str, int] = {}
    for event in newest_first:
        steps = rank.setdefault(event.product, len(rank))
        age = 0.0 if event.time is None else (newest - event.time) / DAY
        weight = DECAY**steps * 0.5 ** (age / HALF_LIFE) * KIND_WEIGHTS[event.kind or "purchase"] * event.weight
        weights[event.product] = max(weights.get(event.product, 0.0), weight)
    most = max(weights.values(), default=0.0)
    return {product: weight / most for product, weight in weights.items()} if most > 0 else weights


def _product(value: object) -> str:
    if (id_ := id_text(value)) is None:
        raise UsageError(f"product must be an id, text or a whole number, got {shown(value)}")
    return id_


def _time(value: object) -> float | None:
    if value is None:
        return None
    try:
        if isinstance(value, bool):
            raise TypeError
        if isinstance(value, (int, float)):
            seconds = float(value)
        else:
            moment = iso_moment(str(value))
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if not math.isfinite(seconds):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise UsageError(
            f"time must be a moment as ISO 8601 has it, or seconds since 1970, got {shown(value)}"
        ) from None
    if isinstance(value, (int, float)) and seconds.is_integer() and AS_DATE[0] <= seconds <= AS_DATE[1]:
        raise UsageError(
            f"time looks like a date: write it as text (a number is read as seconds since 1970), got {shown(value)}"
        )
    if seconds >= LATEST:
        raise UsageError(
            f"time is after the year 2200: milliseconds? seconds since 1970 are expected, got {shown(value)}"
        )
    return seconds


def _kind(value: Any) -> EventKind | None:
    if value is not None and value not in get_args(EventKind):
        raise UsageError(f"kind must be one of {', '.join(get_args(EventKind))}, got {shown(value)}")
    kind: EventKind | None = value
    return kind


def _weight(value: object) -> float:
    if value is None:
        return 1.0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MOST_WEIGHT:
        raise UsageError(
            f"weight must be a number from 0 to {MOST_WEIGHT:,.0f} (how much the event counts, 1 as others do), "
            f"got {shown(value)}"
        )
    return float(value)
