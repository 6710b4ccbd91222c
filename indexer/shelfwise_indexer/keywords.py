"""Keyword rules: for each category the words that speak for it, learnt from the catalogue, as shops keep by hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import CountVectorizer

from shelfwise_indexer.words import WordKind, phrases_of

Integers = npt.NDArray[np.int64]
KEYWORDS = 50  # of a class: a list that a person could still read
LEAST_PRODUCTS = 2  # of a class that hold a keyword, so that a serial number is none
MOST_TERMS = 50_000
SMOOTHING = 0.5  # products added to each of the four cells (Haldane 1956; Anscombe 1956)


@dataclass(frozen=True)
class KeywordRules:
    """Keywords of each class with their weights; what no keyword speaks for is of the most common class.

    `weights` is float32 [classes, terms]: the log odds ratio of holding a term inside against outside of the class, of
    each class's strongest terms, else 0.
    """

    terms: tuple[str, ...]
    weights: npt.NDArray[np.float32]
    most_common: int
    kind: WordKind

    def keywords(self, number: int) -> list[str]:
        """The keywords of a class, strongest first."""
        order = np.argsort(-self.weights[number], kind="stable")
        return [self.terms[term] for term in order if self.weights[number, term] > 0]

    def predict(self, texts: Sequence[str]) -> Integers:
        """The class whose keywords in the text weigh most together, int64 [n]."""
        counter = CountVectorizer(analyzer=partial(phrases_of, kind=self.kind), vocabulary=self.terms, binary=True)
        sums = np.asarray(counter.transform(texts) @ self.weights.T)
        return np.where(sums.max(axis=1) > 0, sums.argmax(axis=1), self.most_common).astype(np.int64)


def learn_keywords(texts: Sequence[str], labels: Integers, classes: int, kind: WordKind = "words") -> KeywordRules:
    """Learn rules from texts and their classes (int64 [n], 0 to classes - 1).

    Terms are ranked by their log odds ratio over its standard error, which keeps out what only looks exclusive
    because it is rare (Monroe, Colaresi, Quinn: "Fightin' Words", Political Analysis 2008).
    """
    counter = CountVectorizer(analyzer=partial(phrases_of, kind=kind), binary=True, max_features=MOST_TERMS)
    present = counter.fit_transform(texts).tocsr()
    sizes = np.bincount(labels, minlength=classes)
    everywhere = np.asarray(present.sum(axis=0), dtype=np.float64).ravel()
    weights = np.zeros((classes, present.shape[1]), dtype=np.float32)
    for number in np.flatnonzero(sizes):
        inside = np.asarray(present[labels == number].sum(axis=0), dtype=np.float64).ravel()
        ratio, error = _log_odds_ratio(inside, int(sizes[number]), everywhere - inside, len(texts) - int(sizes[number]))
        strongest = np.argsort(-ratio / error, kind="stable")[:KEYWORDS]
        kept = strongest[(ratio[strongest] > 0) & (inside[strongest] >= LEAST_PRODUCTS)]
        weights[number, kept] = ratio[kept]
    return KeywordRules(tuple(counter.get_feature_names_out()), weights, int(sizes.argmax()), kind)


def _log_odds_ratio(
    inside: npt.NDArray[np.float64], size: int, outside: npt.NDArray[np.float64], rest: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Log odds ratio and its standard error, float64 [terms], of products that hold a term inside and outside."""
    cells = [cell + SMOOTHING for cell in (inside, size - inside, outside, rest - outside)]
    ratio = np.log(cells[0] / cells[1]) - np.log(cells[2] / cells[3])
    return ratio, np.sqrt(np.sum([1 / cell for cell in cells], axis=0))
