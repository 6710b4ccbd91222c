"""The misspelt words of an index, remembered for a while from the searches that met them."""

import re
import threading
import time
from collections.abc import Collection, Mapping

from shelfwise.spelling import Correction, corrected

REMEMBERED = 10_000  # words
REMEMBERED_SECONDS = 300.0  # then it is asked again: a new product may have brought the word
_WORD = re.compile(r"\w+")


class Misspelt:
    """What was found out of words that no title of one index has; several threads may share it."""

    def __init__(self, seconds: float = REMEMBERED_SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._nearest: dict[str, tuple[str | None, float]] = {}  # its nearest spelling, and until when that holds

    def guess(self, words: str) -> str | None:
        """A query as the server will probably have it mended; None: no word is remembered as misspelt."""
        known = self._known({word.lower() for word in _WORD.findall(words)})
        found = [
            Correction(word[0], nearest, word.start(), word.end() - word.start())
            for word in _WORD.finditer(words)
            if (nearest := known.get(word[0].lower())) is not None
        ]
        return corrected(words, found) if found else None

    def judged(self, words: Collection[str]) -> dict[str, bool]:
        """Whether each of the words is misspelt, as far as that is remembered."""
        return {word: nearest is not None for word, nearest in self._known(words).items()}

    def learn(self, nearest: Mapping[str, str | None]) -> None:
        """Remember words with their nearest spelling, or None for a word that brands or descriptions have."""
        until = time.monotonic() + self._seconds
        with self._lock:
            for word, spelling in nearest.items():
                self._nearest.pop(word, None)
                self._nearest[word] = (spelling, until)  # the latest are last
            while len(self._nearest) > REMEMBERED:
                del self._nearest[next(iter(self._nearest))]

    def _known(self, words: Collection[str]) -> dict[str, str | None]:
        now = time.monotonic()
        with self._lock:
            known = {word: self._nearest[word] for word in words if word in self._nearest}
        return {word: nearest for word, (nearest, until) in known.items() if now < until}
