"""Merging: what is remembered of a category and much alike becomes one embedding that speaks for all of it.

A shop has a product in ten sizes and twenty flavours, and each is read several ways. Their votes are almost the same
vote, and each costs a product of vectors with every text. So within the categories what is nearest is put together,
nearest by the mean distance between all of the one and all of the other (Sokal and Michener, "A Statistical Method for
Evaluating Systematic Relationships", 1958: average linkage). A category gives up as much as it repeats itself, and one
of a few different products nothing.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
PORTION = 2048  # of a category at once: distances grow with the square


@dataclass(frozen=True, slots=True)
class Merged:
    """What is left: for each what it is made of, how it is filed, and for how many it speaks."""

    keys: Floats
    """float32 [left, width], L2-normalised."""
    labels: Floats
    """float32 [left, leaves]."""
    standing: Floats
    """float32 [left]; the sum is what it was."""


def merge_alike(keys: Floats, labels: Floats, standing: Floats, most: int, seed: int) -> Merged:
    """Merge what is most alike of those that are filed alike until at most `most` are left, or one of each portion.

    :param keys: float32 [n, width], L2-normalised.
    :param labels: float32 [n, leaves], as equal shares.
    :param standing: float32 [n], for how many each speaks.
    """
    if len(keys) <= most:
        return Merged(keys, labels, standing)
    portions = [*_portions(labels, seed)]
    trees = [
        linkage(keys[rows].astype(np.float64), "average") if len(rows) > 1 else np.empty((0, 4)) for rows in portions
    ]
    heights = np.sort(np.concatenate([tree[:, 2] for tree in trees]))  # what is merged is never below its parts
    highest = heights[min(len(keys) - most, len(heights)) - 1] if len(heights) else 0.0
    of, count = np.empty(len(keys), dtype=np.int64), 0
    for rows, tree in zip(portions, trees, strict=True):
        of[rows] = count + (fcluster(tree, highest, "distance") - 1 if len(tree) else 0)
        count = int(of[rows].max()) + 1
    together, voices = np.zeros((count, keys.shape[1]), dtype=np.float32), np.zeros(count, dtype=np.float32)
    np.add.at(together, of, keys * standing[:, np.newaxis])
    np.add.at(voices, of, standing)
    first = np.unique(of, return_index=True)[1]
    length = np.linalg.norm(together, axis=1, keepdims=True)
    return Merged(together / np.maximum(length, np.finfo(np.float32).tiny), labels[first], voices)


def _portions(labels: Floats, seed: int) -> Iterator[Integers]:
    """Rows that are filed alike, at most PORTION together; large categories are drawn apart."""
    generator = np.random.default_rng(seed)
    row, leaf = np.nonzero(labels)
    alike: dict[bytes, list[int]] = defaultdict(list)
    for place, leaves in enumerate(np.split(leaf, np.searchsorted(row, np.arange(1, len(labels))))):
        alike[leaves.tobytes()].append(place)
    for members in alike.values():
        parts = -(-len(members) // PORTION)
        yield from np.array_split(generator.permutation(members) if parts > 1 else np.array(members), parts)
