"""Suspected label errors."""

import numpy as np

from shelfwise_indexer.suspects import suspected_label_errors

# ten products of each of two classes that the model is sure of; row 20 is labelled 0 and looks like 1
LABELS = np.array([0] * 10 + [1] * 10 + [0])
PROBABILITIES = np.array([[0.9, 0.1, 0]] * 10 + [[0.1, 0.9, 0]] * 10 + [[0.05, 0.95, 0]], dtype=np.float32)


def test_the_product_that_looks_like_another_class_is_suspected():
    [suspect] = suspected_label_errors(LABELS, PROBABILITIES)
    assert (suspect.row, round(suspect.label_probability, 2)) == (20, 0.05)


def test_nothing_is_suspected_where_the_model_agrees_or_there_is_one_class():
    assert suspected_label_errors(LABELS[:20], PROBABILITIES[:20]) == []
    assert suspected_label_errors(np.zeros(5, dtype=np.int64), PROBABILITIES[:5]) == []
    assert suspected_label_errors(np.empty(0, dtype=np.int64), PROBABILITIES[:0]) == []
