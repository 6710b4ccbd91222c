"""The order: ranked products, window by window, become one list that pages cut the same way whatever their size.

Each window is retrieved and ranked by requests that are always the same, so that a product's place depends neither on
how many hits were asked for nor on where a page begins. Deeper windows only add what those before did not have.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from shelfwise.facets import Facets
from shelfwise.hit import group_of
from shelfwise.ranking import Candidate, one_of_each_group
from shelfwise.search_settings import Mode, Sort
from shelfwise.source import Source, in_stock, popularity_of, price_of
from shelfwise.spelling import Correction

WINDOWS = (100, 1000, 10_000)  # hits of each retriever; the last is `max_result_window` of the mapping
SORTED_AT_LEAST = 24  # products: behind fewer to the point the next best up to here come before the rest
SORTED_SHARE = 0.6  # of the best score; for the demo's queries .5 let in too much of 1,000 hits, .7 too little


def windows_of(mode: Mode, sort: Sort | None) -> tuple[int, ...]:
    """How many hits of each retriever are ranked at once, in turn.

    Sorted, the first 1,000 are: the cheapest product to the point may be the 300th best. By meaning alone it is the
    first 100: it finds everything, and nothing but the window says what is to the point.
    """
    return WINDOWS if sort is None or mode == "semantic" else WINDOWS[1:]


@dataclass
class Order:
    """The products of one query, best first, as far as they were retrieved."""

    out_of_stock_last: bool = True
    collapse_variants: bool = True
    sort: Sort | None = None
    exhausted: bool = False
    """No window can add anything."""
    corrections: tuple[Correction, ...] = ()
    total: int = 0
    facets: Facets | None = None
    shown: list[Candidate] = field(default_factory=list)
    """Those of the page asked for; see `show`."""
    _ids: set[str] = field(default_factory=set)
    _groups: set[str] = field(default_factory=set)
    _first: list[Candidate] = field(default_factory=list)
    _last: list[Candidate] = field(default_factory=list)

    def extend(self, ranked: Iterable[Candidate], exhausted: bool) -> None:
        """Add what a window found, best first, and the earlier windows had not."""
        self.exhausted = exhausted
        new = [candidate for candidate in ranked if candidate.id not in self._ids]
        self._ids.update(candidate.id for candidate in new)
        gone = {candidate.id for candidate in new if _out_of_stock(candidate)} if self.out_of_stock_last else set[str]()
        if self.sort is not None:
            # Before one variant stands for all: sorted by price the cheapest.
            new = _sorted(new, self.sort, self.collapse_variants)
        there, sold_out = ([one for one in new if (one.id in gone) is out] for out in (False, True))
        if self.collapse_variants:
            there = one_of_each_group(there, self._groups)
            # A variant that is in stock takes the place of one that an earlier window had, and that is not.
            self._last = [one for one in self._last if group_of(one.found) not in self._groups]
            sold_out = one_of_each_group(sold_out, self._groups | {group_of(one.found) for one in self._last})
        self._first += there
        self._last += sold_out

    def first(self, count: int) -> list[Candidate]:
        """The first `count`; with `out_of_stock_last`, of those that are not."""
        return self._first[:count]

    def rearrange(self, candidates: Sequence[Candidate]) -> None:
        """Give the first products, as many as these, this order."""
        self._first[: len(candidates)] = candidates

    def has(self, count: int) -> bool:
        """Whether the first `count` are known for good."""
        return self.exhausted or len(self._first) >= count

    def show(self, offset: int, count: int) -> None:
        """Choose the page: `count` products behind the first `offset`."""
        self.shown = self.all()[offset : offset + count]

    def all(self) -> list[Candidate]:
        """All that is known, what is out of stock at the end."""
        return [*self._first, *self._last]


def _out_of_stock(candidate: Candidate) -> bool:
    return in_stock(candidate.found["_source"]) is False


def _sorted(candidates: Sequence[Candidate], sort: Sort, collapse_variants: bool) -> list[Candidate]:
    """Those that are to the point in the order asked for, then the next best so, then the others; no field, last.

    A search by meaning finds everything, more or less. Sorted as a whole, the cheapest thing of the shop would come
    first whatever was asked for.
    """
    best = max((candidate.score for candidate in candidates), default=0.0)
    close = [candidate for candidate in candidates if candidate.exact or candidate.score >= SORTED_SHARE * best]
    known = {candidate.id for candidate in close}
    others = [candidate for candidate in candidates if candidate.id not in known]
    products = one_of_each_group(close, set()) if collapse_variants else close
    cut = max(0, SORTED_AT_LEAST - len(products))
    return [*_by_field(close, sort), *_by_field(others[:cut], sort), *_by_field(others[cut:], sort)]


def _by_field(candidates: Sequence[Candidate], sort: Sort) -> list[Candidate]:
    name, ascending = sort.removeprefix("-"), sort == "price"
    values = [_value(candidate.found["_source"], name) for candidate in candidates]
    having = [(value, c) for value, c in zip(values, candidates, strict=True) if value is not None]
    having.sort(key=lambda pair: pair[0], reverse=not ascending)
    lacking = (c for value, c in zip(values, candidates, strict=True) if value is None)
    return [*(c for _, c in having), *lacking]


def _value(source: Source, name: str) -> Any:
    """What a field is sorted by: of `created_at` the moment, in UTC where it names no zone; None: there is none."""
    if name == "price":
        return price_of(source)
    if name == "popularity":
        return popularity_of(source)
    try:
        moment = datetime.fromisoformat(str(source.get(name)))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
