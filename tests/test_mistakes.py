"""Mistakes per class and per pair, worked out by hand."""

import numpy as np
import pytest

from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.mistakes import class_scores, confusions, predictions

AA, AB, BC = ("A", "a"), ("A", "b"), ("B", "c")
TAXONOMY = Taxonomy((AA, AB, BC))
PATHS = [[AA], [AA], [AB], [BC], [AB, BC]]
PROBABILITIES = np.array(
    [[0.9, 0.1, 0], [0.4, 0.6, 0], [0.2, 0.8, 0], [0.1, 0.7, 0.2], [0, 0.1, 0.9]], dtype=np.float32
)


def test_a_class_has_the_scores_worked_out_by_hand():
    scores = {one.path: one for one in class_scores(predictions(TAXONOMY, PROBABILITIES, PATHS, 2))}
    # A > b is predicted for rows 1, 2 and 3, of which 2 is right, and is the truth of row 2 alone
    assert (scores[AB].products, scores[AB].predicted, scores[AB].recall) == (1, 3, 1)
    assert scores[AB].precision == pytest.approx(1 / 3)
    assert scores[AB].f1 == pytest.approx(0.5)
    # the last product is under B > c as well, which was predicted
    assert (scores[BC].products, scores[BC].predicted, scores[BC].precision, scores[BC].recall) == (2, 1, 1, 0.5)


def test_roots_are_measured_by_the_sum_of_their_leaves():
    made = predictions(TAXONOMY, PROBABILITIES, PATHS, 1)
    assert made.guesses == (("A",), ("A",), ("A",), ("A",), ("B",))
    assert made.confidence == pytest.approx([1, 1, 1, 0.8, 0.9])
    assert made.correct.tolist() == [True, True, True, False, True]


def test_roots_of_several_labels_are_measured_by_whether_any_leaf_fits():
    made = predictions(TAXONOMY, np.array([[0.4, 0.4, 0.7]], dtype=np.float32), [[BC]], 1, multi_label=True)
    assert (made.guesses, made.confidence) == ((("B",),), pytest.approx([0.7]))


def test_a_product_that_belongs_below_a_leaf_is_a_mistake_there():
    deep = [[("A", "a", "deeper")]]
    leaves, roots = (predictions(TAXONOMY, PROBABILITIES[:1], deep, level) for level in (2, 1))
    assert (leaves.correct.tolist(), roots.correct.tolist()) == ([False], [True])
    assert leaves.truths == (("A", "a", "deeper"),)


def test_pairs_are_named_with_their_rows_most_products_first_then_by_share():
    found = confusions(predictions(TAXONOMY, PROBABILITIES, PATHS, 2))
    assert [(one.truth, one.guess, one.rows, one.share) for one in found] == [(AA, AB, (1,), 0.5), (BC, AB, (3,), 0.5)]
