"""Spelling: words of a query that no product has, and the nearest that one has.

The server's term suggester names them in the same request as the search (edit distance 2 at most, the first letter
equal, words of four letters on); a word of the index is never touched, and what was typed is searched for as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Correction:
    """A word that no title has, where it stands in the query, and its nearest spelling."""

    word: str
    nearest: str
    offset: int
    length: int


def corrections(answer: Mapping[str, Any]) -> tuple[Correction, ...]:
    """What a search with `query.with_corrections` was answered; model numbers and measures are no misspelt words."""
    entries = answer.get("suggest", {}).get("spelling", [])
    nearest = (
        Correction(str(one["text"]), str(one["options"][0]["text"]), int(one["offset"]), int(one["length"]))
        for one in entries
        if one["options"]
    )
    return tuple(one for one in nearest if not any(map(str.isdigit, one.word + one.nearest)))


def corrected(words: str, corrections: Sequence[Correction]) -> str:
    """The query with its misspelt words replaced."""
    for one in sorted(corrections, key=lambda c: -c.offset):
        words = words[: one.offset] + one.nearest + words[one.offset + one.length :]
    return words


def said(corrections: Sequence[Correction]) -> list[str]:
    """A line for people a word."""
    return [f"no product has {one.word!r}: {one.nearest!r} was looked for as well" for one in corrections]
