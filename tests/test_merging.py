"""Merging: what is most alike in a category becomes one, and still speaks for all of it."""

import numpy as np
import pytest

from shelfwise_indexer import merging
from shelfwise_indexer.merging import merge_alike

pytestmark = pytest.mark.model


def drawn(count, leaves=3, width=4, seed=0):
    generator = np.random.default_rng(seed)
    keys = generator.normal(size=(count, width)).astype(np.float32)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    return keys, np.eye(leaves, dtype=np.float32)[generator.integers(leaves, size=count)], np.ones(count, np.float32)


def pair_by_pair(keys, labels, most):
    """By hand: of all that is filed alike, the two with the least mean distance between their members are merged."""
    groups = [[row] for row in range(len(keys))]
    while len(groups) > most:
        apart = [
            (np.linalg.norm(keys[one][:, None] - keys[other], axis=2).mean(), first, second)
            for first, one in enumerate(groups)
            for second, other in enumerate(groups[:first])
            if (labels[one[0]] == labels[other[0]]).all()
        ]
        _, first, second = min(apart)
        groups[second] = [*groups[second], *groups.pop(first)]
    return groups


@pytest.mark.parametrize("most", [25, 12, 3])
def test_what_is_merged_is_what_one_would_merge_pair_by_pair(most):
    keys, labels, standing = drawn(30)
    left = merge_alike(keys, labels, standing, most, seed=0)
    wanted = [(keys[rows].sum(axis=0), labels[rows[0]], len(rows)) for rows in pair_by_pair(keys, labels, most)]
    assert len(left.keys) == most
    for total, label, count in wanted:
        place = np.abs(left.keys - total / np.linalg.norm(total)).max(axis=1).argmin()
        assert left.keys[place] == pytest.approx(total / np.linalg.norm(total), abs=1e-6)
        assert (left.labels[place] == label).all()
        assert left.standing[place] == count


def test_few_are_left_as_they_are():
    keys, labels, standing = drawn(10)
    left = merge_alike(keys, labels, standing, 10, seed=0)
    assert left.keys is keys
    assert left.labels is labels
    assert left.standing is standing


def test_what_speaks_for_more_pulls_harder_and_no_voice_is_lost():
    keys = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
    labels = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    left = merge_alike(keys, labels, np.array([3, 1, 2], np.float32), 2, seed=0)
    mean = np.array([3.8, 0.6]) / np.linalg.norm([3.8, 0.6])
    assert left.keys[0] == pytest.approx(mean)
    assert left.standing.tolist() == [4, 2]
    assert left.labels.tolist() == [[1, 0], [0, 1]]


def test_only_what_stands_in_the_same_categories_is_merged():
    keys = np.array([[1, 0], [1, 0], [1, 0], [1, 0]], np.float32)
    labels = np.array([[1, 0], [0.5, 0.5], [0, 1], [0.5, 0.5]], np.float32)
    left = merge_alike(keys, labels, np.ones(4, np.float32), 1, seed=0)
    assert sorted(left.labels.tolist()) == [[0, 1], [0.5, 0.5], [1, 0]]
    assert left.standing.sum() == 4


def test_a_large_category_is_merged_in_portions(monkeypatch):
    monkeypatch.setattr(merging, "PORTION", 8)
    keys, _, standing = drawn(50)
    one = np.ones((50, 1), np.float32)
    left = merge_alike(keys, one, standing, 7, seed=0)
    assert len(left.keys) == 7  # one of each portion
    assert left.standing.sum() == 50
    left = merge_alike(keys, one, standing, 20, seed=0)
    assert len(left.keys) == 20
    assert (left.keys == merge_alike(keys, one, standing, 20, seed=0).keys).all()


def test_as_many_categories_as_products_merge_nothing():
    keys, _, standing = drawn(3)
    left = merge_alike(keys, np.eye(3, dtype=np.float32), standing, 1, seed=0)
    assert len(left.keys) == 3
