import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.errors import UnknownRetriever
from shelfwise.fusion import min_max, reciprocal_rank

RETRIEVERS = st.sampled_from(["words", "vectors", "popular"])
IDS = st.text("abcdef", min_size=1, max_size=2)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def lists_of_ids():
    return st.dictionaries(RETRIEVERS, st.lists(IDS, unique=True, max_size=8))


def scored_lists():
    return st.dictionaries(RETRIEVERS, st.dictionaries(IDS, FINITE, max_size=8))


def test_a_product_both_lists_rank_second_beats_one_that_a_single_list_ranks_first():
    fused = reciprocal_rank({"words": ["a", "b"], "vectors": ["c", "b"]})
    assert [f.id for f in fused] == ["b", "a", "c"]
    assert fused[0].score == pytest.approx(2 / 62)
    assert fused[0].shares == {"words": 1 / 62, "vectors": 1 / 62}


def test_a_weight_of_two_counts_a_list_twice():
    fused = reciprocal_rank({"words": ["a"], "vectors": ["b"]}, {"vectors": 2.0})
    assert [(f.id, f.score) for f in fused] == [("b", 2 / 61), ("a", 1 / 61)]


@pytest.mark.parametrize(
    "fuse", [lambda w: reciprocal_rank({"words": ["a"]}, w), lambda w: min_max({"words": {"a": 1}}, w)]
)
def test_a_weight_for_a_list_that_is_not_there_is_refused(fuse):
    with pytest.raises(UnknownRetriever, match="no retriever is named vectors: there are words"):
        fuse({"vectors": 1.0})


@given(lists=lists_of_ids())
def test_every_product_of_every_list_comes_out_once(lists):
    assert sorted(f.id for f in reciprocal_rank(lists)) == sorted({id_ for ids in lists.values() for id_ in ids})


@given(lists=lists_of_ids())
def test_shares_add_up_to_the_score_and_the_order_is_that_of_the_scores(lists):
    fused = reciprocal_rank(lists)
    assert all(f.score == pytest.approx(sum(f.shares.values())) for f in fused)
    assert fused == sorted(fused, key=lambda f: (-f.score, f.id))


@given(ids=st.lists(IDS, unique=True, max_size=8))
def test_one_list_alone_keeps_its_order(ids):
    assert [f.id for f in reciprocal_rank({"words": ids})] == ids


@given(lists=lists_of_ids())
def test_the_order_in_which_retrievers_are_named_does_not_matter(lists):
    turned = dict(reversed(lists.items()))
    assert [f.id for f in reciprocal_rank(turned)] == [f.id for f in reciprocal_rank(lists)]


def test_min_max_stretches_each_list_before_adding():
    fused = min_max({"words": {"a": 30.0, "b": 20.0, "c": 10.0}, "vectors": {"b": 0.9, "c": 0.8}}, {"words": 2.0})
    assert [(f.id, f.score) for f in fused] == [("a", 2.0), ("b", 2.0), ("c", 0.0)]
    assert fused[1].shares == {"words": 1.0, "vectors": 1.0}


def test_min_max_measures_a_list_from_the_least_that_it_can_give_where_that_is_known():
    given = {"words": {"a": 8.0, "b": 4.0}, "vectors": {"a": 0.8, "b": 0.9}}
    fused = {f.id: f.shares for f in min_max(given, floors={"words": 0.0})}
    assert fused == {"a": {"words": 1.0, "vectors": 0.0}, "b": {"words": 0.5, "vectors": 1.0}}
    assert [f.score for f in min_max({"words": {"a": 2.0, "b": 2.0}}, floors={"words": 0.0})] == [1.0, 1.0]


def test_min_max_of_equal_scores_gives_each_the_whole_weight():
    assert [(f.id, f.score) for f in min_max({"words": {"b": 3.0, "a": 3.0}})] == [("a", 1.0), ("b", 1.0)]


def test_min_max_does_not_stretch_what_only_rounding_sets_apart():
    assert [(f.id, f.score) for f in min_max({"vectors": {"a": 0.7071068, "b": 0.7071067}})] == [("a", 1.0), ("b", 1.0)]


@given(scores=scored_lists())
def test_min_max_gives_every_product_once_with_shares_from_0_to_1(scores):
    fused = min_max(scores)
    assert sorted(f.id for f in fused) == sorted({id_ for given in scores.values() for id_ in given})
    assert all(0.0 <= share <= 1.0 and math.isfinite(share) for f in fused for share in f.shares.values())


@given(
    given_scores=st.dictionaries(IDS, st.integers(-1000, 1000), max_size=8),
    shift=st.integers(-50, 50),
    scale=st.integers(1, 9),
)
def test_min_max_does_not_see_the_scale_of_a_list(given_scores, shift, scale):
    moved = {id_: score * scale + shift for id_, score in given_scores.items()}
    original, other = min_max({"words": given_scores}), min_max({"words": moved})
    assert {f.id: f.score for f in other} == pytest.approx({f.id: f.score for f in original})
