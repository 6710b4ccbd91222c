"""The page: the hits of one query, and what a shop shows around them."""

from dataclasses import dataclass
from typing import Any

from shelfwise.facets import Facets
from shelfwise.hit import Hit


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search."""

    hits: tuple[Hit, ...]
    total: int
    """Products that pass the filters and hold a word of the query; where none does, all that pass the filters.

    A hybrid search can be paged through further than that: meaning finds what no word does.
    """
    facets: Facets | None
    """Of the same products as `total`, variants counted each; None: not asked for."""
    relaxed: tuple[str, ...]
    """What was searched for other than asked, a line each: misspelt words, filters that left nothing."""
    next: int | None
    """The offset of the next page; None: this is the last."""

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it, hits aside."""
        return {
            "total": self.total,
            "facets": None if self.facets is None else self.facets.to_json(),
            "relaxed": list(self.relaxed),
            "next": self.next,
        }
