"""Words: what a classical classifier reads of a text. BERT reads the text itself and needs none of this."""

import itertools
import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import rjieba
import snowballstemmer
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

from shelfwise.letters import LETTERS

WordKind = Literal["words", "content words", "stems", "segments", "characters"]
IDEOGRAPHIC_SHARE = 0.02  # of the texts; above it spaces do not part the words of a catalogue
MANY_TEXTS = 100  # of fewer no two need share an n-gram
LONGEST_LATIN, LONGEST_IDEOGRAPHIC = 5, 3  # characters of an n-gram

_WORD = re.compile(f"[{LETTERS}]+")
_IDEOGRAPH = re.compile(r"[\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]")


def is_ideographic(texts: Sequence[str]) -> bool:
    """Whether more than 2 % of the texts hold an ideograph."""
    return sum(bool(_IDEOGRAPH.search(text)) for text in texts) > IDEOGRAPHIC_SHARE * len(texts)


def words_of(text: str, kind: WordKind = "words") -> list[str]:
    """The words of a text, case folded.

    `content words` are those that are not among scikit-learn's English stop words, `stems` cuts endings (Snowball,
    English), `segments` parts Chinese into its words (jieba's dictionary) where `words` has whole runs of ideographs.
    """
    folded = text.casefold()
    if kind == "segments":
        return [word for word in rjieba.cut(folded) if _WORD.search(word)]
    words: list[str] = _WORD.findall(folded)
    if kind == "content words":
        return [word for word in words if word not in ENGLISH_STOP_WORDS]
    if kind == "stems":
        return list(snowballstemmer.stemmer("english").stemWords(words))
    return words


def phrases_of(text: str, kind: WordKind = "words") -> list[str]:
    """The words of a text and the pairs that stand beside each other in it."""
    words = words_of(text, kind)
    return [*words, *(f"{one} {other}" for one, other in itertools.pairwise(words))]


def tf_idf(kind: WordKind, ideographic: bool = False, texts: int = MANY_TEXTS) -> Any:
    """scikit-learn's TF-IDF, sublinear in the term frequency, float32, of phrases or of character n-grams.

    Character n-grams are of 2 to 5 within words, in two texts at least where there are many, and of 1 to 3 across all
    of an ideographic text.

    :param texts: how many it is fitted to.
    """
    if kind != "characters":
        return TfidfVectorizer(analyzer=partial(phrases_of, kind=kind), sublinear_tf=True, dtype=np.float32)
    if ideographic:
        return TfidfVectorizer(
            analyzer="char", ngram_range=(1, LONGEST_IDEOGRAPHIC), sublinear_tf=True, dtype=np.float32
        )
    least = 2 if texts >= MANY_TEXTS else 1
    return TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, LONGEST_LATIN), sublinear_tf=True, min_df=least, dtype=np.float32
    )
