"""What a caller wants of a search: how many, of which category, under which conditions; checked."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from shelfwise.errors import UsageError
from shelfwise.filters import Filter
from shelfwise.product import plain
from shelfwise.query import MAX_HITS
from shelfwise.search_settings import Mode, Sort
from shelfwise.taxonomy import Path, parse_path, path_text

MAX_QUERY_CHARACTERS = 10_000  # of these the words read query.MAX_WORDS_LENGTH, the model its max_tokens


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `ProductSearch.search` and `page` take beside the words."""

    k: int
    category: Path | None
    conditions: tuple[Filter, ...]
    mode: Mode
    offset: int
    sort: Sort | None
    highlight: bool
    explain: bool
    count: bool

    @classmethod
    def of(
        cls,
        *,
        k: int,
        category: str | Sequence[str] | None,
        filters: Iterable[Filter | str] | None,
        mode: Mode,
        offset: int,
        sort: Sort | None,
        highlight: bool,
        explain: bool,
        count: bool = False,
    ) -> "Wanted":
        """Check and read what a caller gave.

        :raises UsageError: a value that cannot be; the message names it and what was expected.
        """
        check_k(k)
        _check_offset(offset)
        _check_one_of("mode", mode, get_args(Mode))
        if sort is not None:
            _check_one_of("sort", sort, get_args(Sort))
        k = min(k, MAX_HITS - offset)  # the last page is as long as the server goes
        return cls(k, _path(category), _conditions(filters), mode, offset, sort, highlight, explain, count)

    def less(self) -> "tuple[Wanted, str]":
        """The same without the last condition, and what that was."""
        if self.conditions:
            *kept, last = self.conditions
            others = tuple(c for c in kept if c.field != last.field)
            return replace(self, conditions=others), f"the filter on {last.name}"
        return replace(self, category=None), f"the category {path_text(self.category or ())!r}"


def queries_of(queries: Iterable[str]) -> list[str]:
    """Queries as they are searched for.

    :raises UsageError: there is one text where several were expected, or no word in one of them.
    """
    if isinstance(queries, str) or not isinstance(queries, Iterable):
        raise UsageError(f"queries: expected a list of texts such as ['mug', 'kettle'], got {_shown(queries)}")
    given = list(queries)
    return [words_of(query, place, len(given)) for place, query in enumerate(given, start=1)]


def words_of(query: str, place: int = 1, of: int = 1) -> str:
    """A query as it is searched for, the first MAX_QUERY_CHARACTERS of it.

    :param place: among `of` queries, to name it.
    :raises UsageError: there is no word in it.
    """
    # What a terminal could not decode arrives as half surrogates, which no request can carry.
    words = plain(query[:MAX_QUERY_CHARACTERS].encode("utf-8", "replace").decode()) if isinstance(query, str) else ""
    if not any(unicodedata.category(letter)[0] in "LNPS" for letter in words):  # nothing that is seen
        which = "the query" if of == 1 else f"query {place} of {of}"
        raise UsageError(f"{which} is empty: expected at least one word, got {str(query)[:60]!r}")
    return words


def check_k(k: int) -> None:
    """:raises UsageError: so many hits cannot be asked for."""
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= MAX_HITS:
        raise UsageError(f"k must be a whole number from 1 to {MAX_HITS:,}, got {k!r}")


def _check_offset(offset: int) -> None:
    if isinstance(offset, bool) or not isinstance(offset, int) or not 0 <= offset < MAX_HITS:
        raise UsageError(f"offset must be a whole number from 0 to {MAX_HITS - 1:,}, got {offset!r}")


def _check_one_of(name: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise UsageError(f"{name} {given!r}: expected one of {', '.join(known)}")


def _conditions(filters: Iterable[Filter | str] | None) -> tuple[Filter, ...]:
    """:param filters: one may stand alone; None: none."""
    given = (filters,) if isinstance(filters, str | Filter) else filters or ()
    if not isinstance(given, Iterable):
        raise UsageError(f"filters: expected conditions such as brand=Sony, got {_shown(given)}")
    return tuple(_condition(one) for one in given)


def _condition(given: Filter | str) -> Filter:
    if isinstance(given, Filter):
        return given
    if not isinstance(given, str):
        raise UsageError(f"a filter must be a Filter or its text, such as brand=Sony, got {_shown(given)}")
    return Filter.parse(given)


def _shown(given: object) -> str:
    return repr(given)[:60]


def _path(category: str | Sequence[str] | None) -> Path | None:
    if category is None:
        return None
    try:
        return parse_path(category)
    except ValueError as error:
        raise UsageError(f"category {str(category)[:60]!r}: {error}") from None
