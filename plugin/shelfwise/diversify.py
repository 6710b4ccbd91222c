"""Diversity: a ranked list in which each product adds something to those before it."""

import numpy as np
import numpy.typing as npt

from shelfwise.errors import UsageError
from shelfwise.product import is_number

Floats = npt.NDArray[np.float32]


def maximal_marginal_relevance(relevance: Floats, vectors: Floats, k: int, diversity: float) -> list[int]:
    """The k places to show, best first: each has the most of (1 - diversity) × relevance - diversity × likeness.

    Likeness is the highest cosine to a place chosen before. Diversity 0 is the order of relevance, 1 looks at likeness
    only, from the first place on. Ties go to the earlier place.
    Source: Carbonell, Goldstein: "The Use of MMR, Diversity-Based Reranking for Reordering Documents", SIGIR 1998.

    :param relevance: float32 [n], on the scale of a cosine.
    :param vectors: float32 [n, dimension], L2-normalised.
    :raises UsageError: diversity is not between 0 and 1.
    """
    check_diversity(diversity)
    likeness = np.full(len(relevance), -1.0, dtype=np.float32)  # of the first, all are as unlike
    left = np.ones(len(relevance), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < min(k, len(relevance)):
        value = (1 - diversity) * relevance - diversity * likeness
        place = int(np.where(left, value, -np.inf).argmax())
        chosen.append(place)
        left[place] = False
        likeness = np.maximum(likeness, vectors @ vectors[place])
    return chosen


def check_diversity(diversity: float) -> None:
    """:raises UsageError: it is no number between 0 and 1."""
    if not is_number(diversity) or not 0 <= diversity <= 1:
        raise UsageError(f"diversity must be from 0 (most alike) to 1 (least alike to each other), got {diversity!r}")
