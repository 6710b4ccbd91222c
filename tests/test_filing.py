"""The filing: what is accepted, what is sure, and what is filed nowhere."""

import numpy as np
import pytest

from shelfwise.filing import Filing, certainty, given_leaves
from shelfwise.taxonomy import Taxonomy

#        0           1            2           3           4           5
LEAVES = ["A > a > 1", "A > a > 2", "A > b > 1", "B > c > 1", "B > c > 2", "B > d > 1"]
TAXONOMY = Taxonomy(tuple(tuple(leaf.split(" > ")) for leaf in LEAVES))


@pytest.mark.parametrize(
    ("probabilities", "categories"),
    [
        ([0.9, 0.1, 0, 0, 0, 0], [("A", "a", "1")]),
        ([0.5, 0.4, 0, 0.1, 0, 0], [("A", "a")]),
        ([0.4, 0.2, 0.3, 0.1, 0, 0], [("A",)]),
        ([0.2, 0.2, 0.1, 0.2, 0.2, 0.1], []),
    ],
)
def test_what_is_not_sure_of_its_leaf_is_of_the_deepest_node_that_is_sure(probabilities, categories):
    given = np.array(probabilities, dtype=np.float32)
    assert Filing(TAXONOMY, 0.8).categories(given) == categories
    assert Filing(TAXONOMY, 0.8).categories(given, unread=True) == []


def test_of_several_categories_those_that_are_accepted_count():
    filing = Filing(TAXONOMY, 0.8, label_thresholds=np.full(6, 0.5, np.float32), further_threshold=0.7)
    assert filing.categories(np.array([0.9, 0, 0, 0.8, 0.6, 0], np.float32)) == [TAXONOMY.leaves[0], TAXONOMY.leaves[3]]


def test_a_product_never_gets_no_category_of_several():
    assert given_leaves(TAXONOMY, np.full(6, 0.01, np.float32), np.full(6, 0.5, np.float32)) == [TAXONOMY.leaves[0]]


def test_certain_is_the_lead_over_the_next_and_of_several_labels_the_probability():
    probabilities = np.array([[0.7, 0.28, 0.02], [0.05, 0.35, 0.6], [0.5, 0.5, 0.0]], dtype=np.float32)
    assert certainty(probabilities, multi_label=False) == pytest.approx([0.42, 0.25, 0.0])
    assert certainty(probabilities, multi_label=True) == pytest.approx([0.7, 0.6, 0.5])
    assert certainty(probabilities[:, :1], multi_label=False) == pytest.approx(probabilities[:, 0])  # one class only
    assert len(certainty(probabilities[:0], multi_label=False)) == 0
