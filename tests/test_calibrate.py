import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.encoder import softmax
from shelfwise_indexer.calibrate import (
    PROMISED_PRECISION,
    accept_threshold,
    accept_thresholds,
    fit_temperature,
    label_thresholds,
)


def floats(*values):
    return np.array(values, dtype=np.float32)


def right(*values):
    return np.array(values, dtype=np.bool_)


def one_hot(labels, classes):
    return np.eye(classes, dtype=np.float32)[labels]


@pytest.mark.parametrize("scale", [0.25, 0.5, 1.0, 3.0, 8.0])
def test_the_temperature_recovers_by_how_much_logits_were_scaled(scale):
    honest = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    # The cross-entropy to the honest probabilities themselves is least exactly at the scale.
    assert fit_temperature(honest * np.float32(scale), softmax(honest)) == pytest.approx(scale, rel=1e-2)


def test_a_model_that_is_right_two_times_in_three_is_made_to_say_so():
    # Always logit 5 for class 0, right in 2 of 3: e^(5/T) / (e^(5/T) + 1) = 2/3, so T = 5 / ln 2.
    temperature = fit_temperature(floats([5, 0], [5, 0], [5, 0]), one_hot([0, 0, 1], 2))
    assert temperature == pytest.approx(5 / np.log(2), rel=1e-2)
    assert softmax(floats([5, 0]) / temperature)[0, 0] == pytest.approx(2 / 3, abs=1e-3)


def test_a_faultless_part_does_not_ask_for_certainty():
    assert fit_temperature(floats([1, 0], [0, 1]), one_hot([0, 1], 2)) == pytest.approx(0.1)


def test_a_part_that_is_always_wrong_stays_within_ten():
    assert fit_temperature(floats([1, 0], [0, 1]), one_hot([1, 0], 2)) == pytest.approx(10.0)


def test_without_held_back_products_nothing_is_scaled():
    assert fit_temperature(np.empty((0, 3), np.float32), np.empty((0, 3), np.float32)) == 1.0


@pytest.mark.parametrize(
    ("precision", "threshold"),
    # Right among those at least as sure: 1/1, 2/2, 2/3, 3/4, 3/5.
    [(1.0, 0.75), (0.95, 0.75), (0.75, 0.25), (0.7, 0.25), (0.6, 0.125), (0.1, 0.125)],
)
def test_the_threshold_is_the_least_confidence_that_keeps_the_precision(precision, threshold):
    confidence = floats(0.25, 0.875, 0.125, 0.5, 0.75)
    correct = right(True, True, False, False, True)
    assert accept_threshold(confidence, correct, precision) == threshold


def test_nineteen_of_twenty_are_the_promised_precision():
    assert PROMISED_PRECISION == 0.95
    confidence = np.linspace(0.9, 0.5, 20, dtype=np.float32)
    assert accept_threshold(confidence, right(*[True] * 19, False)) == 0.5
    assert accept_threshold(confidence[:19], right(*[True] * 18, False)) > confidence[18]


def test_a_precision_that_no_confidence_gives_asks_for_certainty():
    assert accept_threshold(floats(0.9, 0.8), right(False, True), 0.95) == 1.0
    assert accept_threshold(floats(0.9), right(False)) == 1.0


def test_nothing_held_back_asks_for_certainty():
    assert accept_threshold(floats(), right()) == 1.0


def test_equally_sure_predictions_are_accepted_together_or_not_at_all():
    confidence = floats(0.875, 0.5, 0.5)
    assert accept_threshold(confidence, right(True, True, False), 0.75) == 0.875
    assert accept_threshold(confidence, right(True, False, True), 0.75) == 0.875
    assert accept_threshold(confidence, right(True, True, False), 0.6) == 0.5


def test_when_all_are_equally_sure_the_whole_part_decides():
    assert accept_threshold(floats(0.5, 0.5, 0.5, 0.5), right(True, False, True, True), 0.75) == 0.5
    assert accept_threshold(floats(0.5, 0.5, 0.5, 0.5), right(True, False, False, True), 0.75) == 1.0


@given(
    predictions=st.lists(st.tuples(st.sampled_from([0.125, 0.25, 0.5, 0.75]), st.booleans()), max_size=30),
    precision=st.sampled_from([0.5, 0.75, 0.95, 1.0]),
)
def test_the_threshold_keeps_its_promise_and_no_lesser_one_does(predictions, precision):
    confidence, correct = floats(*[c for c, _ in predictions]), right(*[r for _, r in predictions])

    def keeps(threshold):
        accepted = correct[confidence >= threshold]
        return len(accepted) > 0 and accepted.mean() >= precision

    threshold = accept_threshold(confidence, correct, precision)
    assert threshold == min(
        (value for value in (0.125, 0.25, 0.5, 0.75) if value in confidence and keeps(value)), default=1.0
    )


def test_assurance_asks_for_proof():
    """14 right of 14 prove .9 at 80 % (.2 ** (1 / 14) = .891 does not, 16 do: .904)."""
    confidence = np.linspace(0.9, 0.5, 20, dtype=np.float32)
    assert accept_threshold(confidence[:14], right(*[True] * 14), 0.9, 0.8) == 1.0
    assert accept_threshold(confidence[:16], right(*[True] * 16), 0.9, 0.8) == confidence[15]
    assert accept_threshold(confidence[:16], right(*[False] * 16), 0.9, 0.8) == 1.0


def test_an_easy_leaf_is_accepted_at_a_lower_confidence_than_the_others():
    predicted = np.array([0] * 40 + [1] * 40 + [2] * 2)
    confidence = np.concatenate([np.linspace(0.9, 0.4, 40)] * 2 + [[0.9, 0.9]]).astype(np.float32)
    correct = np.array([True] * 40 + [True] * 20 + [False] * 20 + [True] * 2)
    thresholds, together = accept_thresholds(predicted, confidence, correct, 4, precision=0.9)
    assert thresholds[0] == pytest.approx(0.4)
    assert thresholds[1] > 0.6
    assert together == 1.0  # two products of leaf 2 prove nothing
    assert thresholds[2] == thresholds[3] == 1.0


def test_a_leafs_label_threshold_is_the_one_with_the_best_f1_drawn_to_that_of_all():
    probabilities = floats(0.9, 0.8, 0.2, 0.1)[:, np.newaxis]
    wanted = np.array([[True], [True], [False], [False]])
    assert label_thresholds(probabilities, wanted)[0] == pytest.approx(0.5)
    assert label_thresholds(probabilities, np.zeros((4, 1), dtype=bool))[0] == 0.5


def test_the_temperature_of_sigmoids_recovers_by_how_much_they_were_scaled():
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 2, (4000, 3)).astype(np.float32)
    labels = (generator.random((4000, 3)) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    assert fit_temperature(3 * logits, labels, multi_label=True) == pytest.approx(3, rel=0.1)
