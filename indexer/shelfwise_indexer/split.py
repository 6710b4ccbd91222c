"""The split: training and held-back rows that share no group, with every class where it can be learnt."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shelfwise.errors import UsageError
from shelfwise.taxonomy import Path

Integers = npt.NDArray[np.int64]

_ALWAYS_TRAIN = -1


@dataclass(frozen=True, slots=True)
class Split:
    """Row numbers of both parts (int64, ascending); together every row once."""

    train: Integers
    held_back: Integers


@dataclass(frozen=True, slots=True)
class _Groups:
    """Groups in a shuffled order, the rows of each and its classes with their counts."""

    rows: list[Integers]
    classes: list[dict[int, int]]
    class_sizes: Integers


def stratified_grouped(
    labels: Sequence[Path],
    groups: npt.ArrayLike,
    held_back: float = 0.2,
    seed: int = 0,
    never: npt.ArrayLike | None = None,
) -> Split:
    """Hold back a share of the rows: no group straddles, classes keep their proportions, deterministic.

    Each class is held back in its share, rounded so that the roundings of all classes cancel out. Every class keeps
    at least one group in training, so a class of one group is there only. A row without a label (an empty path)
    belongs to a class of its own kind. Linear in the rows.

    :param groups: int64 [n], as `duplicates.duplicate_groups` and `duplicates.union` give them.
    :param never: bool [n], rows that are never held back, with all of their groups; default: none.
    :raises UsageError: the lengths differ, or the share is not between 0 and 1.
    """
    if not 0 < held_back < 1:
        raise UsageError(f"held_back must be between 0 and 1 (a share of the products), got {held_back}")
    generator = np.random.default_rng(seed)
    grouped = _grouped(labels, groups, generator)
    wanted = _rounded(grouped.class_sizes * held_back, generator)
    left = np.bincount([number for classes in grouped.classes for number in classes], minlength=len(wanted))
    barred = np.zeros(len(labels), dtype=np.bool_) if never is None else np.asarray(never, dtype=np.bool_)
    open_groups = [at for at, rows in enumerate(grouped.rows) if not barred[rows].any()]
    chosen: set[int] = set()
    # rare classes first: they have the fewest groups to choose from
    order = sorted(open_groups, key=lambda at: min(grouped.class_sizes[n] for n in grouped.classes[at]))
    # first what fits whole; then, where only large groups are left, what comes closer
    for fits in (_within, _closer):
        for at in order:
            numbers, sizes = np.array(list(grouped.classes[at])), np.array(list(grouped.classes[at].values()))
            if at not in chosen and (left[numbers] > 1).all() and fits(wanted[numbers], sizes):
                wanted[numbers] -= sizes
                left[numbers] -= 1
                chosen.add(at)
    return _split(len(labels), [grouped.rows[at] for at in sorted(chosen)])


def folds(labels: Sequence[Path], groups: npt.ArrayLike, k: int = 5, seed: int = 0) -> list[Split]:
    """k splits that hold back each row once, under the promises of `stratified_grouped`.

    What keeps a class in training everywhere is held back nowhere: the one group of a class, for example.

    :raises UsageError: the lengths differ, or k is less than 2.
    """
    if k < 2:
        raise UsageError(f"folds must be at least 2, got {k}")
    grouped = _grouped(labels, groups, np.random.default_rng(seed))
    fold_of = np.zeros(len(grouped.rows), dtype=np.int64)
    have = np.zeros((k, len(grouped.class_sizes)), dtype=np.int64)
    totals = np.zeros(k, dtype=np.int64)
    for at in sorted(
        range(len(grouped.rows)), key=lambda at: -len(grouped.rows[at])
    ):  # the large ones while all is open
        numbers, sizes = np.array(list(grouped.classes[at])), np.array(list(grouped.classes[at].values()))
        crowding = (have[:, numbers] * sizes).sum(axis=1)
        fold = int(np.lexsort((totals, crowding))[0])
        fold_of[at] = fold
        have[fold, numbers] += sizes
        totals[fold] += sizes.sum()
    _keep_one_in_training(grouped, fold_of)
    return [
        _split(len(labels), [rows for rows, its_fold in zip(grouped.rows, fold_of, strict=True) if its_fold == fold])
        for fold in range(k)
    ]


def with_every_label(split: Split, labels: Sequence[Sequence[Path]], groups: npt.ArrayLike) -> Split:
    """The split with every label in training, those too that rows have besides the one they were split by.

    A group that has a label which no training row has is trained on as a whole.

    :param labels: of each row, all of them.
    :param groups: those of the split.
    """
    group_of = np.asarray(groups, dtype=np.int64)
    known = {label for row in split.train for label in labels[row]}
    moved: set[int] = set()
    for row in split.held_back:
        if not known.issuperset(labels[row]):
            known.update(labels[row])
            moved.add(int(group_of[row]))
    return _split(len(group_of), [split.held_back[~np.isin(group_of[split.held_back], list(moved))]])


def _keep_one_in_training(grouped: _Groups, fold_of: Integers) -> None:
    of_class: dict[int, list[int]] = {}
    for at, classes in enumerate(grouped.classes):
        for number in classes:
            of_class.setdefault(number, []).append(at)
    for members in of_class.values():
        if len({int(fold_of[at]) for at in members}) == 1:
            fold_of[min(members, key=lambda at: len(grouped.rows[at]))] = _ALWAYS_TRAIN


def _grouped(labels: Sequence[Path], groups: npt.ArrayLike, generator: np.random.Generator) -> _Groups:
    group_of = np.asarray(groups, dtype=np.int64)
    if group_of.shape != (len(labels),):
        raise UsageError(f"expected one group for each of the {len(labels)} labels, got shape {group_of.shape}")
    number_of = {label: number for number, label in enumerate(sorted(set(labels)))}
    classes = np.array([number_of[label] for label in labels], dtype=np.int64)
    order = np.argsort(group_of, kind="stable")
    rows = np.split(order, np.flatnonzero(np.diff(group_of[order])) + 1) if len(order) else []
    shuffled = [rows[at] for at in generator.permutation(len(rows))]
    counts = [dict(zip(*np.unique(classes[its_rows], return_counts=True), strict=True)) for its_rows in shuffled]
    return _Groups(shuffled, counts, np.bincount(classes, minlength=len(number_of)).astype(np.int64))


def _within(wanted: Integers, sizes: Integers) -> bool:
    return bool((sizes <= wanted).all())


def _closer(wanted: Integers, sizes: Integers) -> bool:
    return bool(np.abs(wanted - sizes).sum() < np.abs(wanted).sum())


def _rounded(shares: npt.NDArray[np.floating[Any]], generator: np.random.Generator) -> Integers:
    """Whole numbers within 1 of the shares, their sum within 1 of the sum (systematic rounding in random order)."""
    order = generator.permutation(len(shares))
    edges = np.floor(np.concatenate(([0.0], np.cumsum(shares[order]))) + generator.random())
    whole = np.empty(len(shares), dtype=np.int64)
    whole[order] = np.diff(edges).astype(np.int64)
    return whole


def _split(n: int, held_back: list[Integers]) -> Split:
    is_held_back = np.zeros(n, dtype=bool)
    for rows in held_back:
        is_held_back[rows] = True
    return Split(np.flatnonzero(~is_held_back).astype(np.int64), np.flatnonzero(is_held_back).astype(np.int64))
