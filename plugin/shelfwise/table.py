"""The table: hits for people, on a terminal where an ideograph takes two places."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shelfwise.hit import Hit

BELOW = " " * 5  # before what is said of a hit in the lines below it
PIECE = 110  # places that are shown of a text with marks
BEFORE_MARK = 30  # characters of it before the first


def hit_table(hits: "Iterable[Hit]") -> Iterator[str]:
    """A line a hit: rank, score, id, title, category, price; below it why it is there, as far as that was asked for."""
    for rank, hit in enumerate(hits, start=1):
        price = "" if hit.price is None else f"{hit.price:.2f}"
        stock = "  (out of stock)" if hit.in_stock is False else ""
        leaf = hit.category[-1] if hit.category else ""
        names = f"{_column(hit.id, 12)}  {_column(hit.title, 60)}  {_column(leaf, 26)}"
        yield f"{rank:>3}  {hit.score:.4f}  {names}  {price:>8}{stock}"
        if hit.reason:
            yield f"{BELOW}{_printable(hit.reason)}"
        for name, marked in hit.highlight.items():
            yield f"{BELOW}{_printable(name)}: {_piece(marked)}"
        if hit.explanation is not None and (why := "; ".join(_why(hit.explanation))):
            yield f"{BELOW}{_printable(why)}"


def _why(explanation: Mapping[str, Any]) -> Iterator[str]:
    """What `Explanation.to_json` gives, as far as it counted."""
    for name, own in explanation["retrievers"].items():
        if own["rank"] is not None:
            yield f"{name}: rank {own['rank']}, score {own['score']:.4f}, gives {own['share']:.4f}"
    if explanation["category_boost"] and explanation["categories"]:
        deepest = " > ".join(explanation["categories"][-1]["path"])  # root first
        yield f"category {deepest}: +{explanation['category_boost']:.1%}"
    if explanation["popularity_boost"]:
        yield f"popularity: +{explanation['popularity_boost']:.1%}"
    if explanation["words"]:
        yield f"words: {', '.join(explanation['words'])}"
    if explanation["exact"]:
        yield "first for the very words of the query"
    if explanation["reranked"]:
        yield f"rank {explanation['reranked']['rank']} before it was reranked"


def _piece(marked: str) -> str:
    """A text with marks, or what is around the first of them."""
    start = max(0, marked.find("<em>") - BEFORE_MARK)
    text = _printable(marked[start:])
    shown = _cut(text, PIECE)
    return f"{'…' * (start > 0)}{shown}{'…' * (len(shown) < len(text))}"


def _column(text: str, width: int) -> str:
    """Text cut or filled to so many places of a terminal."""
    shown = _cut(_printable(text), width)
    return shown + " " * (width - sum(map(_places, shown)))


def _cut(text: str, width: int) -> str:
    """As much of a text as so many places of a terminal show."""
    taken = 0
    for at, character in enumerate(text):
        taken += _places(character)
        if taken > width:
            return text[:at]
    return text


def _places(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _printable(text: str) -> str:
    """Text that no terminal takes for a command."""
    return "".join(" " if unicodedata.category(one) == "Cc" else one for one in text)
