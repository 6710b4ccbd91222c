"""What is held out: of each person the last product, to see whether it would have been recommended before."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from shelfwise.history import BASKET_GAP, Event, in_order

SEED = 0

Reason = Literal["nothing bought", "too short", "next unknown", "next out of stock", "history unknown"]
MEANING: Mapping[Reason, str] = {
    "nothing bought": "bought nothing",
    "too short": "did nothing with another product before",
    "next unknown": "went on to a product that the index does not have",
    "next out of stock": "went on to a product that is out of stock now, which is never recommended",
    "history unknown": "did before nothing with a product that the index has",
}


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One person: what is given to a recommender, and what it is to find."""

    user: str
    history: tuple[Event, ...]
    """Oldest first, of known products; at least one."""
    next: str

    @property
    def repeats(self) -> bool:
        """Whether the hidden product had been bought before."""
        return any(event.product == self.next for event in self.history)


@dataclass(frozen=True, slots=True)
class LastOut:
    """The people of a log who can be measured, and how many cannot, by the reason."""

    people: tuple[HeldOut, ...]
    skipped: Mapping[Reason, int]


def hold_out(
    histories: Mapping[str, Sequence[Event]], known: Collection[str], out_of_stock: Collection[str] = frozenset()
) -> LastOut:
    """Hide the last product that each person bought (leave-last-out); the events before it are the history.

    In a log in which nobody bought anything it is the last product of any event. Events of that product in a row are
    one occasion, hidden with it, unless it was bought a day before or more. So are its views and carts before: they
    were the way to it.

    :param histories: user to events, as they were told.
    :param known: ids of the products that the index has.
    """
    purchases = any(event.bought for history in histories.values() for event in history)
    people: list[HeldOut] = []
    skipped: Counter[Reason] = Counter()
    for user, history in histories.items():
        events = in_order(history)
        while purchases and events and not events[-1].bought:
            events.pop()
        if history and not events:
            skipped["nothing bought"] += 1
            continue
        target = events[-1].product if events else None
        events = _before_the_last_occasion(events)
        before = [event for event in events if event.bought or event.product != target]
        mine = tuple(event for event in before if event.product in known)
        if target is None or not before:
            skipped["too short"] += 1
        elif target not in known:
            skipped["next unknown"] += 1
        elif target in out_of_stock:
            skipped["next out of stock"] += 1
        elif not mine:
            skipped["history unknown"] += 1
        else:
            people.append(HeldOut(user, mine, target))
    return LastOut(tuple(people), {reason: skipped[reason] for reason in MEANING if skipped[reason]})


def _before_the_last_occasion(events: Sequence[Event]) -> list[Event]:
    left = list(events)
    while left and left[-1].product == events[-1].product and not _earlier_purchase(left[-1], events[-1]):
        left.pop()
    return left


def _earlier_purchase(event: Event, last: Event) -> bool:
    if event.time is None or last.time is None:
        return False
    return event.bought and last.time - event.time >= BASKET_GAP


def sampled(people: Sequence[HeldOut], sample: int) -> tuple[HeldOut, ...]:
    """At most so many of them, drawn at random (fixed seed), in their order."""
    chosen = np.sort(np.random.default_rng(SEED).permutation(len(people))[:sample])
    return tuple(people[place] for place in chosen)


def folds(people: Sequence[HeldOut], count: int) -> list[tuple[HeldOut, ...]]:
    """The people in so many parts of equal size, at random (fixed seed); with fewer people, one each."""
    parts = np.array_split(np.random.default_rng(SEED).permutation(len(people)), min(count, len(people)))
    return [tuple(people[place] for place in np.sort(part)) for part in parts]
