"""Spelling: words of a query that no product has, and the nearest that one has.

The server's term suggester names them in the same request as the search (words of four letters on, edit distance 1, of
six letters on 2 at most, the first letter equal or swapped with the second), from titles and from brands, which many
titles do not repeat; the nearer of the two counts. A word of the index is never touched, and what was typed is searched
for as well.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shelfwise.exact import folded
from shelfwise.letters import LETTERS

_WORD = re.compile(f"[{LETTERS}]+")
Entry = Mapping[str, Any]
LONG = 6  # letters of a word that two edits leave recognisable: within two of `phone` are `hole`, `pine` and `shoe`


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

    :param right: words that are not misspelt, folded.
    """
    entries = _entries(answer)
    units = words.encode("utf-16-le") if entries else b""  # the server counts in these: two for an emoji
    nearest = []
    for one in entries:
        start = _characters(units, int(one["offset"]))
        end = _characters(units, int(one["offset"]) + int(one["length"]))
        if folded(words[start:end]) not in right:
            nearest.append(Correction(str(one["text"]), str(one["options"][0]["text"]), start, end - start))
    return tuple(nearest)


def _entries(answer: Mapping[str, Any]) -> list[Entry]:
    """Of each word what is nearest to it, in the order of the query."""
    suggest = answer.get("suggest", {})
    found = {int(one["offset"]): one for one in suggest.get("spelling", []) if _near(one)}
    of_brands = [one for one in suggest.get("brands", []) if _near(one)]
    titles = [str(hit["_source"].get("title", "")).lower() for hit in answer["hits"]["hits"]] if of_brands else []
    there = {word for title in titles for word in _WORD.findall(title)}  # brands need not have what a title has
    for one in of_brands:
        of_title = found.get(int(one["offset"]))
        if of_title is None and one["text"] in there:
            continue
        if of_title is None or _nearness(one) > _nearness(of_title):
            found[int(one["offset"])] = one
    for one in map(_swapped, [*suggest.get("swapped", []), *suggest.get("swapped_brands", [])]):
        offset = int(one["offset"])
        if _near(one) and (offset not in found or _nearness(one)[0] > _nearness(found[offset])[0]):
            found[offset] = one
    return [found[offset] for offset in sorted(found)]


def _near(entry: Entry) -> bool:
    """Whether anything is near: of a short word, one edit away; of a number or measure, nothing."""
    if not entry["options"]:
        return False
    word, best = str(entry["text"]), entry["options"][0]
    if any(map(str.isdigit, word + best["text"])):
        return False
    # The server's score is 1 - edits / letters of the shorter word.
    edits = (1.0 - float(best["score"])) * min(len(word), len(best["text"]))
    return len(word) >= LONG or round(edits) <= 1


def _swapped(entry: Entry) -> Entry:
    """Of what is near, the word whose first two letters were typed the other way round."""
    word = str(entry["text"])
    meant = word[1::-1] + word[2:]
    return {**entry, "options": [option for option in entry["options"] if option["text"] == meant]}


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
