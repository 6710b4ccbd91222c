import itertools

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.encoder import sigmoid, softmax
from shelfwise.filing import Filing
from shelfwise.taxonomy import Taxonomy, ancestors
from shelfwise_indexer.evaluate import LevelScores, Scores, SetScores, score, score_filing, score_sets

AA, AB, BC = ("A", "a"), ("A", "b"), ("B", "c")
TAXONOMY = Taxonomy((AA, AB, BC))


def scored(*rows, taxonomy=TAXONOMY):
    """Rows of (probabilities, the product's own paths)."""
    probabilities = np.array([row for row, _ in rows], dtype=np.float32)
    return score(taxonomy, probabilities, [paths for _, paths in rows])


def test_scores_of_four_products_are_those_computed_by_hand():
    scores = scored(
        ([0.6, 0.3, 0.1], [AA]),  # right, right
        ([0.5, 0.4, 0.1], [AB]),  # root right, leaf A > a
        ([0.3, 0.3, 0.4], [BC]),  # root A, for A has .6; leaf right
        ([0.1, 0.1, 0.8], [BC]),  # right, right
    )
    roots, leaves = scores.levels
    assert (roots.level, leaves.level, scores.products) == (1, 2, 4)
    # A: precision 2/3, recall 1, F1 .8. B: precision 1, recall 1/2, F1 2/3. Two products each.
    assert roots.accuracy == 0.75
    assert roots.weighted_f1 == pytest.approx((2 * 0.8 + 2 * 2 / 3) / 4)
    assert roots.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)
    # A > a: precision 1/2, recall 1, F1 2/3. A > b: never predicted, 0. B > c: 1.
    assert leaves.accuracy == 0.75
    assert leaves.weighted_f1 == pytest.approx((2 / 3 + 0 + 2 * 1) / 4)
    assert leaves.macro_f1 == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert (roots.classes, leaves.classes) == (2, 3)
    assert scores.mean_weighted_f1 == pytest.approx((roots.weighted_f1 + leaves.weighted_f1) / 2)


def test_leaves_that_a_product_may_be_in_together_are_no_sum():
    # 1 - .6 * .6 = .64 that a leaf of A fits, not .8; and the root of the leaf that is right is right
    rows = np.array([[0.4, 0.4, 0.7]], dtype=np.float32)
    assert [level.accuracy for level in score(TAXONOMY, rows, [[BC]]).levels] == [0, 1]
    assert [level.accuracy for level in score(TAXONOMY, rows, [[BC]], multi_label=True).levels] == [1, 1]


def test_a_faultless_classifier_scores_one_everywhere():
    scores = scored(([1, 0, 0], [AA]), ([0, 1, 0], [AB]), ([0, 0, 1], [BC]))
    assert all((level.accuracy, level.weighted_f1, level.macro_f1) == (1, 1, 1) for level in scores.levels)
    assert scores.mean_weighted_f1 == 1


@pytest.mark.parametrize("paths", [[AB, BC], [BC, AB]])
@pytest.mark.parametrize("probabilities", [[0, 1, 0], [0, 0, 1]])
def test_a_product_under_several_paths_is_right_under_any_of_them(paths, probabilities):
    assert [level.accuracy for level in scored((probabilities, paths)).levels] == [1, 1]


def test_a_product_under_several_paths_may_still_be_wrong():
    roots, leaves = scored(([1, 0, 0], [AB, BC])).levels
    assert (roots.accuracy, leaves.accuracy) == (1, 0)


def test_a_truth_that_the_taxonomy_lacks_is_wrong_below_what_it_shares():
    roots, leaves = scored(([1, 0, 0], [("A", "new")]), ([0, 0, 1], [BC])).levels
    assert (roots.accuracy, leaves.accuracy) == (1, 0.5)
    # A > new: 0 of one product; B > c: 1 of one; A > a was predicted and is nobody's: 0, in the macro mean only.
    assert leaves.weighted_f1 == pytest.approx(1 / 2)
    assert leaves.macro_f1 == pytest.approx(1 / 3)
    assert leaves.classes == 2


def test_a_truth_of_another_tree_is_wrong_at_every_level():
    assert [level.accuracy for level in scored(([1, 0, 0], [("C", "d")])).levels] == [0, 0]


def test_a_leaf_that_ends_early_stands_for_itself_further_down():
    taxonomy = Taxonomy((("A",), ("B", "c")))
    levels = scored(([1, 0], [("A",)]), ([0, 1], [("B", "c")]), taxonomy=taxonomy).levels
    assert [(level.accuracy, level.classes) for level in levels] == [(1, 2), (1, 2)]


def test_a_truth_deeper_than_the_taxonomy_is_wrong_at_the_leaves_and_right_above_them():
    roots, leaves = scored(([1, 0, 0], [("A", "a", "deeper")]), ([1, 0, 0], [AA])).levels
    assert (roots.accuracy, leaves.accuracy) == (1, 0.5)
    assert (roots.classes, leaves.classes) == (1, 2)


def test_nothing_to_measure_on_gives_no_levels():
    scores = score(TAXONOMY, np.empty((0, 3), np.float32), [])
    assert scores == Scores(0, ())
    assert scores.to_json() == {"products": 0, "mean_weighted_f1": 0.0, "levels": []}


def test_json_has_what_train_prints_for_each_level():
    scores = scored(([0.6, 0.3, 0.1], [AA]), ([0.5, 0.4, 0.1], [AB]), ([0.3, 0.3, 0.4], [BC]), ([0.1, 0.1, 0.8], [BC]))
    assert scores.to_json() == {
        "products": 4,
        "mean_weighted_f1": 0.7,
        "levels": [
            {"level": 1, "accuracy": 0.75, "weighted_f1": 0.7333, "macro_f1": 0.7333, "classes": 2},
            {"level": 2, "accuracy": 0.75, "weighted_f1": 0.6667, "macro_f1": 0.5556, "classes": 3},
        ],
    }


HALF = np.full(3, 0.5, dtype=np.float32)


def test_sets_of_three_products_are_those_computed_by_hand():
    filing = Filing(TAXONOMY, 0.6, label_thresholds=HALF, further_threshold=0.7)
    rows = np.array([[0.9, 0.1, 0.8], [0.9, 0.1, 0.6], [0.1, 0.4, 0.2]], dtype=np.float32)
    # given: AA and BC; AA and BC; AB. Accepted: AA and BC; AA; none.
    sets = score_sets(filing, rows, [[AA, BC], [BC, AA, AB], [("C", "new")]])
    assert sets == SetScores(micro_f1=2 * 4 / (5 + 6), exact_match=1 / 3, accepted_share=3 / 6)
    assert score_filing(filing, rows, [[AA, BC]] * 3).sets is not None


def test_of_one_category_each_no_sets_are_told():
    assert score_filing(Filing(TAXONOMY, 0.6), np.eye(3, dtype=np.float32), [[AA], [AB], [BC]]).sets is None


def test_without_products_no_sets_are_measured():
    assert score_filing(Filing(TAXONOMY, 0.6, None, HALF), np.empty((0, 3), np.float32), []) == Scores(0, ())


def test_sets_are_measured_as_scikit_learn_does():
    drawn = np.random.default_rng(0)
    taxonomy = Taxonomy.of([("A", str(number)) for number in range(6)])
    wanted = drawn.random((200, 6)) < 0.3
    wanted[np.arange(200), drawn.integers(0, 6, 200)] = True
    probabilities = sigmoid(drawn.normal(3 * wanted - 1.5, 1.5).astype(np.float32))
    thresholds = np.full(6, 0.5, dtype=np.float32)
    filing = Filing(taxonomy, 0.8, thresholds, thresholds, further_threshold=0.7)
    truths = [[leaf for leaf, is_in in zip(taxonomy.leaves, row, strict=True) if is_in] for row in wanted]
    sets = score_sets(filing, probabilities, truths)
    best = np.eye(6, dtype=bool)[probabilities.argmax(axis=1)]
    given, sure = best | (probabilities >= 0.5), probabilities.max(axis=1, keepdims=True) >= 0.5
    accepted = sure & (best | (probabilities >= 0.7))
    assert sets.micro_f1 == pytest.approx(sklearn.metrics.f1_score(wanted, given, average="micro"))
    assert sets.exact_match == pytest.approx(sklearn.metrics.accuracy_score(wanted, given))
    assert sets.accepted_share == pytest.approx(sklearn.metrics.recall_score(wanted, accepted, average="micro"))
    assert 0 < sets.accepted_share < 1


def test_sets_are_read_as_they_were_written():
    written = Scores(2, (LevelScores(1, 1.0, 1.0, 1.0, 2),), SetScores(0.75, 0.5, 0.25))
    assert written.to_json()["sets"] == {"micro_f1": 0.75, "exact_match": 0.5, "accepted_share": 0.25}
    assert Scores.from_json(written.to_json()) == written


@st.composite
def taxonomies_with_probabilities(draw):
    name = st.sampled_from("abc")
    path = st.lists(name, min_size=1, max_size=4).map(tuple)
    taxonomy = Taxonomy.of(draw(st.lists(path, min_size=1, max_size=12)))
    logits = draw(st.lists(st.floats(-20, 20, width=32), min_size=len(taxonomy.leaves), max_size=len(taxonomy.leaves)))
    return taxonomy, softmax(np.array([logits], dtype=np.float32))


@given(drawn=taxonomies_with_probabilities())
def test_along_a_path_probabilities_never_grow_from_root_to_leaf(drawn):
    taxonomy, probabilities = drawn
    [nodes] = taxonomy.node_probabilities(probabilities)
    for leaf in taxonomy.leaves:
        along = [nodes[taxonomy.node_number[node]] for node in ancestors(leaf)]
        assert all(below <= above + 1e-6 for above, below in itertools.pairwise(along))


@given(drawn=taxonomies_with_probabilities())
def test_roots_share_out_all_of_the_probability(drawn):
    taxonomy, probabilities = drawn
    [nodes] = taxonomy.node_probabilities(probabilities)
    roots = [nodes[number] for node, number in taxonomy.node_number.items() if len(node) == 1]
    assert sum(roots) == pytest.approx(1, abs=1e-5)
