import numpy as np
import pytest
from scipy.stats import bootstrap as scipys

from shelfwise_indexer import significance
from shelfwise_indexer.significance import bootstrap, paired


def of(*values):
    return {f"q{number}": value for number, value in enumerate(values)}


def test_a_difference_that_is_the_same_for_every_query_has_no_width():
    difference = paired(of(0.5, 0.75, 0.25), of(0.25, 0.5, 0.0))
    assert (difference.queries, difference.mean, difference.low, difference.high) == (3, 0.25, 0.25, 0.25)
    assert difference.better
    assert not difference.worse


def test_equal_systems_are_neither_better_nor_worse():
    difference = paired(of(0.1, 0.9), of(0.1, 0.9))
    assert (difference.mean, difference.better, difference.worse) == (0.0, False, False)


def test_a_gain_for_one_query_in_ten_is_not_better():
    difference = paired(of(1.0, *[0.0] * 9), of(*[0.0] * 10))
    assert difference.mean == pytest.approx(0.1)
    assert (difference.low, difference.better) == (0.0, False)  # .9^10: a third of the samples lack that query


def test_losses_for_most_queries_are_worse():
    difference = paired(of(*[0.2] * 9, 0.6), of(*[0.5] * 10))
    assert difference.worse
    assert difference.low < difference.mean < difference.high < 0


def test_only_queries_of_both_count():
    assert paired({"a": 1.0, "b": 0.0}, {"b": 1.0, "c": 1.0}).mean == -1.0
    with pytest.raises(ValueError, match="share no query"):
        paired({"a": 1.0}, {"b": 1.0})


def test_the_interval_is_scipys():
    values = np.random.default_rng(1).normal(0.02, 0.1, 200)
    theirs = scipys((values,), np.mean, method="percentile", n_resamples=10_000, rng=0).confidence_interval
    assert bootstrap(values) == pytest.approx((theirs.low, theirs.high), abs=0.001)


def test_many_queries_are_drawn_in_parts_and_the_same_twice(monkeypatch):
    values = np.random.default_rng(1).normal(0.02, 0.1, 200)
    whole = bootstrap(values)
    assert bootstrap(values) == whole
    monkeypatch.setattr(significance, "_AT_ONCE", 200 * 999)
    assert bootstrap(values) == pytest.approx(whole)
