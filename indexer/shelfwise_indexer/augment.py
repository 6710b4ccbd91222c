"""Augmentation: the ways a product may look where the model is used."""

import itertools
import random
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Literal, cast

from pydantic import Field

from shelfwise.errors import UsageError

Fields = tuple[str, ...]
Alteration = Literal["phrases", "typing_errors", "word_dropout", "word_order"]

LONGEST_PHRASE = 3  # words, as most queries have
LONGEST_RUN = 6  # characters, where nothing parts words
MOST_ALTERED = 0.8  # of the readings: a model must see products as they are
DROPPED = 0.2  # of the words
UNPARTED_SHARE = 0.5  # of the letters, from which a text is read as one of characters
# Thai, Lao, Burmese, Khmer, kana and ideographs: nothing parts their words. Korean words are parted by spaces.
_SCRIPTS = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNPARTED = re.compile(f"[{_SCRIPTS}]")
_OF_UNPARTED = re.compile(rf"[{_SCRIPTS}]|[^\s{_SCRIPTS}]+")


@dataclass(frozen=True, slots=True)
class AugmentSettings:
    """Share of readings in training in which a text is altered; each way costs one more reading of the catalogue."""

    phrases: Annotated[float, Field(ge=0, le=1, description="A few words of the title, as a query has.")] = 0.0
    typing_errors: Annotated[float, Field(ge=0, le=1, description="A letter swapped, lost, doubled or wrong.")] = 0.0
    word_dropout: Annotated[float, Field(ge=0, le=1, description="A fifth of the words left out.")] = 0.0
    word_order: Annotated[float, Field(ge=0, le=1, description="The words, or attributes, in another order.")] = 0.0

    def __post_init__(self) -> None:
        if sum(asdict(self).values()) > MOST_ALTERED:
            raise UsageError(f"augment: the shares add up to more than {MOST_ALTERED}: {asdict(self)}")


@dataclass(frozen=True, slots=True)
class View:
    """One way to read a product: the fields that are there, the share of readings that see it so, how it is altered."""

    fields: Fields
    share: float
    alteration: Alteration | None = None


def views(fields: Sequence[str], dropout: float, augment: AugmentSettings | None = None) -> list[View]:
    """The product as it is, without each of its later fields, and with the first field alone; then what is altered.

    Whole fields are often missing where a model is used: a query or another shop's listing is a bare title. A model
    that saw every field always leans on the richest and fails without it. At most len(fields) + 1 unaltered views, the
    whole product first, so that each can keep the backbone's own embedding for the retention loss.

    :param dropout: share of readings with something missing, split evenly over the ways in which it can be; of the
        readings that are not altered.
    """
    whole = tuple(fields)
    altered = _altered(whole, augment or AugmentSettings())
    left = 1.0 - sum(view.share for view in altered)
    lacking = dict.fromkeys([*(tuple(f for f in whole if f != left_out) for left_out in whole[1:]), whole[:1]])
    lacking.pop(whole, None)
    if not lacking or dropout <= 0:
        return [View(whole, left), *altered]
    plain = [View(whole, left * (1.0 - dropout)), *(View(some, left * dropout / len(lacking)) for some in lacking)]
    return [*plain, *altered]


def alter(text: str, alteration: Alteration, rng: random.Random) -> str:
    """The text altered in one way; as it is where it is too short for that.

    Words are what spaces part; in a text of a script that parts none (Chinese, Japanese, Thai) each character of it is
    one, and what stands between them, such as a Latin word, is one as a whole.
    """
    if alteration == "typing_errors":
        return _mistyped(text, rng)
    words = [_Word(word, blank_before=True, blank_after=True) for word in text.split()]
    parted = len(_UNPARTED.findall(text)) <= UNPARTED_SHARE * sum(len(word.text) for word in words)
    if not parted:
        words = _unparted_words(text)
    if len(words) < 2:
        return text
    match alteration:
        case "phrases":
            longest = min(LONGEST_PHRASE if parted else LONGEST_RUN, len(words))
            length = rng.randint(1 if parted else 2, longest)
            start = rng.randint(0, len(words) - length)
            words = words[start : start + length]
        case "word_dropout":
            words = [word for word in words if rng.random() >= DROPPED] or words[:1]
        case "word_order":
            cut = rng.randint(1, len(words) - 1)
            turned = not parted or rng.random() < 0.5
            words = [*words[cut:], *words[:cut]] if turned else rng.sample(words, len(words))
    return words[0].text + "".join(
        f"{' ' if one.parted_from(other) else ''}{other.text}" for one, other in itertools.pairwise(words)
    )


@dataclass(frozen=True, slots=True)
class _Word:
    """A word, and whether a blank parts it from what stands beside it; those of a character never ask for one."""

    text: str
    blank_before: bool = False
    blank_after: bool = False

    def parted_from(self, following: "_Word") -> bool:
        two = (self.text[-1], following.text[0])
        words_meet = all(letter.isalnum() and not _UNPARTED.match(letter) for letter in two)
        return words_meet or self.blank_after or following.blank_before


def _unparted_words(text: str) -> list[_Word]:
    return [
        _Word(found[0])
        if _UNPARTED.match(found[0])
        else _Word(found[0], not text[: found.start()][-1:].strip(), not text[found.end() :][:1].strip())
        for found in _OF_UNPARTED.finditer(text)
    ]


def _altered(whole: Fields, settings: AugmentSettings) -> list[View]:
    shares = cast(dict[Alteration, float], asdict(settings))
    return [
        View(whole[:1] if alteration == "phrases" else whole, share, alteration)
        for alteration, share in shares.items()
        if share > 0
    ]


def _mistyped(text: str, rng: random.Random) -> str:
    """One of the four errors of a typist (Damerau, "A Technique for Computer Detection and Correction of Spelling
    Errors", CACM 1964) in a word, the first letter excepted, which is rarely wrong.
    """
    places = [at for at in range(1, len(text)) if text[at].isalpha() and text[at - 1].isalpha()]
    if not places:
        return text
    at = rng.choice(places)
    before, letter, after = text[:at], text[at], text[at + 1 :]
    match rng.randrange(4):
        case 0:
            return before + after
        case 1:
            return before + letter + letter + after
        case 2:
            return before + rng.choice([one for one in text if one.isalpha()]) + after
        case _:
            return before + after[:1] + letter + after[1:] if after[:1].isalpha() else before + after
