"""What an encoder is measured by, on numbers small enough to check by hand."""

import numpy as np
import pytest

from shelfwise_indexer.encoder_retrieval import nearest_alike, reciprocal_rank

pytestmark = pytest.mark.model


def test_the_reciprocal_rank_is_that_of_the_best_right_answer():
    cosines = np.array([[0.9, 0.8, 0.1], [0.9, 0.8, 0.1]], np.float32)
    right = np.array([[False, True, True], [True, False, False]])
    assert reciprocal_rank(cosines, right) == pytest.approx((1 / 2 + 1) / 2)
    assert reciprocal_rank(cosines[:0], right[:0]) is None


def test_an_encoder_that_gives_all_texts_the_same_vector_finds_nothing():
    assert reciprocal_rank(np.ones((1, 9), np.float32), np.eye(1, 9, dtype=bool)) == pytest.approx(1 / 5)


def test_of_ones_own_category_as_many_are_wanted_as_there_are():
    cosines = np.array([[1, 0.9, 0.1, 0.5], [0.9, 1, 0.1, 0.2], [0.1, 0.1, 1, 0.7], [0.5, 0.2, 0.7, 1]], np.float32)
    alike = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], bool)
    assert nearest_alike(cosines, alike) == pytest.approx(1.0)
    assert nearest_alike(cosines, np.eye(4, dtype=bool)) is None


def test_only_the_ten_nearest_count():
    """Twelve others are nearer than the one of the same category."""
    cosines = np.full((14, 14), 0.5, np.float32)
    cosines[0, 13] = cosines[13, 0] = 0.1
    alike = np.eye(14, dtype=bool)
    alike[0, 13] = alike[13, 0] = True
    assert nearest_alike(cosines, alike) == 0.0
