"""MMR, by numbers small enough to check by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.diversify import maximal_marginal_relevance
from shelfwise.errors import UsageError

RELEVANCE = np.array([0.9, 0.8, 0.5], np.float32)
VECTORS = np.array([[1, 0], [1, 0], [0, 1]], np.float32)  # the second repeats the first


def test_what_repeats_an_earlier_hit_gives_way():
    # second place: .5 * .8 - .5 * 1 = -.1 against .5 * .5 - .5 * 0 = .25
    assert maximal_marginal_relevance(RELEVANCE, VECTORS, 3, 0.5) == [0, 2, 1]


def test_without_diversity_the_order_is_that_of_relevance():
    assert maximal_marginal_relevance(RELEVANCE, VECTORS, 2, 0.0) == [0, 1]


@pytest.mark.parametrize("diversity", [-0.1, 1.1, float("nan"), "x", None, True])
def test_a_diversity_that_cannot_be_is_refused(diversity):
    with pytest.raises(UsageError, match="diversity must be from 0"):
        maximal_marginal_relevance(RELEVANCE, VECTORS, 2, diversity)


@given(st.integers(0, 6), st.integers(0, 8), st.floats(0, 1))
def test_every_place_at_most_once_and_as_many_as_there_are(n, k, diversity):
    generator = np.random.default_rng(n)
    vectors = generator.normal(size=(n, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chosen = maximal_marginal_relevance(generator.random(n).astype(np.float32), vectors, k, diversity)
    assert len(chosen) == len(set(chosen)) == min(n, k)
