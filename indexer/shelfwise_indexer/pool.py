"""The pool: rows among which neighbours are looked for, in blocks, so that memory does not grow with their number."""

import math
from typing import Any, Protocol

import faiss
import numpy as np
import numpy.typing as npt

from shelfwise_indexer.other_groups import NONE, Integers, OtherGroups, Vectors, leftmost

RECALL_WANTED = 0.99

BLOCK = 16_384  # rows held at once; with 384 dimensions 25 MB
_RESULTS = 2_000_000  # held at once
_SAMPLE = 500  # queries that the recall is measured on
_CELL_POINTS = 64  # rows of a cell, at least
_TRAINING_POINTS = 40  # rows a cell that the centres are learnt from; FAISS wants 39
_MOST_TRAINING = 2 * BLOCK  # rows
ROUNDING = 1e-6  # of a float32 inner product


class Rows(Protocol):
    """An array [n, width] in memory or in a file, whose rows are taken and put by their numbers."""

    @property
    def shape(self) -> Any: ...  # noqa: D102

    @property
    def dtype(self) -> Any: ...  # noqa: D102

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any) -> Any: ...

    def __setitem__(self, rows: Any, values: Any) -> None: ...


class Pool:
    """Rows that are searched exactly while rows times queries are few, beyond that by cells.

    The cells are an inverted file whose vectors stay where they are: a query visits the cells whose centres are
    nearest to it, as many as a recall of RECALL_WANTED on a sample takes, and more where they hold fewer than k
    neighbours.

    :param queries: how many there will be.
    :param exact_up_to: square root of the most pairs compared exactly.
    """

    def __init__(
        self, vectors: Rows, rows: Integers, queries: int, exact_up_to: int, k: int, groups: OtherGroups
    ) -> None:
        self.vectors, self.rows, self.recall = vectors, rows, 1.0
        self._k, self._groups = k, groups
        self._held: Vectors | None = vectors[rows] if len(rows) <= BLOCK else None
        self._centres: Any = None
        self._cells = self._visited = 1
        self._few_groups: tuple[Integers, Integers] | None = None
        if queries * len(rows) > exact_up_to**2:
            self._divide()

    def arranged(self, queries: Integers) -> Integers:
        """The queries in an order in which those that visit the same cells stand together."""
        if self._centres is None:
            return queries
        return queries[np.argsort(self._nearest_centre(queries), kind="stable")]

    def search(self, queries: Integers) -> tuple[Integers, Vectors]:
        """The k neighbours of each of these rows: best first, equal scores in the order of rows.

        :returns: int64 and float32 [queries, k]; -1 with a score of 0 where there are no more.
        """
        return self._neighbours(queries, self._visited)

    def _neighbours(self, queries: Integers, visited: int) -> tuple[Integers, Vectors]:
        """What is of the row's own group is made up for by fetching more, or, where the visited cells have no more, by
        visiting more, for the queries that are short of it.
        """
        k, groups = self._k, self._groups
        ids, scores = np.full((len(queries), k), NONE, dtype=np.int64), np.zeros((len(queries), k), dtype=np.float32)
        wanted = np.full(len(queries), k)
        if self._few_groups is not None:
            wanted = np.minimum(groups.reachable(queries, *self._few_groups), k)
        waiting = [(np.arange(len(queries)), min(len(self.rows), 2 * k + 8), visited)]
        while waiting:
            pending, fetch, visited = waiting.pop()
            size = max(1, _RESULTS // max(fetch, visited))
            at = pending[:size]
            got, got_scores = self._nearest(self.vectors[queries[at]], fetch, visited)
            keep = groups.keep(queries[at], got)
            spent = (got[:, -1] == NONE) | (fetch >= len(self.rows))
            done = (keep.sum(axis=1) >= wanted[at]) | (spent & (visited >= self._cells))
            ids[at[done]], scores[at[done]] = leftmost(got[done], got_scores[done], keep[done], k)
            parts = [
                (pending[size:], fetch, visited),
                (at[~done & ~spent], min(len(self.rows), 4 * fetch), visited),
                (at[~done & spent], fetch, min(self._cells, 2 * visited)),
            ]
            waiting += [part for part in parts if len(part[0])]
        return ids, scores

    def _nearest(self, asked: Vectors, fetch: int, visited: int) -> tuple[Integers, Vectors]:
        """The nearest rows in so many cells, whatever their groups: int64 and float32 [asked, fetch]."""
        if visited >= self._cells or visited * fetch >= len(self.rows):  # merging would take longer than the scan
            return self._scan(asked, self.rows, fetch, self._held)
        _, cells = self._centres.search(asked, visited)
        found = _nothing(len(asked), fetch)
        order = np.argsort(cells, axis=None, kind="stable")
        visits = order // cells.shape[1]
        edges = np.flatnonzero(np.diff(cells.ravel()[order])) + 1
        for asking, cell in zip(np.split(visits, edges), cells.ravel()[order[[0, *edges]]], strict=True):
            members = self._by_cell[self._starts[cell] : self._starts[cell + 1]]
            if len(members):
                more = self._scan(asked[asking], members, fetch)
                found[0][asking], found[1][asking] = _best((found[0][asking], found[1][asking]), more, fetch)
        return found

    def _scan(
        self, asked: Vectors, rows: Integers, fetch: int, held: Vectors | None = None
    ) -> tuple[Integers, Vectors]:
        """Search rows exactly, a block of them at a time."""
        found = _nothing(len(asked), fetch)
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            vectors = self.vectors[block] if held is None else held
            scores, places = faiss.knn(asked, vectors, min(fetch, len(block)), metric=faiss.METRIC_INNER_PRODUCT)
            found = _best(found, (np.where(places < 0, NONE, block[places]), scores), fetch)
        return found

    def _divide(self) -> None:
        n = len(self.rows)
        most = min(4 * math.isqrt(n), n // _CELL_POINTS, _MOST_TRAINING // _TRAINING_POINTS)
        cells = max(1, most)
        sample = self.rows[np.linspace(0, n - 1, min(n, cells * _TRAINING_POINTS)).astype(np.int64)]
        dimension = self.vectors.shape[1]
        learnt = faiss.Kmeans(dimension, cells, niter=10, spherical=True, seed=0)
        learnt.train(self.vectors[sample])
        self._centres = faiss.IndexFlatIP(dimension)
        self._centres.add(learnt.centroids)
        cell = self._nearest_centre(self.rows)
        self._by_cell = self.rows[np.argsort(cell, kind="stable")]
        self._starts = np.concatenate(([0], np.cumsum(np.bincount(cell, minlength=cells))))
        self._cells = cells
        groups, sizes = np.unique(self._groups.numbers[self.rows], return_counts=True)
        if len(groups) <= self._k:  # else k are there for every query, and looked for until they are found
            self._few_groups = groups, sizes
        self._tune()

    def _nearest_centre(self, rows: Integers) -> npt.NDArray[np.int32]:
        nearest = np.empty(len(rows), dtype=np.int32)
        for start in range(0, len(rows), BLOCK):
            _, cells = self._centres.search(self.vectors[rows[start : start + BLOCK]], 1)
            nearest[start : start + BLOCK] = cells[:, 0]
        return nearest

    def _tune(self) -> None:
        """Visit twice as many cells until a sample finds the neighbours that an exact search finds."""
        sample = self.rows[np.linspace(0, len(self.rows) - 1, _SAMPLE).astype(np.int64)]
        true = self._neighbours(sample, self._cells)
        while True:
            self.recall = _share_found(true, self._neighbours(sample, self._visited))
            if self.recall >= RECALL_WANTED or self._visited >= self._cells:
                return
            self._visited = min(2 * self._visited, self._cells)


def _share_found(true: tuple[Integers, Vectors], found: tuple[Integers, Vectors]) -> float:
    """Share of the true neighbours that are found, by score and not by row: equal scores are equally true."""
    there = true[0] != NONE
    near = np.abs(true[1][:, :, None] - found[1][:, None, :]) <= ROUNDING
    hits = there & (near & (found[0] != NONE)[:, None, :]).any(axis=2)
    return float(hits.sum() / there.sum()) if there.any() else 1.0


def _nothing(queries: int, fetch: int) -> tuple[Integers, Vectors]:
    return np.full((queries, fetch), NONE, dtype=np.int64), np.full((queries, fetch), -np.inf, dtype=np.float32)


def _best(one: tuple[Integers, Vectors], other: tuple[Integers, Vectors], fetch: int) -> tuple[Integers, Vectors]:
    """The best of two lists a line: by score, equal ones in the order of rows."""
    ids, scores = np.concatenate((one[0], other[0]), axis=1), np.concatenate((one[1], other[1]), axis=1)
    order = np.lexsort((ids, -scores), axis=1)[:, :fetch]
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(scores, order, axis=1)
