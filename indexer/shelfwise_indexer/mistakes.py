"""Mistakes: how a classifier does on each class, and which classes it takes for one another."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shelfwise.taxonomy import Path, Taxonomy
from shelfwise_indexer.evaluate import at_level, nearest_truth


@dataclass(frozen=True, slots=True)
class ClassScores:
    """One node: its products, how many were put there, and how well; all shares in 0..1."""

    path: Path
    products: int
    predicted: int
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


@dataclass(frozen=True, slots=True)
class Confusion:
    """A pair of classes: the rows of products of the one that were taken for the other, most confident first."""

    truth: Path
    guess: Path
    rows: tuple[int, ...]
    share: float
    """Of the products of `truth`."""


@dataclass(frozen=True)
class Predictions:
    """What a classifier says of products at one level, beside what they are."""

    truths: tuple[Path, ...]
    """Of a product under several paths the one that was predicted, else its first."""
    guesses: tuple[Path, ...]
    confidence: npt.NDArray[np.float32]

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """bool [n]."""
        return np.array([a == b for a, b in zip(self.truths, self.guesses, strict=True)], dtype=np.bool_)


def predictions(
    taxonomy: Taxonomy,
    probabilities: npt.NDArray[np.float32],
    paths: Sequence[Sequence[Path]],
    level: int,
    multi_label: bool = False,
) -> Predictions:
    """The most probable node of a level for each product, and its probability.

    :param probabilities: float32 [n, leaves].
    :param level: 1 = roots; `taxonomy.depth` is that of the leaves.
    :param multi_label: whether they are of a multi-label classifier.
    """
    names, likely = taxonomy.level_probabilities(probabilities, level, multi_label)
    best = likely.argmax(axis=1)
    guesses = tuple(names[number] for number in best)
    truths = (
        nearest_truth(guess, [at_level(path, level, taxonomy) for path in own])
        for guess, own in zip(guesses, paths, strict=True)
    )
    return Predictions(tuple(truths), guesses, likely.max(axis=1))


def class_scores(made: Predictions) -> list[ClassScores]:
    """Every class that occurs as truth or as guess, most products first."""
    products, predicted = Counter(made.truths), Counter(made.guesses)
    right = Counter(guess for truth, guess in zip(made.truths, made.guesses, strict=True) if truth == guess)
    scores = [
        ClassScores(
            path,
            products[path],
            predicted[path],
            right[path] / predicted[path] if predicted[path] else 0.0,
            right[path] / products[path] if products[path] else 0.0,
        )
        for path in products | predicted
    ]
    return sorted(scores, key=lambda one: (-one.products, one.path))


def confusions(made: Predictions) -> list[Confusion]:
    """Every pair of classes of which the one was taken for the other, most products first."""
    rows: dict[tuple[Path, Path], list[int]] = defaultdict(list)
    for row, (truth, guess) in enumerate(zip(made.truths, made.guesses, strict=True)):
        if truth != guess:
            rows[truth, guess].append(row)
    products = Counter(made.truths)
    found = [
        Confusion(truth, guess, tuple(sorted(at, key=lambda row: -made.confidence[row])), len(at) / products[truth])
        for (truth, guess), at in rows.items()
    ]
    return sorted(found, key=lambda one: (-len(one.rows), -one.share, one.truth, one.guess))
