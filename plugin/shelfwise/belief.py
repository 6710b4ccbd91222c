"""The belief: which categories a query asks for, how surely, and how far a product lies in them.

A product's share is the expected part of its path that it has in common with the leaf the shopper means:
the sum over leaves of P(leaf | query) times the steps shared with that leaf over the leaf's own steps. So a product of
the leaf itself counts whole, one of a sister leaf for the steps above both, and a node counts for all leaves below it.
What a guess among all leaves would give is taken off: where the model is unsure, nobody gains.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from shelfwise.errors import UnknownCategory, UsageError
from shelfwise.taxonomy import Path, Taxonomy, ancestors, path_text

LIKELY = 0.3  # least probability of a leaf whose products are looked for on purpose: at most three leaves have it
ROUNDING = 1e-3  # of a sum of float32 probabilities
TRUST_DEPTH = 10  # best products of the fusion alone that a belief is held against
TRUSTED = 0.2  # mean share of those products from which a belief counts whole


@dataclass(frozen=True, slots=True)
class Belief:
    """P(category | query), ready to be compared with products."""

    probability: Mapping[str, float]
    """Of each node, as text: the sum over its leaves."""
    steps: Mapping[str, float]
    """Of each node, as text: the sum over its leaves of P(leaf) / steps of the leaf."""
    guess: Mapping[str, float]
    """`steps` of one who knows nothing: every leaf of the taxonomy as likely as any other."""
    likely: tuple[Path, ...]
    """Leaves of at least LIKELY, the most probable first."""

    def share(self, nodes: Iterable[str]) -> float:
        """How far a product of these nodes lies in what the query asks for, beyond a guess: 0 to 1.

        :param nodes: the product's `shelfwise.ancestors`.
        """
        nodes = sorted(set(nodes))  # added up in one order, whatever order they came in
        believed = sum(self.steps.get(node, 0.0) for node in nodes)
        guessed = sum(self.guess.get(node, 0.0) for node in nodes)
        if guessed >= 1.0 or believed <= guessed:
            return 0.0
        return min(1.0, (believed - guessed) / (1.0 - guessed))


def believe(taxonomy: Taxonomy, probabilities: npt.NDArray[np.float32]) -> Belief:
    """The belief of the classifier.

    :param probabilities: float32 [leaves], calibrated. Of a classifier of several labels they may add up to more than
        1: the query then asks for each in proportion.
    """
    given = probabilities.astype(np.float64)
    if given.sum() > 1.0 + ROUNDING:
        given /= given.sum()
    walks = _walks(taxonomy)
    values = given[walks.leaf]  # added up in the order of `_sums`, so that both give the same to the last bit
    likely = sorted(np.flatnonzero(given >= LIKELY).tolist(), key=lambda leaf: (-given[leaf], taxonomy.leaves[leaf]))
    return Belief(
        probability=walks.sums(values),
        steps=walks.sums(values / walks.length),
        guess=_guess(taxonomy),
        likely=tuple(taxonomy.leaves[leaf] for leaf in likely),
    )


def believe_paths(taxonomy: Taxonomy, probabilities: Mapping[Path, float]) -> Belief:
    """A belief that the caller has: paths, leaves or nodes above them, with their probabilities.

    :raises UsageError: a probability is outside 0 to 1, or they add up to more than 1; a path is not names in a tuple.
    :raises UnknownCategory: the taxonomy has no such node.
    """
    for path in probabilities:
        _check(taxonomy, path)
    values = list(probabilities.values())
    if not all(0.0 <= value <= 1.0 for value in values) or sum(values) > 1.0 + ROUNDING:
        raise UsageError("category probabilities must each be from 0 to 1 and add up to at most 1")
    probability, steps = _sums(probabilities)
    likely = sorted((path for path, p in probabilities.items() if p >= LIKELY), key=lambda p: (-probabilities[p], p))
    return Belief(probability, steps, _guess(taxonomy), tuple(likely))


def _check(taxonomy: Taxonomy, path: object) -> None:
    if not isinstance(path, tuple) or not path or not all(isinstance(name, str) for name in path):
        raise UsageError(f"category probabilities are of paths such as {taxonomy.leaves[0]!r}, got {str(path)[:60]!r}")
    if path not in taxonomy.node_number:
        closest = ", ".join(map(repr, taxonomy.closest(path)))
        raise UnknownCategory(f"category probabilities: there is no category {path!r}: the closest are {closest}")


def trust(shares: Sequence[float], scores: Sequence[float]) -> float:
    """How far the retrievers bear a belief out, 0 to 1.

    A category that the best products without it do not have is one that the classifier alone sees, and then it is
    wrong more often than all of them are.

    :param shares: `Belief.share` of the TRUST_DEPTH best products of min-max fusion, without the belief.
    :param scores: of those products, at least 0: a product counts as much as it fits.
    """
    total = sum(scores)
    if not total:
        return 0.0
    agreed = sum(share * score for share, score in zip(shares, scores, strict=True)) / total
    return min(1.0, agreed / TRUSTED)


@dataclass(frozen=True, slots=True)
class _Walks:
    """Every step of every leaf's path, leaf by leaf, root first: what each search adds probabilities up along."""

    nodes: tuple[str, ...]
    node: npt.NDArray[np.int64]
    """int64 [steps], places in `nodes`."""
    leaf: npt.NDArray[np.int64]
    """int64 [steps]"""
    length: npt.NDArray[np.float64]
    """float64 [steps], steps of the leaf."""

    def sums(self, values: npt.NDArray[np.float64]) -> dict[str, float]:
        """Of each node that gets anything, float64 [steps]."""
        totals = np.bincount(self.node, values, len(self.nodes)).tolist()
        return {node: total for node, total in zip(self.nodes, totals, strict=True) if total > 0.0}


@lru_cache(maxsize=8)
def _walks(taxonomy: Taxonomy) -> _Walks:
    steps = [(number, node, len(leaf)) for number, leaf in enumerate(taxonomy.leaves) for node in ancestors(leaf)]
    return _Walks(
        nodes=tuple(map(path_text, taxonomy.nodes)),
        node=np.array([taxonomy.node_number[node] for _, node, _ in steps], dtype=np.int64),
        leaf=np.array([number for number, _, _ in steps], dtype=np.int64),
        length=np.array([length for _, _, length in steps], dtype=np.float64),
    )


@lru_cache(maxsize=8)
def _guess(taxonomy: Taxonomy) -> Mapping[str, float]:
    return _sums(dict.fromkeys(taxonomy.leaves, 1.0 / len(taxonomy.leaves)))[1]


def _sums(probabilities: Mapping[Path, float]) -> tuple[dict[str, float], dict[str, float]]:
    probability: dict[str, float] = {}
    steps: dict[str, float] = {}
    for path, value in probabilities.items():
        for node in map(path_text, ancestors(path)):
            probability[node] = probability.get(node, 0.0) + value
            steps[node] = steps.get(node, 0.0) + value / len(path)
    return probability, steps
