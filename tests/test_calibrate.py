import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.encoder import softmax
from shelfwise_indexer.calibrate import (
    ASSURANCE,
    FEW,
    PROMISED_PRECISION,
    accept_threshold,
    accept_thresholds,
    fit_temperature,
    further_threshold,
    label_thresholds,
    least_to_prove,
)
from shelfwise_indexer.reliability import accepted


def floats(*values):
    return np.array(values, dtype=np.float32)


def right(*values):
    return np.array(values, dtype=np.bool_)


def one_hot(labels, classes):
    return np.eye(classes, dtype=np.float32)[labels]


@pytest.mark.parametrize("scale", [0.25, 0.5, 1.0, 3.0, 8.0])
def test_the_temperature_recovers_by_how_much_logits_were_scaled(scale):
    draw = np.random.default_rng(0)
    honest = draw.normal(0, 2, size=(20_000, 4)).astype(np.float32)
    labels = one_hot([draw.choice(4, p=row / row.sum()) for row in softmax(honest).astype(np.float64)], 4)
    assert fit_temperature(honest * np.float32(scale), labels) == pytest.approx(scale, rel=0.03)


def test_where_the_others_are_shared_out_wrongly_the_best_is_still_as_sure_as_it_is_right():
    logits = np.tile(floats(4, 3, -2, -2), (1000, 1))
    labels = one_hot(([0] * 7 + [1, 2, 3]) * 100, 4)  # the second is no likelier than the last
    said = softmax(logits / fit_temperature(logits, labels))
    assert said[:, 0] == pytest.approx(0.7, abs=1e-3)


def test_a_product_of_two_categories_is_right_in_either():
    logits = np.tile(floats([3, 2], [3, 1], [3, 0]), (10_000, 1))
    either = np.full((30_000, 2), 0.5, dtype=np.float32)
    assert fit_temperature(logits, either) == pytest.approx(0.1)


def test_of_a_single_category_there_is_nothing_to_scale():
    assert fit_temperature(floats([2], [3]), floats([1], [1])) == 1.0


def test_a_model_that_is_right_two_times_in_three_is_made_to_say_so():
    # Always logit 5 for class 0, right in 2 of 3: e^(5/T) / (e^(5/T) + 1) = 2/3, so T = 5 / ln 2.
    temperature = fit_temperature(np.tile(floats([5, 0]), (3000, 1)), one_hot([0, 0, 1] * 1000, 2))
    assert temperature == pytest.approx(5 / np.log(2), rel=1e-2)
    assert softmax(floats([5, 0]) / temperature)[0, 0] == pytest.approx(2 / 3, abs=1e-3)


def test_a_faultless_part_does_not_ask_for_certainty():
    assert fit_temperature(*many([0, 1])) == pytest.approx(0.1)


def test_a_part_that_is_always_wrong_stays_within_ten():
    assert fit_temperature(*many([1, 0])) == pytest.approx(10.0)


@pytest.mark.parametrize(("truth", "least", "most"), [([0, 1], 0.5, 0.9), ([1, 0], 1.1, 2.5)])
def test_a_few_products_move_it_a_little(truth, least, most):
    assert least < fit_temperature(floats([1, 0], [0, 1]), one_hot(truth, 2)) < most


def many(truth):
    return np.tile(floats([1, 0], [0, 1]), (50_000, 1)), one_hot(truth * 50_000, 2)


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


def drawn(seed, n=6000, leaves=12):
    """Predictions of leaves from easy to hard: how certain each is, and whether it is right."""
    generator = np.random.default_rng(seed)
    predicted = generator.integers(0, leaves, n)
    certain = generator.beta(3, 1, n).astype(np.float32)
    odds = 2 * np.log(certain / (1 - certain)) + np.linspace(2, -2, leaves)[predicted]
    return predicted, certain, generator.random(n) < 1 / (1 + np.exp(-odds))


@pytest.mark.parametrize("promised", [0.9, 0.97])
def test_what_the_thresholds_accept_is_as_precise_as_was_promised_on_predictions_that_did_not_set_them(promised):
    kept = []
    for seed in range(5):
        thresholds = accept_thresholds(*drawn(seed), 12, promised)
        predicted, certain, correct = drawn(seed + 100)
        kept.append(accepted(certain, correct, thresholds[predicted]))
    assert np.mean([one.precision for one in kept]) >= promised
    assert min(one.precision for one in kept) >= promised - 0.01
    assert all(one.precision < promised + 0.02 for one in kept)  # no more products for review than it takes


def test_thresholds_of_leaves_accept_more_than_one_for_all_of_them():
    predicted, certain, correct = drawn(0)
    thresholds = accept_thresholds(predicted, certain, correct, 12, 0.97)
    together = accept_threshold(certain, correct, 0.97, ASSURANCE)
    predicted, certain, correct = drawn(1)
    assert (certain >= thresholds[predicted]).mean() > (certain >= together).mean() + 0.02


def test_an_easy_leaf_is_accepted_sooner_than_a_hard_one_and_one_never_seen_in_between():
    predicted, certain, correct = drawn(0)
    thresholds = accept_thresholds(predicted, certain, correct, 13, 0.95)
    assert thresholds[0] < thresholds[12] < thresholds[11]


def test_a_leaf_of_two_predictions_stays_near_those_never_seen():
    predicted, certain, correct = drawn(0)
    predicted, certain = np.append(predicted, [12, 12]), np.append(certain, floats(0.9, 0.8))
    thresholds = accept_thresholds(predicted, certain, np.append(correct, [False, False]), 14, 0.95)
    assert thresholds[13] < thresholds[12] < thresholds[11]


def test_too_few_predictions_prove_nothing_and_nothing_is_accepted():
    predicted, certain = np.array([0, 1, 0, 1, 0, 1]), floats(0.9, 0.9, 0.8, 0.8, 0.7, 0.7)
    assert (accept_thresholds(predicted, certain, np.ones(6, dtype=bool), 2) == 1.0).all()
    assert (accept_thresholds(predicted[:0], certain[:0], np.ones(0, dtype=bool), 2) == 1.0).all()


def test_where_all_that_was_held_back_is_right_nearly_all_is_accepted():
    generator = np.random.default_rng(0)
    certain = generator.uniform(0.3, 1, 400).astype(np.float32)
    predicted = generator.integers(0, 4, 400)
    thresholds = accept_thresholds(predicted, certain, np.ones(400, dtype=bool), 4)
    assert (certain >= thresholds[predicted]).mean() > 0.95


@pytest.mark.parametrize(("n", "least"), [(50, 0.5), (200, 0.5), (200, 0.999), (2000, 0.9)])
def test_where_all_that_was_held_back_is_right_nothing_much_less_certain_is_accepted(n, least):
    """And all that was held back is: the fits on four parts of five and the last one end near each other."""
    for seed in range(3):
        generator = np.random.default_rng(seed)
        certain = generator.uniform(least, 1, n).astype(np.float32)
        predicted = generator.integers(0, 5, n)
        thresholds = accept_thresholds(predicted, certain, np.ones(n, dtype=bool), 5)
        assert (certain >= thresholds[predicted]).all()
        assert thresholds.min() > 1 - 1.5 * (1 - least)


def test_a_leafs_label_threshold_is_the_one_with_the_best_f1_drawn_to_that_of_all():
    probabilities = floats(0.9, 0.8, 0.2, 0.1)[:, np.newaxis]
    wanted = np.array([[True], [True], [False], [False]])
    assert label_thresholds(probabilities, wanted)[0] == pytest.approx(0.5)
    assert label_thresholds(probabilities, np.zeros((4, 1), dtype=bool))[0] == 0.5
    # a second leaf, of one held-back product, for which .125 were best, and .6 for both leaves together
    sure, unsure, rare = [0.9, 0.05], [0.3, 0.05], [0.1, 0.2]
    probabilities = np.array([sure] * 40 + [unsure] * 40 + [rare], dtype=np.float32)
    wanted = np.array([[True, False]] * 40 + [[False, False]] * 40 + [[False, True]])
    drawn = (1 * 0.125 + FEW * 0.6) / (1 + FEW)
    assert label_thresholds(probabilities, wanted) == pytest.approx([0.6, drawn])


def test_a_further_category_is_accepted_from_where_enough_of_them_are_right():
    # the best leaf of each row is the first; of the further ones, those of .6 and above are right
    further = np.repeat(floats(0.8, 0.7, 0.6, 0.4), 40)
    probabilities = np.stack(
        [np.full(160, 0.9, dtype=np.float32), further, np.full(160, 0.1, dtype=np.float32)], axis=1
    )
    wanted = np.stack([np.ones(160, dtype=bool), further >= 0.6, np.zeros(160, dtype=bool)], axis=1)
    thresholds = floats(0.3, 0.3, 0.3)
    assert further_threshold(probabilities, wanted, thresholds, 0.95) == pytest.approx(0.6)
    assert further_threshold(probabilities[:10], wanted[:10], thresholds, 0.95) == 1.0  # ten prove too little
    # that the best leaf of each row is right proves nothing of the further ones
    wanted[::12, 1] = False
    assert further_threshold(probabilities[:120], wanted[:120], thresholds, 0.95) == 1.0


def test_the_temperature_of_sigmoids_recovers_by_how_much_they_were_scaled():
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 2, (4000, 3)).astype(np.float32)
    labels = (generator.random((4000, 3)) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    assert fit_temperature(3 * logits, labels, multi_label=True) == pytest.approx(3, rel=0.1)


def test_of_several_categories_the_best_is_made_as_sure_as_it_is_right_whatever_is_said_of_the_others():
    logits = np.tile(floats(4, -1, -6, -6), (10_000, 1))
    labels = one_hot(([0] * 7 + [1, 2, 3]) * 1000, 4)
    said = 1 / (1 + np.exp(-logits / fit_temperature(logits, labels, multi_label=True)))
    assert said[:, 0] == pytest.approx(0.7, abs=1e-3)


@pytest.mark.parametrize("precision", [0.5, 0.8, 0.95, 0.99])
def test_as_many_right_predictions_as_it_takes_prove_a_precision_and_one_fewer_does_not(precision):
    enough = least_to_prove(precision)
    least, none = (
        accept_thresholds(np.zeros(n, np.int64), np.full(n, 0.75, np.float32), np.ones(n, bool), 1, precision)
        for n in (enough, enough - 1)
    )
    assert (least[0] < 1.0, none[0]) == (True, 1.0)
