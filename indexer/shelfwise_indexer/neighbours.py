"""Neighbours: the nearest products by vector, exact for a whole catalogue. Only `pool` knows FAISS."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from shelfwise.errors import UsageError
from shelfwise_indexer.other_groups import NONE, Integers, OtherGroups, Vectors, first_of_group, leftmost
from shelfwise_indexer.pool import BLOCK, ROUNDING, Pool, Rows
from shelfwise_indexer.row_file import RowFile

__all__ = ["EXACT_UP_TO", "NONE", "Neighbours", "Vectors", "near_duplicates", "nearest", "similar"]

EXACT_UP_TO = 200_000  # products of a leaf; beyond it an exact search of all against all takes hours

_RANGE_BLOCK = 1_024
_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The rows nearest to each product, int64 [n, k], -1 where there are no more, and their cosines, float32 [n, k].

    `recall` is 1 where the search was exact; else the share of true neighbours found for a sample.
    """

    ids: Rows
    scores: Rows
    recall: float = 1.0

    @classmethod
    def none_yet(cls, n: int, k: int, folder: Path | None) -> "Neighbours":
        """Empty lists, in memory or as files in a folder."""
        if folder is None:
            return cls(np.full((n, k), NONE, dtype=np.int64), np.zeros((n, k), dtype=np.float32))
        ids = RowFile.full(folder / "neighbours.i64", n, k, NONE, np.int64)
        return cls(ids, RowFile.full(folder / "scores.f32", n, k, 0, np.float32))


def nearest(
    vectors: Vectors,
    k: int,
    within: Integers | None = None,
    exclude_groups: Integers | None = None,
    exact_up_to: int = EXACT_UP_TO,
) -> Neighbours:
    """The k nearest others of each product, best first, equal scores in the order of rows.

    Exact up to `exact_up_to` products searched together; beyond that an inverted file that visits as many cells as
    a recall of .99 on a sample takes, with the recall it had.

    :param vectors: float32 [n, dim], L2-normalised.
    :param within: int64 [n], the leaf of each product; neighbours come from the same leaf only, for -1 from none.
    :param exclude_groups: int64 [n], the variant group of each product; neighbours come from other groups only.
    :raises UsageError: k is less than 1, shapes differ, or the vectors are not L2-normalised.
    """
    _check(vectors, k, within=within, exclude_groups=exclude_groups)
    rows = np.arange(len(vectors), dtype=np.int64)
    leaf = np.zeros_like(rows) if within is None else within
    groups = rows if exclude_groups is None else exclude_groups
    found = Neighbours.none_yet(len(vectors), k, None)
    recall, _ = _by_leaf(vectors, leaf, OtherGroups(groups), rows, rows, exact_up_to, found)
    return Neighbours(found.ids, found.scores, recall)


def recall(fast: Vectors, exact: Vectors, k: int) -> float:
    """Share of the k nearest others by exact vectors that are among the k nearest by fast ones, mean over the rows.

    Of fewer than k others all are nearest, and none is missed.

    :param fast: float32 [n, dim], L2-normalised, as `exact`; the same products.
    """
    true, near = nearest(exact, k), nearest(fast, k).ids[:]
    there = near != NONE
    cosines = np.einsum("ijk,ik->ij", exact[near], exact)
    # By cosine and not by row: equal ones are equally near.
    last = np.where(true.ids[:] != NONE, true.scores[:], np.inf).min(axis=1, keepdims=True)
    hits = there & (cosines >= last - ROUNDING)
    return float(hits.sum() / there.sum()) if there.any() else 1.0


def similar(
    vectors: Rows,
    leaf: Integers,
    groups: Integers,
    available: npt.NDArray[np.bool_],
    k: int,
    exact_up_to: int = EXACT_UP_TO,
    wanted: npt.NDArray[np.bool_] | None = None,
    folder: Path | None = None,
) -> Neighbours:
    """What a shop shows beside each product: first those of its leaf, nearest first, then of the whole catalogue.

    Only available products, none of the product's own variant group, and of every other group only the nearest one.
    Unavailable products have neighbours too. Scores fall within each of the two parts, not across them.

    :param leaf: int64 [n], -1 for a product without one (its neighbours come from anywhere).
    :param groups: int64 [n], the variant group of each product.
    :param available: bool [n].
    :param wanted: bool [n], whose neighbours are searched for, the others find none; default: all.
    :param folder: where the lists are kept as files; default: in memory. With vectors in a row file, too, what is held
        in memory grows by some 50 bytes a product and by nothing else.
    :raises UsageError: as `nearest`.
    """
    _check(vectors, k, leaf=leaf, groups=groups, available=available, wanted=wanted)
    asking = np.arange(len(vectors)) if wanted is None else np.flatnonzero(wanted)
    pool = np.flatnonzero(available)
    found = Neighbours.none_yet(len(vectors), k, folder)
    others = OtherGroups(groups, distinct=True)
    recall, short = _by_leaf(vectors, leaf, others, pool, asking, exact_up_to, found)
    if not len(short) or not len(pool):
        return Neighbours(found.ids, found.scores, recall)
    index = Pool(vectors, pool, len(short), exact_up_to, k, others)
    with tqdm(total=len(short), desc="similar, any category", unit="product", delay=2) as bar:
        for queries in _blocks(index.arranged(short)):
            wide_ids, wide_scores = index.search(queries)
            bar.update(len(queries))
            ids = np.concatenate((found.ids[queries], wide_ids), axis=1)
            scores = np.concatenate((found.scores[queries], wide_scores), axis=1)
            keep = (ids != NONE) & first_of_group(ids, groups)
            found.ids[queries], found.scores[queries] = leftmost(ids, scores, keep, k)
    return Neighbours(found.ids, found.scores, min(recall, index.recall))


def near_duplicates(vectors: Vectors, threshold: float, families: Integers) -> Iterator[Integers]:
    """Pairs of rows of different families with a cosine of at least the threshold: int64 [pairs, 2], lower first.

    Of rows with the very same vector each is paired with the first only, so that a thousand copies make a thousand
    pairs. The pairs come in blocks, at most _RANGE_BLOCK squared of other pairs at once; see `duplicates.spanning`.

    :param families: int64 [n], whose members are no duplicates of each other.
    :raises UsageError: the vectors are not L2-normalised, or the threshold is not above 0.
    """
    if not threshold > 0:
        raise UsageError(f"threshold must be a cosine above 0, got {threshold}")
    _check(vectors, k=1)
    _, first, copy_of = np.unique(vectors, axis=0, return_index=True, return_inverse=True)
    copies = np.flatnonzero(first[copy_of] != np.arange(len(vectors)))
    copies = copies[families[first[copy_of[copies]]] != families[copies]]
    yield np.column_stack((first[copy_of[copies]], copies))
    rows = np.sort(first)
    with tqdm(total=len(rows), desc="near duplicates", unit="product", delay=2) as bar:
        for start in range(0, len(rows), _RANGE_BLOCK):
            block = rows[start : start + _RANGE_BLOCK]
            for after in range(start, len(rows), _RANGE_BLOCK):
                others = rows[after : after + _RANGE_BLOCK]
                near = vectors[block] @ vectors[others].T >= np.float32(threshold)
                near &= families[block][:, None] != families[others]
                near &= block[:, None] < others
                places, other_places = np.nonzero(near)
                yield np.column_stack((block[places], others[other_places]))
            bar.update(len(block))


def _by_leaf(
    vectors: Rows,
    leaf: Integers,
    groups: OtherGroups,
    pool: Integers,
    asking: Integers,
    exact_up_to: int,
    found: Neighbours,
) -> tuple[float, Integers]:
    """Search each leaf by itself, for the rows that ask. Rows without a leaf find nothing.

    :returns: the least recall, and which rows found fewer than k, ascending.
    """
    k, recall = found.ids.shape[1], 1.0
    short: list[Integers] = [np.empty(0, dtype=np.int64)]
    pools = dict(_members(leaf[pool], pool))
    with tqdm(total=len(asking), desc="neighbours", unit="product", delay=2) as bar:
        for number, members in _members(leaf[asking], asking):
            if number == NONE or number not in pools:
                short.append(members)
                bar.update(len(members))
                continue
            index = Pool(vectors, pools[number], len(members), exact_up_to, k, groups)
            recall = min(recall, index.recall)
            for queries in _blocks(index.arranged(members)):
                ids, scores = index.search(queries)
                bar.update(len(queries))
                found.ids[queries], found.scores[queries] = ids, scores
                short.append(queries[ids[:, -1] == NONE])
    return recall, np.sort(np.concatenate(short))


def _blocks(rows: Integers) -> Iterator[Integers]:
    for start in range(0, len(rows), BLOCK):
        yield rows[start : start + BLOCK]


def _members(numbers: Integers, rows: Integers) -> Iterator[tuple[int, Integers]]:
    order = np.argsort(numbers, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
        if len(members):
            yield int(numbers[members[0]]), rows[members]


def _check(vectors: Rows, k: int, **by_product: npt.NDArray[Any] | None) -> None:
    if k < 1:
        raise UsageError(f"k must be at least 1, got {k}")
    if len(vectors.shape) != 2 or vectors.dtype != np.float32:
        raise UsageError(f"expected float32 vectors [n, dim], got {vectors.dtype} {list(vectors.shape)}")
    for name, values in by_product.items():
        if values is not None and values.shape != (len(vectors),):
            raise UsageError(f"{name}: expected one for each of the {len(vectors)} vectors, got {list(values.shape)}")
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK]
        norms = np.sqrt(np.einsum("ij,ij->i", block, block))
        if len(off := np.flatnonzero(~(np.abs(norms - 1) <= _UNIT_TOLERANCE))):
            more = f", {len(off) - 1} more are off" if len(off) > 1 else ""
            raise UsageError(
                f"vector {start + off[0]} has length {norms[off[0]]:.4f}: expected L2-normalised vectors{more}"
            )
