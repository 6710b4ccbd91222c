"""Reliability: figures small enough to work out by hand."""

import numpy as np
import pytest

from shelfwise_indexer.reliability import (
    Accepted,
    Bin,
    accepted,
    expected_calibration_error,
    reliability,
    risk_coverage,
)

CONFIDENCE = np.array([0.9, 0.6, 0.8, 0.5], dtype=np.float32)
CORRECT = np.array([True, False, True, True])


def test_bins_hold_the_same_number_of_predictions_least_confident_first():
    low, high = reliability(CONFIDENCE, CORRECT, bins=2)
    assert (low.products, low.confidence, low.accuracy) == (2, pytest.approx(0.55), 0.5)
    assert (high.products, high.confidence, high.accuracy) == (2, pytest.approx(0.85), 1.0)


def test_the_error_is_the_mean_distance_over_products():
    # two products .05 off, two .15 off
    assert expected_calibration_error(reliability(CONFIDENCE, CORRECT, bins=2)) == pytest.approx(0.1)
    assert expected_calibration_error([Bin(3, 0.9, 1.0), Bin(1, 0.5, 0.0)]) == pytest.approx((3 * 0.1 + 0.5) / 4)


def test_there_are_no_more_bins_than_predictions():
    assert len(reliability(CONFIDENCE, CORRECT)) == 4
    assert reliability(np.empty(0, np.float32), np.empty(0, bool)) == ()
    assert expected_calibration_error(()) == 0


def test_risk_grows_where_a_wrong_prediction_comes_in():
    coverage, risk = risk_coverage(CONFIDENCE, CORRECT)
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert risk.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 4])


def test_a_threshold_accepts_what_reaches_it():
    assert accepted(CONFIDENCE, CORRECT, 0.6) == Accepted(0.75, pytest.approx(2 / 3))


def test_each_product_may_have_a_threshold_of_its_own_and_one_accepts_nothing():
    assert accepted(CONFIDENCE, CORRECT, [0.95, 0.5, 1.0, 0.5]) == Accepted(0.5, 0.5)
    assert accepted(np.ones(1, np.float32), np.array([True]), 1.0) == Accepted(0.0, None)
    assert Accepted(0.0, None).to_json() == {"coverage": 0.0, "precision": None}
