"""Synonyms: a file in Solr's format that the search engineer keeps, applied to queries.

    tv, television          either word finds what the other finds
    hoover => vacuum        the first is read as the second

Read on the client when a search is made, so that a changed file counts without indexing again.
"""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from shelfwise.errors import InvalidSynonyms
from shelfwise.letters import IDEOGRAPHS, LETTERS, word_pattern
from shelfwise.messages import tell

MAX_READINGS = 8  # of one query; each is a few more clauses

# An ideograph is a word of its own: nothing stands between words in Chinese. C++, C# and F# are words, too.
_OTHER = word_pattern(besides=IDEOGRAPHS)
_WORD = re.compile(rf"[{IDEOGRAPHS}]|\b[A-Za-z](?:#|\+\+)(?!\w)|{_OTHER}(?:[-'’.]{_OTHER})*")
_PART = re.compile(rf"[{LETTERS}]+(?:['’][{LETTERS}]+)*")  # as the server's tokenizer has them: levi's is one
_COMMENT = re.compile(r"^\s*#.*|\s#(\s.*)?$")
_COMMA = re.compile(r"(?<!\\),")
Phrase = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a phrase may be read as; the phrase itself is the first, unless it is replaced."""

    phrase: Phrase
    readings: tuple[str, ...]


class Synonyms:
    """The synonyms of a file; a changed file is read again before the next query.

    While a changed file cannot be read or a line is not of the format, the rules before it stay; stderr says so once.

    :raises InvalidSynonyms: the file is not there or a line is not of the format, at construction.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._stamp = _stamp(self.path)
        self._rules = _rules(self.path)
        self._words = words_of(self._rules)

    def readings(self, query: str) -> list[str]:
        """The query as it may be read, at most MAX_READINGS, the first of which is what the words stand for."""
        return read(query, self._current())

    def words(self) -> frozenset[str]:
        """Every word of the file, case-folded: somebody wrote it on purpose, so that it is not misspelt."""
        self._current()
        return self._words

    def _current(self) -> dict[Phrase, Rule]:
        with self._lock:
            if (stamp := _stamp(self.path)) != self._stamp:
                self._stamp = stamp
                try:
                    self._rules = _rules(self.path)
                    self._words = words_of(self._rules)
                except InvalidSynonyms as error:
                    tell(f"{error}; the synonyms before that count until it is mended")
            return self._rules


def _stamp(path: Path) -> tuple[int, ...] | None:
    """What changes with the file, its permissions included; None: it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    # Two writes within one tick of the clock differ in size, or nearly always do.
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _rules(path: Path) -> dict[Phrase, Rule]:
    """:raises InvalidSynonyms: the file cannot be read, or a line is not of the format."""
    try:
        return parse(path.read_text("utf-8-sig"), str(path))
    except OSError as error:
        raise InvalidSynonyms(f"synonyms {path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InvalidSynonyms(f"synonyms {path} is not UTF-8: save it as UTF-8") from None


def parse(text: str, name: str) -> dict[Phrase, Rule]:
    """Read the format; `#` as a word of its own begins a comment, `\\,` is a comma, an empty line says nothing.

    :param name: of the file, for messages.
    :raises InvalidSynonyms: a line that is neither `a, b` nor `a => b`; names it.
    """
    readings: dict[Phrase, dict[str, None]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        line = _COMMENT.sub("", line).strip()
        if not line:
            continue
        left, arrow, right = line.partition("=>")
        from_, to = _phrases(left), _phrases(right if arrow else left)
        if "=>" in right or not from_ or not to or not all((*from_, *to)) or (not arrow and len(from_) < 2):
            raise InvalidSynonyms(
                f'{name}, line {number}: expected "tv, television" or "hoover => vacuum", got {line[:60]!r}'
            )
        for phrase in from_:
            own = [phrase, *(other for other in to if other != phrase)] if not arrow else to
            readings.setdefault(_words(phrase), {}).update(dict.fromkeys(own))
    return {phrase: Rule(phrase, tuple(given)) for phrase, given in readings.items()}


def read(query: str, rules: dict[Phrase, Rule]) -> list[str]:
    """All readings of a query, the longest phrase that begins at a word first; at most MAX_READINGS."""
    words = [(found.group(), found.start(), found.end()) for found in _WORD.finditer(query)]
    longest = max((len(phrase) for phrase in rules), default=0)
    parts: list[Sequence[str]] = []
    place, end = 0, 0
    while place < len(words):
        for length in range(min(longest, len(words) - place), 0, -1):
            phrase = tuple(word.casefold() for word, _, _ in words[place : place + length])
            if rule := rules.get(phrase):
                parts += [[query[end : words[place][1]]], rule.readings]
                place, end = place + length, words[place + length - 1][2]
                break
        else:
            place += 1
    parts.append([query[end:]])
    readings: dict[str, None] = {}
    for chosen in product(*parts):
        readings["".join(chosen)] = None
        if len(readings) == MAX_READINGS:
            break
    return list(readings)


def words_of(rules: dict[Phrase, Rule]) -> frozenset[str]:
    """The words of phrases and readings, case-folded; parted at what is no letter or digit, as the server does."""
    texts = [text for rule in rules.values() for text in (*rule.phrase, *rule.readings)]
    return frozenset(part.casefold() for text in texts for part in _PART.findall(text))


def _phrases(text: str) -> list[str]:
    """The phrases between commas; empty where no word is in it."""
    parts = (part.replace("\\,", ",") for part in _COMMA.split(text))
    return [" ".join(part.casefold().split()) if _words(part) else "" for part in parts]


def _words(text: str) -> Phrase:
    return tuple(word.casefold() for word in _WORD.findall(text))
