"""Synonyms: a file in Solr's format that the search engineer keeps, applied to queries.

    tv, television          either word finds what the other finds
    hoover => vacuum        the first is read as the second

Read on the client when a search is made, so that a changed file counts without indexing again. Words are compared as
the index compares them: `cafe` is `café`, `TV's` is `tv`, `wi fi` is `wi-fi`.
"""

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, zip_longest
from pathlib import Path

from shelfwise.errors import InvalidSynonyms
from shelfwise.exact import folded
from shelfwise.letters import IDEOGRAPHS, LETTERS, word_pattern
from shelfwise.messages import tell

MAX_READINGS = 8  # of one query; each is a few more clauses

# An ideograph is a word of its own: nothing stands between words in Chinese. C++, C# and F# are words, too.
_OTHER = word_pattern(besides=IDEOGRAPHS)
_WORD = re.compile(rf"[{IDEOGRAPHS}]|\b[A-Za-z](?:#|\+\+)(?!\w)|{_OTHER}(?:[-'’.]{_OTHER})*")
_PART = re.compile(rf"[{LETTERS}]+(?:['’][{LETTERS}]+)*")  # as the server's tokenizer has them: levi's is one
_COMMA = re.compile(r"(?<!\\),")
_POSSESSIVE = re.compile("['’]s$")
_COMMENT = re.compile(r"^\s*#.*|\s#(\s.*)?$")
Phrase = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a phrase may be read as; the phrase itself is the first, unless it is replaced."""

    written: tuple[str, ...]
    """The phrase as the file has it, in small letters; as `café` and as `cafe`, it is one."""
    readings: Mapping[Phrase, str]
    """By the words that are compared."""


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
        """Every word of the file, folded: somebody wrote it on purpose, so that it is not misspelt."""
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
    written: dict[Phrase, dict[str, None]] = {}
    readings: dict[Phrase, dict[Phrase, str]] = {}
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
            key = _words(phrase)
            written.setdefault(key, {})[phrase] = None
            own = readings.setdefault(key, {})
            for reading in to if arrow else (phrase, *to):
                own.setdefault(_words(reading), reading)
    return {key: Rule(tuple(written[key]), own) for key, own in readings.items()}


def read(query: str, rules: dict[Phrase, Rule]) -> list[str]:
    """All readings of a query, the longest phrase that begins at a word first; at most MAX_READINGS.

    What a phrase stands for itself is left as the query has it, in small letters.
    """
    words = list(_WORD.finditer(query))
    compared = [_parts(word[0]) for word in words]
    longest = max((len(phrase) for phrase in rules), default=0)
    parts: list[Sequence[str]] = []
    place, end = 0, 0
    while place < len(words):
        for length in range(min(longest, len(words) - place), 0, -1):
            phrase = tuple(part for word in compared[place : place + length] for part in word)
            if rule := rules.get(phrase):
                first, last = words[place], words[place + length - 1]
                typed = query[first.start() : last.end()].casefold()
                own = [typed if key == phrase else text for key, text in rule.readings.items()]
                parts += [[query[end : first.start()]], own]
                place, end = place + length, last.end()
                break
        else:
            place += 1
    parts.append([query[end:]])
    readings: dict[str, None] = {}
    for chosen in _nearest_first(parts):
        readings["".join(chosen)] = None
        if len(readings) == MAX_READINGS:
            break
    return list(readings)


def _nearest_first(parts: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """A choice of each part: the first of all; then another of one part at a time, in turn; then of two, and so on."""
    others = ([(place, other) for other in choices[1:]] for place, choices in enumerate(parts))
    changes = [change for turn in zip_longest(*others) for change in turn if change is not None]
    changes = changes[: MAX_READINGS - 1]  # one at a time they are enough
    for count in range(len(changes) + 1):
        for together in combinations(changes, count):
            changed = dict(together)
            if len(changed) == count:
                yield [changed.get(place, choices[0]) for place, choices in enumerate(parts)]


def words_of(rules: dict[Phrase, Rule]) -> frozenset[str]:
    """The words of phrases and readings, folded; parted at what is no letter or digit, as the server does."""
    texts = [text for rule in rules.values() for text in (*rule.written, *rule.readings.values())]
    return frozenset(folded(part) for text in texts for part in _PART.findall(text))


def at_commas(text: str) -> list[str]:
    """What stands between commas; `\\,` is a comma of its part."""
    return [part.replace("\\,", ",") for part in _COMMA.split(text)]


def _phrases(text: str) -> list[str]:
    """The phrases between commas; empty where no word is in it."""
    return [" ".join(part.casefold().split()) if _words(part) else "" for part in at_commas(text)]


def _words(text: str) -> Phrase:
    return tuple(part for word in _WORD.findall(text) for part in _parts(word))


def _parts(word: str) -> Phrase:
    """What the index makes of a word: parted at hyphens, without accents and without an `'s`."""
    return tuple(_POSSESSIVE.sub("", part) for part in folded(word).split("-"))
