"""The split: no group straddles, no class is lost to training."""

import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.errors import UsageError
from shelfwise_indexer.split import folds, stratified_grouped, with_every_label

A, B, C = ("A",), ("B",), ("C",)

rows = st.lists(st.tuples(st.sampled_from([A, B, C, ("D", "E")]), st.integers(0, 15)), min_size=1, max_size=60)


@given(rows=rows, share=st.floats(0.05, 0.6), seed=st.integers(0, 5))
def test_every_row_is_once_in_one_part_no_group_in_both_and_every_class_in_training(rows, share, seed):
    labels, groups = [label for label, _ in rows], np.array([group for _, group in rows])
    split = stratified_grouped(labels, groups, share, seed)
    assert sorted([*split.train, *split.held_back]) == list(range(len(rows)))
    assert not set(groups[split.train]) & set(groups[split.held_back])
    assert {labels[row] for row in split.train} == set(labels)


@given(rows=rows, barred=st.sets(st.integers(0, 59)), seed=st.integers(0, 5))
def test_what_may_not_be_held_back_is_in_training_with_its_whole_group(rows, barred, seed):
    labels, groups = [label for label, _ in rows], np.array([group for _, group in rows])
    never = np.isin(np.arange(len(rows)), list(barred))
    split = stratified_grouped(labels, groups, 0.4, seed, never)
    assert sorted([*split.train, *split.held_back]) == list(range(len(rows)))
    assert not set(groups[split.held_back]) & set(groups[never])


def test_a_part_that_was_held_back_alone_may_be_held_back_again():
    labels = [(f"class {n % 5}",) for n in range(200)]
    first = stratified_grouped(labels, np.arange(200), 0.2, seed=3)
    never = np.isin(np.arange(200), first.train)
    assert stratified_grouped(labels, np.arange(200), 0.2, seed=8, never=never).held_back.tolist() == (
        first.held_back.tolist()
    )


@given(rows=rows, k=st.integers(2, 5))
def test_folds_hold_back_no_row_twice_and_keep_groups_and_classes(rows, k):
    labels, groups = [label for label, _ in rows], np.array([group for _, group in rows])
    splits = folds(labels, groups, k)
    assert len(splits) == k
    held_back = np.concatenate([split.held_back for split in splits])
    assert len(set(held_back)) == len(held_back)
    for split in splits:
        assert sorted([*split.train, *split.held_back]) == list(range(len(rows)))
        assert not set(groups[split.train]) & set(groups[split.held_back])
        assert {labels[row] for row in split.train} == set(labels)


@given(rows=rows, further=st.lists(st.sampled_from([A, B, ("X",), ("Y",), ("Z",)]), min_size=60, max_size=60))
def test_a_label_that_is_never_a_first_one_is_in_training_too(rows, further):
    labels, groups = [label for label, _ in rows], np.array([group for _, group in rows])
    several = [(first, other) for first, other in zip(labels, further, strict=False)]
    split = with_every_label(stratified_grouped(labels, groups, 0.5), several, groups)
    assert sorted([*split.train, *split.held_back]) == list(range(len(rows)))
    assert not set(groups[split.train]) & set(groups[split.held_back])
    assert {label for row in split.train for label in several[row]} == {label for both in several for label in both}


def test_classes_keep_their_proportions():
    labels = [A] * 700 + [B] * 200 + [C] * 100
    split = stratified_grouped(labels, np.arange(1_000), 0.2, seed=3)
    assert Counter(labels[row] for row in split.held_back) == {A: 140, B: 40, C: 20}


def test_the_roundings_of_many_small_classes_cancel_out():
    labels = [(f"class {n}",) for n in range(100) for _ in range(3)]
    split = stratified_grouped(labels, np.arange(300), 0.2, seed=1)
    assert 59 <= len(split.held_back) <= 61  # each class would round 0.6 to 1: 100
    assert max(Counter(labels[row] for row in split.held_back).values()) == 1


def test_a_class_with_one_group_is_in_training_only():
    labels, groups = [A] * 10 + [B] * 5, [*range(10), *[99] * 5]
    assert not {10, 11, 12, 13, 14} & set(stratified_grouped(labels, groups, 0.5).held_back.tolist())
    assert all(not {10, 11, 12, 13, 14} & set(split.held_back.tolist()) for split in folds(labels, groups, 2))


def test_folds_hold_back_every_row_of_classes_that_have_two_groups():
    labels = [A] * 20 + [B] * 2
    held_back = np.concatenate([split.held_back for split in folds(labels, np.arange(22), 5)])
    assert sorted(held_back) == list(range(22))


def test_folds_are_of_one_size_in_every_class():
    labels = [A] * 50 + [B] * 25
    for split in folds(labels, np.arange(75), 5):
        assert Counter(labels[row] for row in split.held_back) == {A: 10, B: 5}


def test_a_large_group_is_not_torn_and_does_not_overshoot():
    labels, groups = [A] * 100, [0] * 60 + list(range(1, 41))
    split = stratified_grouped(labels, groups, 0.2)
    assert len(split.held_back) == 20
    assert 0 in split.train


def test_the_same_seed_gives_the_same_split_and_another_seed_another():
    labels, groups = [A, B] * 100, np.arange(200) // 2
    one, again, other = (stratified_grouped(labels, groups, 0.2, seed).held_back.tolist() for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_numbers_of_groups_do_not_matter_only_who_shares_one():
    labels = [A, A, B, B, A, A]
    one = stratified_grouped(labels, [0, 0, 1, 2, 3, 4], 0.4)
    other = stratified_grouped(labels, [10, 10, 21, 32, 43, 54], 0.4)
    assert one.held_back.tolist() == other.held_back.tolist()


def test_twenty_five_thousand_products_in_three_hundred_classes_are_quick():
    generator = np.random.default_rng(0)
    labels = [(f"class {n}",) for n in generator.zipf(1.3, 25_000) % 300]
    groups = generator.integers(0, 20_000, 25_000)
    started = time.process_time()
    stratified_grouped(labels, groups)
    folds(labels, groups)
    assert time.process_time() - started < 20


@pytest.mark.parametrize("share", [0.0, 1.0, -1, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(UsageError, match="held_back must be between 0 and 1"):
        stratified_grouped([A, B], [0, 1], share)


def test_lengths_that_differ_and_a_single_fold_are_refused():
    with pytest.raises(UsageError, match="one group for each of the 2 labels"):
        stratified_grouped([A, B], [0], 0.2)
    with pytest.raises(UsageError, match="at least 2"):
        folds([A, B], [0, 1], 1)
