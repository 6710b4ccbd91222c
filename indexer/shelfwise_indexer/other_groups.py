"""Other groups: which of the rows nearest to a product are its neighbours, and how many there can be."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

NONE = -1  # stands where a list of neighbours ends early; as a leaf: the product has none


@dataclass(frozen=True, slots=True)
class OtherGroups:
    """Neighbours are of other variant groups than the product's own; where `distinct`, only the nearest of each."""

    numbers: Integers
    """int64 [n], the group of each row."""
    distinct: bool = False

    def keep(self, queries: Integers, ids: Integers) -> Flags:
        """Which of the rows found for each query, best first, are neighbours: bool [queries, found]."""
        keep: Flags = (ids != NONE) & (self.numbers[ids] != self.numbers[queries, None])
        return keep & first_of_group(ids, self.numbers) if self.distinct else keep

    def reachable(self, queries: Integers, groups: Integers, sizes: Integers) -> Integers:
        """How many neighbours each query has among rows of these groups, ascending, of these sizes: int64 [queries]."""
        own = self.numbers[queries]
        place = np.minimum(np.searchsorted(groups, own), len(groups) - 1)
        there = groups[place] == own
        total, its_own = (len(groups), there) if self.distinct else (sizes.sum(), np.where(there, sizes[place], 0))
        return np.asarray(total - its_own, dtype=np.int64)


def first_of_group(ids: Integers, groups: Integers) -> Flags:
    """Whether no row to the left on the same line is of the same group: bool [n, fetched]."""
    group = np.where(ids == NONE, NONE, groups[ids])
    order = np.argsort(group, axis=1, kind="stable")
    line = np.take_along_axis(group, order, axis=1)
    first = np.ones(ids.shape, dtype=bool)
    np.put_along_axis(first, order[:, 1:], line[:, 1:] != line[:, :-1], axis=1)
    return first


def leftmost(ids: Integers, scores: Vectors, keep: Flags, k: int) -> tuple[Integers, Vectors]:
    """The first k of each line that are to be kept, in their order, then -1 with a score of 0."""
    order = np.argsort(~keep, axis=1, kind="stable")[:, :k]
    kept = np.take_along_axis(keep, order, axis=1)
    out_ids = np.where(kept, np.take_along_axis(ids, order, axis=1), NONE)
    out_scores = np.where(kept, np.take_along_axis(scores, order, axis=1), np.float32(0))
    padding = ((0, 0), (0, k - out_ids.shape[1]))
    return np.pad(out_ids, padding, constant_values=NONE), np.pad(out_scores, padding)
