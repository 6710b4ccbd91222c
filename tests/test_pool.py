"""The pool in small blocks and by cells, against everything at once."""

import numpy as np
import pytest

from shelfwise_indexer import neighbours, pool
from shelfwise_indexer.neighbours import nearest, similar
from shelfwise_indexer.other_groups import OtherGroups
from shelfwise_indexer.row_file import RowFile


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(pool, "BLOCK", 100)
    monkeypatch.setattr(neighbours, "BLOCK", 64)


def clustered(n, seed=1):
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(40, 24))
    return unit(centres[generator.integers(0, 40, n)] + 0.4 * generator.normal(size=(n, 24)))


def catalogue(n, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(-1, 3, n), generator.integers(0, n // 2, n), generator.random(n) < 0.7


def on_disk(vectors, path):
    path.write_bytes(vectors.tobytes())
    return RowFile(path, np.float32, vectors.shape[1])


def test_blocks_find_what_all_at_once_find(monkeypatch):
    vectors = unit(np.random.default_rng(0).choice([-1.0, 0.0, 1.0], size=(700, 3)) + np.array([0, 0, 3]))
    leaf, groups, available = catalogue(700)
    whole = similar(vectors, leaf, groups, available, 8)
    monkeypatch.setattr(pool, "BLOCK", 50)
    monkeypatch.setattr(neighbours, "BLOCK", 30)
    parts = similar(vectors, leaf, groups, available, 8)
    np.testing.assert_allclose(parts.scores[:], whole.scores[:], atol=2e-6)
    differ = parts.ids[:] != whole.ids[:]
    assert differ.mean() < 0.2  # equal scores, rounded differently, may change places
    for row, others in enumerate(parts.ids[:]):
        rows = others[others >= 0]
        assert len(set(rows)) == len(rows)
        np.testing.assert_allclose(vectors[rows] @ vectors[row], parts.scores[row, : len(rows)], atol=2e-6)


@pytest.mark.parametrize("exact_up_to", [200_000, 300])
def test_lists_on_disk_are_those_in_memory(tmp_path, small_blocks, exact_up_to):
    vectors, (leaf, groups, available) = clustered(1_500), catalogue(1_500)
    held = similar(vectors, leaf, groups, available, 7, exact_up_to)
    kept = similar(on_disk(vectors, tmp_path / "v"), leaf, groups, available, 7, exact_up_to, folder=tmp_path)
    assert np.array_equal(kept.ids[:], held.ids[:])
    assert np.array_equal(kept.scores[:], held.scores[:])
    assert kept.recall == held.recall


def test_only_those_who_ask_have_lists_and_they_are_the_same(tmp_path, small_blocks):
    vectors, (leaf, groups, available) = clustered(600), catalogue(600)
    wanted = np.random.default_rng(3).random(600) < 0.3
    whole = similar(vectors, leaf, groups, available, 5)
    some = similar(vectors, leaf, groups, available, 5, wanted=wanted, folder=tmp_path)
    np.testing.assert_allclose(some.scores[:][wanted], whole.scores[wanted], atol=2e-6)
    assert (some.ids[:][~wanted] == -1).all()


def test_cells_on_disk_reach_the_recall_that_they_say(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "BLOCK", 1_000)
    vectors = clustered(3_000)
    leaf, groups, available = np.zeros(3_000, dtype=np.int64), np.arange(3_000), np.ones(3_000, dtype=bool)
    exact = nearest(vectors, 10)
    found = similar(on_disk(vectors, tmp_path / "v"), leaf, groups, available, 10, exact_up_to=500, folder=tmp_path)
    shared = [len(set(a) & set(b)) for a, b in zip(exact.ids[:].tolist(), found.ids[:].tolist(), strict=True)]
    assert exact.recall == 1.0
    assert 0.97 < np.mean(shared) / 10 <= 1
    assert found.recall == pytest.approx(np.mean(shared) / 10, abs=0.02)


def test_few_queries_are_compared_with_a_large_pool_exactly():
    vectors, groups = clustered(3_000), OtherGroups(np.arange(3_000))
    assert pool.Pool(vectors, np.arange(3_000), queries=300, exact_up_to=1_000, k=5, groups=groups).recall == 1.0
    far = pool.Pool(vectors, np.arange(3_000), queries=3_000, exact_up_to=1_000, k=5, groups=groups)
    assert far.recall >= 0.99
    queries = np.arange(0, 3_000, 10)
    assert sorted(far.arranged(queries).tolist()) == queries.tolist()


def variants(products, each, seed=2):
    """Vectors and groups of products with so many variants each, which are nearer to each other than to all else."""
    generator = np.random.default_rng(seed)
    families = np.repeat(clustered(products, seed), each, axis=0)
    return unit(families + 0.01 * generator.normal(size=families.shape)), np.repeat(np.arange(products), each)


@pytest.mark.parametrize("distinct", [True, False])
def test_with_variants_the_recall_is_that_of_other_products_and_lists_are_full(distinct):
    vectors, groups = variants(300, 25)
    n, one_leaf, there = len(vectors), np.zeros(7_500, dtype=np.int64), np.ones(7_500, dtype=bool)

    def lists(exact_up_to):
        if distinct:
            return similar(vectors, one_leaf, groups, there, 5, exact_up_to)
        return nearest(vectors, 5, exclude_groups=groups, exact_up_to=exact_up_to)

    found, exact = lists(1_000), lists(n)
    shared = [len({*a} & {*b}) for a, b in zip(exact.ids[:].tolist(), found.ids[:].tolist(), strict=True)]
    assert (found.ids[:] >= 0).all()
    assert exact.recall == 1.0
    assert np.mean(shared) / 5 > 0.98
    assert found.recall == pytest.approx(np.mean(shared) / 5, abs=0.01)


def test_with_fewer_products_than_asked_for_all_are_listed_from_all_cells():
    vectors, groups = variants(9, 100)
    found = similar(vectors, np.zeros(900, dtype=np.int64), groups, np.ones(900, dtype=bool), 20, exact_up_to=200)
    assert ((found.ids[:] >= 0).sum(axis=1) == 8).all()
    assert found.recall == 1.0


def test_neighbours_that_can_be_reached_are_counted_as_one_by_one():
    generator = np.random.default_rng(5)
    numbers, rows = generator.integers(0, 12, 60), np.sort(generator.choice(60, 20, replace=False))
    for distinct in (True, False):
        others = [[numbers[row] for row in rows if numbers[row] != numbers[query]] for query in range(60)]
        wanted = [len({*groups} if distinct else groups) for groups in others]
        counted = np.unique(numbers[rows], return_counts=True)
        assert OtherGroups(numbers, distinct).reachable(np.arange(60), *counted).tolist() == wanted
