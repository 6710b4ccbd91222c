"""Evaluation: of a classifier per level of the taxonomy accuracy, weighted and macro F1; of a ranking nDCG."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import f1_score

from shelfwise.filing import Filing
from shelfwise.taxonomy import Path, Taxonomy


@dataclass(frozen=True, slots=True)
class Epoch:
    """What training saw after one epoch: mean loss, and mean weighted F1 of the held-back part."""

    epoch: float
    loss: float
    held_back_f1: float


@dataclass(frozen=True, slots=True)
class LevelScores:
    """Scores at one depth of the taxonomy, 1 = roots; all in 0..1."""

    level: int
    accuracy: float
    weighted_f1: float
    macro_f1: float
    classes: int


@dataclass(frozen=True, slots=True)
class SetScores:
    """How the sets of categories that products are given fit those that they stand under; all in 0..1."""

    micro_f1: float
    exact_match: float
    accepted_share: float
    """Of the categories that the products stand under, those that they get without a person."""

    def to_json(self) -> dict[str, float]:
        """With four decimals."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of a classifier on labelled products."""

    products: int
    levels: tuple[LevelScores, ...]
    sets: SetScores | None = None
    """Where a product may be in several categories."""

    @property
    def mean_weighted_f1(self) -> float:
        """Mean over the levels."""
        return float(np.mean([level.weighted_f1 for level in self.levels])) if self.levels else 0.0

    def to_json(self) -> dict[str, Any]:
        """What `shelfwise train` prints and the bundle keeps."""
        return {
            "products": self.products,
            "mean_weighted_f1": round(self.mean_weighted_f1, 4),
            "levels": [
                {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(level).items()}
                for level in self.levels
            ],
            **({"sets": self.sets.to_json()} if self.sets else {}),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Scores":
        """Read what `to_json` wrote."""
        sets = SetScores(**content["sets"]) if "sets" in content else None
        return cls(content["products"], tuple(LevelScores(**level) for level in content["levels"]), sets)


def score(
    taxonomy: Taxonomy,
    probabilities: npt.NDArray[np.float32],
    truths: Sequence[Sequence[Path]],
    multi_label: bool = False,
) -> Scores:
    """Compare the most probable node of each level with the products' own.

    A product under several paths counts as right under any of them. A truth that the taxonomy lacks counts as wrong.
    Macro F1 is over the classes that occur as truth or prediction (scikit-learn's default).

    :param probabilities: float32 [n, leaves].
    :param multi_label: whether they are of a multi-label classifier.
    """
    if not truths:
        return Scores(0, ())
    levels = []
    for level in range(1, taxonomy.depth + 1):
        names, likely = taxonomy.level_probabilities(probabilities, level, multi_label)
        predicted = [names[best] for best in likely.argmax(axis=1)]
        own = [
            nearest_truth(guess, [at_level(path, level, taxonomy) for path in paths])
            for guess, paths in zip(predicted, truths, strict=True)
        ]
        number = {name: at for at, name in enumerate(dict.fromkeys([*own, *predicted]))}
        true, guessed = [number[name] for name in own], [number[name] for name in predicted]
        levels.append(
            LevelScores(
                level=level,
                accuracy=float(np.mean([a == b for a, b in zip(own, predicted, strict=True)])),
                weighted_f1=float(f1_score(true, guessed, average="weighted", zero_division=0)),
                macro_f1=float(f1_score(true, guessed, average="macro", zero_division=0)),
                classes=len(set(own)),
            )
        )
    return Scores(len(truths), tuple(levels))


def score_sets(filing: Filing, probabilities: npt.NDArray[np.float32], truths: Sequence[Sequence[Path]]) -> SetScores:
    """Compare the set of categories that each product is given, and what of it is accepted, with the product's own.

    A truth that the taxonomy lacks is given to none. With one category each the set is the most probable one.

    :param probabilities: float32 [n, leaves], of at least one product.
    """
    given, accepted, own = [], [], [set(paths) for paths in truths]
    for row in probabilities:
        given.append(set(filing.given(row)))
        accepted.append(set(filing.accepted(row)))
    wanted = sum(map(len, own))
    return SetScores(
        micro_f1=2 * _in_common(given, own) / (sum(map(len, given)) + wanted),
        exact_match=float(np.mean([got == want for got, want in zip(given, own, strict=True)])),
        accepted_share=_in_common(accepted, own) / wanted,
    )


def score_filing(filing: Filing, probabilities: npt.NDArray[np.float32], truths: Sequence[Sequence[Path]]) -> Scores:
    """The `score` of every level, and that of the sets where a product may be in several categories.

    :param probabilities: float32 [n, leaves].
    """
    scores = score(filing.taxonomy, probabilities, truths, filing.several)
    return replace(scores, sets=score_sets(filing, probabilities, truths)) if filing.several and truths else scores


def _in_common(some: Sequence[set[Path]], others: Sequence[set[Path]]) -> int:
    return sum(len(one & other) for one, other in zip(some, others, strict=True))


def ndcg(hits: Sequence[str], grades: Mapping[str, int], depth: int = 10) -> float:
    """nDCG with gain 2^grade - 1 and discount 1 / log2(rank + 1) (Burges et al., ICML 2005); unjudged counts as 0."""
    discount = 1 / np.log2(np.arange(2, depth + 2))
    got = np.array([2.0 ** grades.get(id_, 0) - 1 for id_ in hits[:depth]])
    best = np.sort([2.0**grade - 1 for grade in grades.values()])[::-1][:depth]
    ideal = float(best @ discount[: len(best)])
    return float(got @ discount[: len(got)]) / ideal if ideal else 0.0


def at_level(path: Path, level: int, taxonomy: Taxonomy) -> Path:
    """A product's own node at a level; at that of the leaves its whole path, which may go deeper than the taxonomy."""
    return path[:level] if level < taxonomy.depth else path


def nearest_truth(guess: Path, truths: Sequence[Path]) -> Path:
    """The one of a product's own nodes that a guess is measured by: the guess itself if it is one, else the first."""
    return guess if guess in truths else truths[0]
