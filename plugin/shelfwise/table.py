"""The table: hits for people, on a terminal where an ideograph takes two places."""

import unicodedata
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shelfwise.hit import Hit


def hit_table(hits: "Iterable[Hit]") -> Iterator[str]:
    """A line a hit: rank, score, id, title, category, price."""
    for rank, hit in enumerate(hits, start=1):
        price = "" if hit.price is None else f"{hit.price:.2f}"
        stock = "  (out of stock)" if hit.in_stock is False else ""
        leaf = hit.category[-1] if hit.category else ""
        names = f"{_column(hit.id, 12)}  {_column(hit.title, 60)}  {_column(leaf, 26)}"
        yield f"{rank:>3}  {hit.score:.4f}  {names}  {price:>8}{stock}"


def _column(text: str, width: int) -> str:
    """Text cut or filled to so many places of a terminal; an ideograph takes two."""
    taken, shown = 0, []
    for character in "".join(" " if unicodedata.category(one) == "Cc" else one for one in text):
        places = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if taken + places > width:
            break
        taken += places
        shown.append(character)
    return "".join(shown) + " " * (width - taken)
