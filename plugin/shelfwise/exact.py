"""Exact words: the model number that a shopper typed, and the brand, as a product's title or brand holds them."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, islice, pairwise, product, zip_longest
from typing import Any

from shelfwise.letters import IDEOGRAPHS, word_pattern
from shelfwise.source import brand_of

# Chinese is written without spaces: where it meets letters or digits a word ends, as at a space.
_CHINESE, _OTHER = rf"[{IDEOGRAPHS}]+", word_pattern(besides=IDEOGRAPHS)
_WORD = re.compile(rf"{_CHINESE}|{_OTHER}")
_PLAIN_WORD = re.compile(r"[^\W_]+")  # the same where there are plain letters only, and sooner
_TOKEN = re.compile(rf"{_CHINESE}|{_OTHER}(?:[-./_]{_OTHER})*")
_COUNTED = re.compile(r"\d+[-./].*")  # 2-person, 3-in-1, 65-inch: how many, not which
# Letters with digits that say how much, not which: 2m, 400ml, 65w, 30x40cm, 3in1, 2nd; and sizes of clothes: 2xl.
_MEASURE = re.compile(
    r"\d+(?:[.,]\d+)?(?:x\d+(?:[.,]\d+)?)*"
    r"(?:[mck]?m|ft|in(?:ch(?:es)?|\d+)?|yds?|[mcd]?l|oz|gal|cc|[mk]?g|mcg|lbs?|gsm|iu|ply"
    r"|[kmg]?wh?|k?v|ma|m?a?ah|[kmg]?hz|btus?|[kmgt]b|[kmgt]bps|lm|lumens?|mp|fps|dpi|db|rpm|psi|bar"
    r"|p|k|d|s|h|min|hrs?|pcs?|pk|packs?|pairs?|ct|st|nd|rd|th)?"
    r"|\dx+[sl]"  # of one digit: 74XL is a cartridge
)
_NUMBER_FIRST = re.compile(r"\d+[a-z]+")  # a model number, or how much in a unit that is not listed
FEW = 3  # products that hold all words of a query: so few that the words single them out
MOSTLY = 0.5  # of a title's words: a query that holds so many names the product, one of fewer describes it
_LEAST = 3  # characters of a model number; shorter ones (A5, 4K, C2) are sizes as often
# Letters, or a number: what a shop writes together or apart as it likes.
_ATOM = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)*")
_MOST_PARTS = 5  # words that a model number is written in
_PREFIX = 4  # letters before a number that may be part of a model number: `WH 1000 XM4`
_MOST_ATOMS = 4  # of a token; more can be written in too many ways
_MOST_CODES = 4  # model numbers of a query, whose ids are looked for in other writing
_MOST_WRITTEN = 24  # ways of a query, each a clause
_VOWELS = "\u0900"  # from Devanagari on a mark makes another word
_JOINTS = ("", "-", "_", ".", "/", " ")  # between the parts of an id


@dataclass(frozen=True, slots=True)
class Exact:
    """What a product must hold to be the very one that was asked for."""

    words: frozenset[str]
    """All words of the query, folded."""
    codes: tuple[str, ...]
    """Model numbers: words with letters and digits that are no measure; `TK-1700` is `tk1700`."""
    apart: tuple[tuple[str, ...], ...]
    """The same where they may go on in the words beside them, the longest first: `wh1000xm4` of `WH 1000 XM4`."""
    text: str
    """The whole query, folded: perhaps a product's own id."""
    plain: frozenset[str]
    """The words without a digit."""

    @classmethod
    def of(cls, query: str) -> "Exact":
        """Read a query."""
        text = folded(query)
        words = frozenset(_words(text))
        codes = tuple(code for token in _TOKEN.findall(text) if (code := _code(token)))
        plain = frozenset(word for word in words if not any(map(str.isdigit, word)))
        return cls(words, codes, _written_apart(text), text.strip(), plain)

    def among(self, found: Iterable[Mapping[str, Any]]) -> frozenset[str]:
        """The ids that come before others: those that hold it, or the few whose titles are mostly the query's words.

        :param found: entries of the server's `hits.hits`.
        """
        found = list(found)
        held = self._closest(found)
        if not held and len(self.words) > 1:
            every = {hit["_id"]: own for hit in found if (own := self._all_in(hit))}
            named = {id_ for id_, own in every.items() if len(self.words) >= MOSTLY * len(own)}
            held = named if len(every) <= FEW else set()
        return frozenset(held)

    def held_by(self, found: Mapping[str, Any]) -> bool:
        """Whether title, brand and id hold every model number; without one, all words, a whole brand among them.

        Of a number with letters behind it, which may say how much, the id, or another word beside it, too. A query
        that names neither a model number nor a brand asks for no product before others, unless it is an id.

        :param found: an entry of the server's `hits.hits`.
        """
        return self._held_as(found) is not None

    def _closest(self, found: Sequence[Mapping[str, Any]]) -> set[str]:
        """Those that hold it in the longest form that any holds: before a case for an XM4 the `WH 1000 XM4` itself."""
        forms = {hit["_id"]: form for hit in found if (form := self._held_as(hit)) is not None}
        longest = min(forms.values(), default=0)
        return {id_ for id_, form in forms.items() if form == longest}

    def _held_as(self, found: Mapping[str, Any]) -> int | None:
        """See `held_by`; which form of the model numbers it has, 0 the longest, or None."""
        if folded(found["_id"]) == self.text:
            return 0
        source = found["_source"]
        brand, own = _read(brand_of(source) or "")
        if not self.codes and not (own and all(map(self._names, own))):
            return None  # most products: their titles need not be read
        title = folded(str(source.get("title") or ""))
        if self.codes:
            own_id = "".join(_words(folded(found["_id"])))
            texts = [_words(title), _words(brand), [own_id]]
            held = (
                at
                for at, codes in enumerate((*self.apart, self.codes))
                if all(_hold(texts, code) for code in codes)
                and (own_id in codes or self._singled_out(codes, title, own))
            )
            return next(held, None)
        known = own | set(_words(title))
        return 0 if all(word in known or _within(word, own, title) for word in self.words) else None

    def _singled_out(self, codes: Iterable[str], title: str, brand: Iterable[str]) -> bool:
        """Whether model numbers that a product holds are its own, and not how much of anything it has."""
        if not self.plain or not all(map(_NUMBER_FIRST.fullmatch, codes)):
            return True
        own = {word.rstrip("s") for word in (*_words(title), *brand)}
        return any(word.rstrip("s") in own or (_chinese(word) and _shares_pair(word, title)) for word in self.plain)

    def _names(self, word: str) -> bool:
        """Whether the query has a word of a brand; a Chinese one may be glued to others."""
        return word in self.words or (_chinese(word) and word in self.text)

    def _all_in(self, found: Mapping[str, Any]) -> set[str] | None:
        """The words of title and brand, if they hold all of the query's."""
        source = found["_source"]
        text = folded(f"{source.get('title') or ''} {brand_of(source) or ''}")
        if not all(word in text for word in self.words):
            return None  # most products: their words need not be told apart
        own = set(_words(text))
        return own if self.words <= own else None


def ids_in(query: str) -> list[str]:
    """The ids that a query may name: all of it, or its model numbers, in capitals and in small letters.

    As typed, and as otherwise written: `CS7731` for `CS-7731`, and the other way round.
    """
    words = [word for word in query.split() if _code(folded(word))]
    tokens = [token for token in _TOKEN.findall(query) if _code(folded(token))]
    longest = [code for form in _written_apart(folded(query))[:1] for code in form]
    numbers = [*longest, *tokens][:_MOST_CODES]
    other = (by.join(parts) for number in numbers for parts in _groupings(number) for by in _JOINTS)
    texts = (query, *words, *tokens, *other)
    return list(dict.fromkeys(form for text in texts for form in (text, text.upper(), text.lower())))


def written_otherwise(query: str) -> list[str]:
    """Words with digits as a title may write them instead, each a phrase of words: `tk 1700` for `TK1700`.

    Measures too: `500 ml` for `500ml`, and the other way round.
    """
    text = folded(query)
    phrases: dict[str, None] = {}
    for token in _TOKEN.findall(text):
        typed = token, " ".join(_words(token))
        phrases.update({phrase: None for words in _groupings(token) if (phrase := " ".join(words)) not in typed})
    for one, other in pairwise(text.split()):
        joined = one + other
        model, measure = one.isalpha() and other.isdigit(), one[0].isdigit() and other.isalpha()
        if joined.isascii() and (model or (measure and _MEASURE.fullmatch(joined))):
            phrases[joined] = None
    apart = (code for form in _written_apart(text) for code in form)
    phrases.update({" ".join(words): None for code in apart for words in _groupings(code)})
    return list(islice(phrases, _MOST_WRITTEN))


def _groupings(token: str) -> Iterator[list[str]]:
    """The ways to part letters from digits in an ASCII token that has both: `A1B` is `A 1 B`, `A 1B`, `A1 B`, `A1B`."""
    atoms: list[str] = _ATOM.findall(token)
    kinds = {atom[0].isdigit() for atom in atoms}
    if not token.isascii() or len(kinds) < 2 or len(atoms) > _MOST_ATOMS:
        return
    for apart in product((True, False), repeat=len(atoms) - 1):
        words = [atoms[0]]
        for atom, new in zip(atoms[1:], apart, strict=True):
            if new:
                words.append(atom)
            else:
                words[-1] += atom
        yield words


def _code(token: str) -> str | None:
    """The model number that a folded token is: letters with digits that are no measure."""
    joined = "".join(_words(token))
    letters, digits = (any(map(kind, joined)) for kind in (str.isalpha, str.isdigit))
    named = letters and digits and joined.isascii() and len(joined) >= _LEAST and not _counts(token)
    return joined if named else None


def _counts(token: str) -> bool:
    """Whether a folded token says how much or how many."""
    return bool(_MEASURE.fullmatch(token) or _COUNTED.fullmatch(token))


def _words(text: str) -> list[str]:
    return (_PLAIN_WORD if text.isascii() else _WORD).findall(text)


def _chinese(word: str) -> bool:
    return re.match(_CHINESE, word) is not None


def _shares_pair(word: str, title: str) -> bool:
    """Whether a title has two characters of a Chinese word side by side: it may be several words, glued together."""
    return any(word[at : at + 2] in title for at in range(max(1, len(word) - 1)))


def _within(word: str, brand: Iterable[str], title: str) -> bool:
    """Whether a title has what a Chinese word holds beside the brand."""
    rest = word
    for name in brand:
        rest = rest.replace(name, " ")
    return _chinese(word) and all(part in title for part in rest.split())


@lru_cache(maxsize=10_000)
def _read(brand: str) -> tuple[str, frozenset[str]]:
    """A brand folded, and its words: a shop has far fewer brands than products."""
    text = folded(brand)
    return text, frozenset(_words(text))


def folded(text: str) -> str:
    """Small letters without accents, full-width characters as plain ones.

    The marks of scripts below U+0900 (Latin to Arabic) are such accents; those above are vowels, tones and voicing.
    """
    small = text.casefold()
    if small.isascii():
        return small
    parts = unicodedata.normalize("NFKD", small)
    return "".join(part for part in parts if part >= _VOWELS or not unicodedata.combining(part))


def _hold(texts: Iterable[Sequence[str]], code: str) -> bool:
    """Whether words side by side, put together, are the code: `TK 1700`, `TK-1700` and `TK1700` are one."""
    for words in texts:
        text = "".join(words)
        at = text.find(code)
        if at < 0:
            continue  # most products: where their words end need not be known
        ends = set(accumulate(map(len, words), initial=0))
        while at >= 0:
            if at in ends and at + len(code) in ends:
                return True
            at = text.find(code, at + 1)
    return False


@lru_cache(maxsize=256)  # a search asks three times
def _written_apart(text: str) -> tuple[tuple[str, ...], ...]:
    """Model numbers of a folded query that may go on in words beside them (`WH 1000 XM4`), put together, longest first.

    What may belong to one are numbers, words with digits that are no measure, and a short word before a number. Where
    there are several such places each is put together as a whole; the query's other model numbers stay as they are.
    """
    tokens = _TOKEN.findall(text)
    runs: list[list[str]] = [[]]
    for token, after in zip_longest(tokens, tokens[1:], fillvalue=""):
        short = len(token) <= _PREFIX and token.isalpha() and after.isdigit()
        number = token.isdigit() and not (after.isalpha() and _counts(token + after))  # `2 pack` says how many
        if short or number or (any(map(str.isdigit, token)) and not _counts(token)):
            runs[-1].append(token)
        else:
            runs.append([])
    runs = [run for run in runs if any(map(_code, run)) and all(map(str.isascii, run))]
    apart = [run for run in runs if 1 < len(run) <= _MOST_PARTS]
    others = [code for run in runs if run not in apart for token in run if (code := _code(token))]
    if len(apart) != 1:
        return ((*map(_together, apart), *others),) if apart else ()
    [run] = apart
    numbers = [place for place, token in enumerate(run) if _code(token)]
    spans = ((first, last) for first in range(numbers[0] + 1) for last in range(numbers[-1] + 1, len(run) + 1))
    longer = sorted((first - last, first, last) for first, last in spans if last - first > 1)
    return tuple((_together(run[first:last]), *others) for _, first, last in longer)


def _together(tokens: Iterable[str]) -> str:
    return "".join(_words(" ".join(tokens)))
