"""Words that an index lacks, and words that are right there, remembered for a while from the searches that met them."""

import re
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from shelfwise.exact import folded
from shelfwise.letters import LETTERS
from shelfwise.spelling import Correction, corrected

REMEMBERED = 10_000  # words, of either kind
REMEMBERED_SECONDS = 300.0  # then it is asked again: a new product may have brought the word
_WORD = re.compile(f"[{LETTERS}]+")
_PART = re.compile(r"\S+")

Value = TypeVar("Value")


class Misspelt:
    """What was found out of words that no title of one index has; several threads may share it."""

    def __init__(self, seconds: float = REMEMBERED_SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._nearest: dict[str, tuple[str | None, float]] = {}  # its nearest spelling, and until when that holds
        self._right: dict[str, float] = {}  # what stood between two spaces, and until when that holds

    def guess(self, words: str, right: Collection[str] = ()) -> str | None:
        """A query as the server will probably have it mended; None: no word is remembered as misspelt.

        :param right: words that stay, folded.
        """
        known = self._known({word.lower() for word in _WORD.findall(words)})
        found = [
            Correction(word[0], nearest, word.start(), word.end() - word.start())
            for word in _WORD.finditer(words)
            if (nearest := known.get(word[0].lower())) is not None and folded(word[0]) not in right
        ]
        return corrected(words, found) if found else None

    def judged(self, words: Collection[str]) -> dict[str, bool]:
        """Whether each of the words is misspelt, as far as that is remembered."""
        return {word: nearest is not None for word, nearest in self._known(words).items()}

    def learn(self, nearest: Mapping[str, str | None]) -> None:
        """Remember words with their nearest spelling, or None for a word that brands or descriptions have."""
        until = time.monotonic() + self._seconds
        with self._lock:
            _remember(self._nearest, {word: (spelling, until) for word, spelling in nearest.items()})

    def is_right(self, words: str) -> bool:
        """Whether a query is remembered, word by word, as one in which nothing is to be mended."""
        now = time.monotonic()
        parts = words.lower().split()
        with self._lock:
            return all(now < self._right.get(part, now) for part in parts)

    def learn_right(self, words: str, mended: Iterable[Correction]) -> None:
        """Remember of a query what holds no misspelt word.

        Words are told apart at spaces only, where the server does so too whatever stands beside them; but tags and
        entities, which may hold spaces, it takes out before.

        :param mended: all its misspelt words.
        """
        if "<" in words or "&" in words:
            return
        wrong = [(one.offset, one.offset + one.length) for one in mended]
        parts = [
            part[0].lower()
            for part in _PART.finditer(words)
            if not any(start < part.end() and part.start() < end for start, end in wrong)
        ]
        until = time.monotonic() + self._seconds
        with self._lock:
            _remember(self._right, dict.fromkeys(parts, until))

    def _known(self, words: Collection[str]) -> dict[str, str | None]:
        now = time.monotonic()
        with self._lock:
            known = {word: self._nearest[word] for word in words if word in self._nearest}
        return {word: nearest for word, (nearest, until) in known.items() if now < until}


def _remember(kept: dict[str, Value], new: Mapping[str, Value]) -> None:
    for word, value in new.items():
        kept.pop(word, None)
        kept[word] = value  # the latest are last
    while len(kept) > REMEMBERED:
        del kept[next(iter(kept))]
