"""Spelling: words of a query that no product has, and the nearest that one has.

The server's term suggester names them in the same request as the search (edit distance 2 at most, the first letter
equal, words of four letters on), from titles and from brands, which many titles do not repeat; the nearer of the two
counts. A word of the index is never touched, and what was typed is searched for as well.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shelfwise.letters import LETTERS

_WORD = re.compile(f"[{LETTERS}]+")
Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Correction:
    """A word that titles or brands lack, where it stands in the query, and its nearest spelling."""

    word: str
    nearest: str
    offset: int
    """Characters before it."""
    length: int


def corrections(words: str, answer: Mapping[str, Any], right: Collection[str] = ()) -> tuple[Correction, ...]:
    """What a search for words with `query.with_corrections` was answered; numbers and measures are not misspelt.

    :param right: words that are not misspelt, case-folded.
    """
    entries = _entries(answer)
    units = words.encode("utf-16-le") if entries else b""  # the server counts in these: two for an emoji
    nearest = []
    for one in entries:
        start = _characters(units, int(one["offset"]))
        end = _characters(units, int(one["offset"]) + int(one["length"]))
        if words[start:end].casefold() not in right:
            nearest.append(Correction(str(one["text"]), str(one["options"][0]["text"]), start, end - start))
    return tuple(one for one in nearest if not any(map(str.isdigit, one.word + one.nearest)))


def _entries(answer: Mapping[str, Any]) -> list[Entry]:
    """Of each word what is nearest to it, in the order of the query."""
    suggest = answer.get("suggest", {})
    found = {int(one["offset"]): one for one in suggest.get("spelling", []) if one["options"]}
    of_brands = [one for one in suggest.get("brands", []) if one["options"]]
    titles = [str(hit["_source"].get("title", "")).lower() for hit in answer["hits"]["hits"]] if of_brands else []
    there = {word for title in titles for word in _WORD.findall(title)}  # brands need not have what a title has
    for one in of_brands:
        of_title = found.get(int(one["offset"]))
        if of_title is None and one["text"] in there:
            continue
        if of_title is None or _nearness(one) > _nearness(of_title):
            found[int(one["offset"])] = one
    return [found[offset] for offset in sorted(found)]


def _nearness(entry: Entry) -> tuple[float, int]:
    best = entry["options"][0]
    return float(best["score"]), int(best["freq"])


def corrected(words: str, corrections: Sequence[Correction]) -> str:
    """The query with its misspelt words replaced."""
    for one in sorted(corrections, key=lambda c: -c.offset):
        words = words[: one.offset] + one.nearest + words[one.offset + one.length :]
    return words


def _characters(units: bytes, count: int) -> int:
    return len(units[: 2 * count].decode("utf-16-le", "ignore"))


def said(corrections: Sequence[Correction]) -> list[str]:
    """A line for people a word."""
    return [f"no product has {one.word!r}: {one.nearest!r} was looked for as well" for one in corrections]
