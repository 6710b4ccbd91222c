"""Neighbours: FAISS against numpy, which compares everything with everything."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.errors import UsageError
from shelfwise_indexer import neighbours
from shelfwise_indexer.neighbours import NONE, near_duplicates, nearest, recall, similar


def unit(vectors: object) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def around(*degrees: float) -> np.ndarray:
    """Vectors on the circle: cosines are the cosines of the differences."""
    angles = np.radians(degrees)
    return unit(np.column_stack((np.cos(angles), np.sin(angles))))


def random_vectors(n: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(n, dim)))


def grid_vectors(seed: int, n: int) -> np.ndarray:
    """Few different vectors, so that equal scores are everywhere."""
    return unit(np.random.default_rng(seed).choice([-1.0, 0.0, 1.0], size=(n, 3)) + np.array([0, 0, 3]))


def brute_force(vectors, k, allowed, groups=None):
    """The slow twin: for each row the best of the allowed, equal scores in the order of rows, of a group only one."""
    scores = np.round(vectors.astype(np.float64) @ vectors.T.astype(np.float64), 6)
    lists = []
    for row in range(len(vectors)):
        order = sorted(np.flatnonzero(allowed[row]), key=lambda other: (-scores[row, other], other))
        taken, seen = [], set()
        for other in order:
            if groups is None or groups[other] not in seen:
                taken.append(int(other))
                seen.add(None if groups is None else groups[other])
        lists.append(taken[:k])
    return lists, scores


def as_lists(ids: np.ndarray) -> list[list[int]]:
    return [[int(i) for i in row if i != NONE] for row in ids]


def assert_same(found, lists, scores):
    """Equal up to the order among equal scores: same length, same scores, no row twice, each with its own cosine."""
    for row, (got, wanted) in enumerate(zip(as_lists(found.ids), lists, strict=True)):
        assert len(got) == len(wanted), row
        assert len(set(got)) == len(got)
        assert found.scores[row, : len(got)] == pytest.approx(scores[row, got], abs=2e-6)
        assert scores[row, got] == pytest.approx(scores[row, wanted], abs=3e-6)
        assert (found.scores[row, len(got) :] == 0).all()


class TestNearest:
    def test_the_nearest_come_first_with_their_cosines_and_never_the_product_itself(self):
        found = nearest(around(0, 10, 30, 180), k=2)
        assert found.ids.tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
        assert found.scores[0] == pytest.approx([np.cos(np.radians(10)), np.cos(np.radians(30))], abs=1e-6)
        assert (found.ids.dtype, found.scores.dtype, found.recall) == (np.int64, np.float32, 1.0)

    def test_a_list_ends_early_with_minus_one_where_there_are_too_few(self):
        assert nearest(around(0, 10), k=3).ids.tolist() == [[1, NONE, NONE], [0, NONE, NONE]]

    def test_copies_of_one_vector_are_neighbours_in_the_order_of_rows(self):
        assert nearest(around(5, 5, 5, 5), k=3).ids.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]

    def test_within_a_leaf_only_the_leaf_is_searched(self):
        found = nearest(around(0, 1, 2, 40), k=2, within=np.array([7, 3, 7, 7]))
        assert found.ids.tolist() == [[2, 3], [NONE, NONE], [0, 3], [2, 0]]

    def test_variants_are_left_out_and_made_up_for(self):
        groups = np.array([0] * 60 + [1, 2, 3])
        found = nearest(around(*np.linspace(0, 1, 60), 30, 40, 50), k=3, exclude_groups=groups)
        assert found.ids[:60].tolist() == [[60, 61, 62]] * 60

    @given(seed=st.integers(0, 10_000), n=st.integers(1, 40), k=st.integers(1, 8))
    def test_it_equals_brute_force_with_leaves_variants_and_ties(self, seed, n, k):
        generator = np.random.default_rng(seed)
        vectors, leaf, groups = grid_vectors(seed, n), generator.integers(0, 3, n), generator.integers(0, n, n)
        other = ~np.eye(n, dtype=bool)
        assert_same(nearest(vectors, k), *brute_force(vectors, k, other))
        same_leaf, other_group = leaf[:, None] == leaf, groups[:, None] != groups
        assert_same(nearest(vectors, k, within=leaf), *brute_force(vectors, k, other & same_leaf))
        assert_same(nearest(vectors, k, leaf, groups), *brute_force(vectors, k, other_group & same_leaf))

    def test_it_equals_brute_force_on_many_products(self):
        vectors = random_vectors(1_200, 32)
        assert_same(nearest(vectors, 10), *brute_force(vectors, 10, ~np.eye(1_200, dtype=bool)))

    def test_past_the_exact_size_the_recall_is_measured_and_true(self):
        generator = np.random.default_rng(1)
        centres = generator.normal(size=(40, 24))
        vectors = unit(centres[generator.integers(0, 40, 6_000)] + 0.4 * generator.normal(size=(6_000, 24)))
        exact, approximate = nearest(vectors, 10), nearest(vectors, 10, exact_up_to=1_000)
        assert exact.recall == 1.0
        shared = [len(set(a) & set(b)) for a, b in zip(exact.ids.tolist(), approximate.ids.tolist(), strict=True)]
        assert 0.97 < np.mean(shared) / 10 <= 1
        assert approximate.recall == pytest.approx(np.mean(shared) / 10, abs=0.02)


class TestSimilar:
    def test_the_leaf_comes_first_and_the_whole_catalogue_fills_up(self):
        found = similar(around(0, 50, 1, 2), np.array([1, 1, 2, 2]), np.arange(4), np.ones(4, dtype=bool), k=3)
        assert found.ids.tolist() == [[1, 2, 3], [0, 3, 2], [3, 0, 1], [2, 0, 1]]

    def test_what_is_out_of_stock_is_not_shown_but_has_neighbours(self):
        available = np.array([True, False, True])
        found = similar(around(0, 1, 3), np.array([1, 1, 1]), np.arange(3), available, k=2)
        assert found.ids.tolist() == [[2, NONE], [0, 2], [0, NONE]]

    def test_of_five_colours_only_the_nearest_one_that_is_in_stock_is_shown(self):
        groups = np.array([0, 1, 1, 1, 1, 1, 2])
        available = np.array([True, False, True, True, True, True, True])
        found = similar(around(0, 1, 2, 3, 4, 5, 60), np.ones(7, dtype=np.int64), groups, available, k=3)
        assert found.ids[0].tolist() == [2, 6, NONE]
        assert found.ids[2].tolist() == [0, 6, NONE]

    def test_a_variant_of_another_leaf_is_not_shown_beside_its_sibling(self):
        groups, leaf = np.array([0, 1, 1, 2]), np.array([1, 1, 2, 2])
        found = similar(around(0, 3, 1, 50), leaf, groups, np.ones(4, dtype=bool), k=3)
        assert found.ids[0].tolist() == [1, 3, NONE]

    def test_a_product_without_a_leaf_has_neighbours_from_anywhere(self):
        found = similar(around(0, 10, 20), np.array([NONE, 1, NONE]), np.arange(3), np.ones(3, dtype=bool), k=2)
        assert found.ids.tolist() == [[1, 2], [0, 2], [1, 0]]

    def test_k_are_shown_where_k_groups_exist_however_many_variants_there_are(self):
        groups = np.array([0] + [1] * 500 + [2, 3])
        vectors = around(0, *np.linspace(0.1, 1, 500), 40, 50)
        found = similar(vectors, np.zeros(503, dtype=np.int64), groups, np.ones(503, dtype=bool), k=3)
        assert found.ids[0].tolist() == [1, 501, 502]

    def test_nothing_in_stock_gives_empty_lists(self):
        found = similar(around(0, 1), np.array([1, 1]), np.arange(2), np.zeros(2, dtype=bool), k=2)
        assert found.ids.tolist() == [[NONE, NONE]] * 2

    @given(seed=st.integers(0, 10_000), n=st.integers(1, 30), k=st.integers(1, 6))
    def test_it_equals_brute_force(self, seed, n, k):
        generator = np.random.default_rng(seed)
        vectors, leaf, groups = random_vectors(n, 4, seed), generator.integers(-1, 3, n), generator.integers(0, n, n)
        available = generator.random(n) < 0.7
        found = similar(vectors, leaf, groups, available, k)
        allowed = (groups[:, None] != groups) & available
        in_leaf = (leaf[:, None] == leaf) & (leaf[:, None] != NONE)
        near, _ = brute_force(vectors, k, allowed & in_leaf, groups)
        anywhere, _ = brute_force(vectors, n, allowed, groups)
        for row in range(n):
            shown = {groups[i] for i in near[row]}
            # of a group that is not in the leaf's part, the nearest of all
            wanted = near[row] + [i for i in anywhere[row] if groups[i] not in shown]
            assert as_lists(found.ids)[row] == wanted[:k]


def all_pairs(vectors, threshold, families=None):
    families = np.arange(len(vectors)) if families is None else families
    return sorted(np.concatenate(list(near_duplicates(vectors, threshold, families))).tolist())


class TestNearDuplicates:
    def test_pairs_reach_the_threshold(self):
        assert all_pairs(around(0, 90, 3, 50), 0.99) == [[0, 2]]

    def test_copies_are_paired_with_the_first_only(self):
        assert all_pairs(around(7, 90, 7, 7), 0.99) == [[0, 2], [0, 3]]

    def test_members_of_a_family_are_no_pair(self):
        assert all_pairs(around(7, 7, 7, 8, 8.5), 0.99, np.array([0, 0, 1, 1, 0])) == [[0, 2], [0, 3], [3, 4]]

    @pytest.mark.parametrize("block", [64, 1_024])
    def test_it_equals_brute_force(self, monkeypatch, block):
        monkeypatch.setattr(neighbours, "_RANGE_BLOCK", block)
        vectors, families = random_vectors(700, 4), np.random.default_rng(1).integers(0, 3, 700)
        near = np.triu(vectors @ vectors.T >= 0.98, k=1)
        assert near.sum() > 10
        assert all_pairs(vectors, 0.98) == np.argwhere(near).tolist()
        assert all_pairs(vectors, 0.98, families) == np.argwhere(near & (families[:, None] != families)).tolist()


class TestBadInput:
    def test_k_of_zero_is_refused(self):
        with pytest.raises(UsageError, match="k must be at least 1, got 0"):
            nearest(around(0, 1), k=0)

    def test_vectors_that_are_not_normalised_are_refused_by_row(self):
        with pytest.raises(UsageError, match=r"vector 1 has length 5\.0000: expected L2-normalised"):
            nearest(np.array([[1, 0], [3, 4]], dtype=np.float32), k=1)

    def test_a_vector_that_is_no_number_is_refused(self):
        with pytest.raises(UsageError, match="vector 0 has length nan"):
            nearest(np.array([[np.nan, 0]], dtype=np.float32), k=1)

    def test_another_type_or_length_is_refused(self):
        with pytest.raises(UsageError, match="expected float32 vectors"):
            nearest(np.eye(2), k=1)
        with pytest.raises(UsageError, match="within: expected one for each of the 2 vectors"):
            nearest(around(0, 1), k=1, within=np.array([1]))

    def test_an_empty_catalogue_has_no_neighbours(self):
        empty = np.empty((0, 8), dtype=np.float32)
        assert nearest(empty, k=3).ids.shape == (0, 3)
        nothing = np.empty(0, dtype=np.int64)
        assert similar(empty, nothing, nothing, np.empty(0, dtype=bool), k=3).ids.shape == (0, 3)
        assert all_pairs(empty, 0.9) == []


class TestRecall:
    @pytest.mark.parametrize("k", [1, 10])
    def test_it_equals_brute_force(self, k):
        exact = random_vectors(60)
        fast = unit(exact + 0.2 * random_vectors(60, seed=1))
        other = ~np.eye(60, dtype=bool)
        true, found = (brute_force(vectors, k, other)[0] for vectors in (exact, fast))
        shares = [len({*one} & {*two}) / k for one, two in zip(true, found, strict=True)]
        assert 0.1 < np.mean(shares) < 0.95
        assert recall(fast, exact, k) == pytest.approx(np.mean(shares))

    def test_of_equal_neighbours_any_will_do(self):
        exact = around(0, 40, 40)
        fast = around(0, 41, 40)
        assert recall(fast, exact, 1) == 1

    def test_few_others_are_all_found(self):
        assert recall(around(0, 90), around(0, 10), 10) == 1
        assert recall(around(0), around(0), 10) == 1
