"""Keyword rules: learnt words that a person can check."""

import numpy as np
import pytest

from shelfwise_indexer.keywords import learn_keywords

TEXTS = ["red mug", "blue mug", "green mug", "red kettle", "blue kettle", "shiny lamp"]
LABELS = np.array([0, 0, 0, 1, 1, 2])


def test_keywords_are_the_words_of_a_class_that_others_lack():
    rules = learn_keywords(TEXTS, LABELS, 3)
    assert rules.keywords(0) == ["mug"]  # red and blue are everywhere, green and the pairs are of one product only
    assert rules.keywords(1)[0] == "kettle"


def test_a_weight_is_the_log_odds_ratio_worked_out_by_hand():
    rules = learn_keywords(TEXTS, LABELS, 3)
    # inside: 3 of 3 products hold "mug", outside 0 of 3; half a product is added to each cell
    assert rules.weights[0, rules.terms.index("mug")] == pytest.approx(np.log(3.5 / 0.5) - np.log(0.5 / 3.5))


def test_the_heavier_keywords_decide_and_without_any_the_most_common_class():
    rules = learn_keywords(TEXTS, LABELS, 3)
    assert rules.predict(["a kettle", "one more mug", "garden chair"]).tolist() == [1, 0, 0]


def test_a_class_of_one_product_has_no_keywords():
    assert learn_keywords(TEXTS, LABELS, 3).keywords(2) == []


def test_a_class_that_no_text_is_of_is_never_predicted():
    rules = learn_keywords(["mug", "mug", "pan", "pan"], np.array([0, 0, 2, 2]), 3)
    assert rules.predict(["mug", "pan"]).tolist() == [0, 2]


def test_chinese_keywords_are_words():
    rules = learn_keywords(["红色保温杯", "蓝色保温杯", "红色台灯", "蓝色台灯"], np.array([0, 0, 1, 1]), 2, "segments")
    assert (rules.keywords(0), rules.keywords(1)) == (["保温杯"], ["台灯"])
