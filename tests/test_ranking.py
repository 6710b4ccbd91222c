from dataclasses import replace

import pytest

from shelfwise.belief import believe_paths
from shelfwise.exact import Exact
from shelfwise.explain import explain
from shelfwise.fusion import RANK_CONSTANT
from shelfwise.ranking import Retrieved, rank
from shelfwise.search_settings import SearchSettings
from shelfwise.taxonomy import Taxonomy, ancestors, path_text

MUGS, TENTS = ("Home", "Mugs"), ("Out", "Tents")
TAXONOMY = Taxonomy.of([MUGS, TENTS, ("Pets", "Cats"), ("Food", "Tea")])


def found(id_, score, category=(), **source):
    nodes = [path_text(node) for node in ancestors(category)]
    enriched = {"ancestors": nodes, "status": "accepted"}
    return {"_id": id_, "_score": score, "_source": {"title": id_, "shelfwise": enriched, **source}}


def ids(candidates):
    return [candidate.id for candidate in candidates]


TWO_LISTS = Retrieved(
    {
        "lexical": [found("tent1", 4.0, TENTS), found("mug1", 3.0, MUGS), found("mug2", 2.0, MUGS)],
        "semantic": [found("mug1", 0.9, MUGS), found("tent1", 0.8, TENTS), found("mug2", 0.7, MUGS)],
    }
)


def test_a_likely_category_lifts_its_products_by_at_most_the_boost():
    settings = SearchSettings(category_boost=0.5, fusion="score")
    plain = rank(TWO_LISTS, settings, None, None, None)
    assert ids(plain) == ["mug1", "tent1", "mug2"] or ids(plain) == ["tent1", "mug1", "mug2"]
    boosted = rank(TWO_LISTS, settings, None, believe_paths(TAXONOMY, {MUGS: 1.0}), None)
    assert ids(boosted)[0] == "mug1"
    assert boosted[0].category_boost == pytest.approx(0.5)
    assert boosted[0].score == pytest.approx(1.5 * boosted[0].fused.score)
    assert {c.id: c.category_boost for c in boosted}["tent1"] == 0.0


def test_a_boost_of_zero_is_none():
    settings = SearchSettings(category_boost=0.0)
    belief = believe_paths(TAXONOMY, {MUGS: 1.0})
    assert rank(TWO_LISTS, settings, None, belief, None) == rank(TWO_LISTS, settings, None, None, None)


def test_a_category_that_no_good_hit_has_moves_nothing():
    wrong = believe_paths(TAXONOMY, {("Pets", "Cats"): 1.0})
    retrieved = Retrieved(TWO_LISTS.lists, added=[found("cat", 0.6, ("Pets", "Cats"))])
    for fusion in ("rank", "score"):
        settings = SearchSettings(fusion=fusion)
        boosted, plain = (rank(retrieved, settings, None, belief, None) for belief in (wrong, None))
        assert [(c.id, c.score) for c in boosted] == [(c.id, c.score) for c in plain]
        assert {"mug2", "cat"} >= {ids(boosted)[-1]}


def test_products_that_only_the_category_brought_rank_behind_those_found_without_it():
    retrieved = Retrieved(TWO_LISTS.lists, added=[found("mug1", 0.9, MUGS), found("mug3", 0.95, MUGS)])
    assert ids(rank(retrieved, SearchSettings(), None, None, None))[-1] == "mug3"


def test_popularity_is_logarithmic_and_can_be_turned_off():
    lists = {"lexical": [found("a", 1.0), found("b", 1.0, popularity=9.0), found("c", 1.0, popularity=99.0)]}
    on = rank(Retrieved(lists), SearchSettings(popularity=0.2), None, None, None)
    assert [(c.id, c.popularity_boost) for c in on] == [
        ("c", pytest.approx(0.2)),
        ("b", pytest.approx(0.1)),
        ("a", 0.0),
    ]
    assert ids(rank(Retrieved(lists), SearchSettings(popularity=0.0), None, None, None)) == ["a", "b", "c"]


def test_a_popularity_below_nothing_is_none_and_one_of_digits_counts():
    lists = {"lexical": [found("a", 1.0, popularity=-1), found("b", 1.0, popularity="9")]}
    boosts = {
        c.id: c.popularity_boost for c in rank(Retrieved(lists), SearchSettings(popularity=0.2), None, None, None)
    }
    assert boosts == {"a": 0.0, "b": pytest.approx(0.2)}


def test_the_exact_model_number_comes_first_whatever_the_scores():
    lists = {"lexical": [found("x", 9.0, title="Ink 74"), found("y", 1.0, title="HP 74XL")]}
    assert ids(rank(Retrieved(lists), SearchSettings(), None, None, Exact.of("hp 74xl"))) == ["y", "x"]


@pytest.mark.parametrize("fusion", ["rank", "score"])
@pytest.mark.parametrize("retrievers", [["lexical"], ["lexical", "semantic"]])
def test_of_products_that_are_found_equally_well_the_first_by_id_is_first(retrievers, fusion):
    lists = {name: [found(id_, 0.9) for id_ in "bca"] for name in retrievers}
    assert ids(rank(Retrieved(lists), SearchSettings(fusion=fusion), None, None, None)) == ["a", "b", "c"]


def test_a_candidate_says_where_each_retriever_had_it():
    tent, mug, *_ = rank(TWO_LISTS, SearchSettings(fusion="rank"), None, None, None)
    assert (tent.id, mug.id) == ("tent1", "mug1")  # a tie, which the words break
    assert mug.ranks == {"lexical": 2, "semantic": 1}
    assert mug.scores == {"lexical": 3.0, "semantic": pytest.approx(0.8)}


def test_what_the_fusion_by_rank_added_has_the_rank_and_the_score_that_it_counts_with():
    added = [found("mug1", 0.9, MUGS), found("mug3", 0.65, MUGS)]
    ranked = rank(Retrieved(TWO_LISTS.lists, added=added), SearchSettings(fusion="rank"), None, None, None)
    [mug3] = [one for one in ranked if one.id == "mug3"]
    assert mug3.ranks == {"semantic": 4}
    assert mug3.scores == {"semantic": pytest.approx(0.3)}
    assert mug3.fused.shares == {"semantic": 1 / (RANK_CONSTANT + 4)}


@pytest.mark.parametrize("fusion", ["rank", "score"])
@pytest.mark.parametrize("unread", [None, {"status": None, "ancestors": []}])  # as documents and as columns tell it
def test_of_a_product_without_a_vector_its_words_count_for_both(fusion, unread):
    words = [
        found("new", 9.0, shelfwise=unread),
        found("old", 8.0),
        found("weak", 2.0, shelfwise=unread),
        found("w", 1.0),
    ]
    near = [found(f"near{n}", 0.9 - n / 100) for n in range(9)]
    weights = {"lexical": 0.3, "semantic": 0.7}
    retrieved = Retrieved({"lexical": words, "semantic": near})
    ranked = {one.id: one for one in rank(retrieved, SearchSettings(fusion=fusion), weights, None, None)}
    assert next(iter(ranked)) == "new"
    assert (
        ranked["new"].score
        == ranked["new"].fused.shares["lexical"]
        == pytest.approx({"rank": 1 / (RANK_CONSTANT + 1), "score": 1.0}[fusion])
    )
    assert ranked["old"].score < ranked["near0"].score
    if fusion == "score":
        assert ranked["weak"].score < ranked["near4"].score
    meaning_alone = rank(retrieved, SearchSettings(fusion=fusion), {"lexical": 0.0, "semantic": 1.0}, None, None)
    assert ids(meaning_alone)[0] == "near0"
    shown = explain(ranked["new"], fusion, weights, None).retrievers
    assert (shown["lexical"].weight, shown["semantic"].weight) == (1.0, 0.0)
    shown = explain(ranked["old"], fusion, weights, None).retrievers
    assert (shown["lexical"].weight, shown["semantic"].weight) == (0.3, 0.7)


def test_products_without_a_vector_and_what_they_lack_move_no_trust_in_a_category():
    new = [found(f"new{n}", 5.0 - n, shelfwise=None) for n in range(4)]
    old = [found(f"old{n}", 3.0 - n / 2, MUGS) for n in range(4)]
    near = [found(f"old{n}", 0.9 - n / 10, MUGS) for n in range(4)]
    weights, belief = {"lexical": 0.3, "semantic": 0.7}, believe_paths(TAXONOMY, {MUGS: 1.0})

    def trusted(words):
        lists = {"lexical": words, "semantic": near}
        return rank(Retrieved(lists), SearchSettings(fusion="score"), weights, belief, None)[0].category_trust

    assert trusted([*new, *old]) == trusted(old) == 1.0


def test_what_has_a_vector_is_weighed_by_it_whatever_else_it_lacks():
    near = [found("bare", 0.9, shelfwise={"ancestors": []}), found("b", 0.8), found("c", 0.7)]
    lists = {"lexical": [found("b", 2.0)], "semantic": near}
    ranked = rank(Retrieved(lists), SearchSettings(fusion="score"), {"lexical": 0.3, "semantic": 0.7}, None, None)
    assert {one.id: one.fused.shares for one in ranked}["bare"] == {"semantic": 0.7}


@pytest.mark.parametrize("fusion", ["rank", "score"])
def test_the_least_that_holds_the_word_comes_before_all_that_holds_none(fusion):
    """The words of a model that knows none of them weigh alone: the worst of their list gets nothing, as others do."""
    words = [found("z0", 3.0), *(found(f"z{n}", 1.0) for n in range(1, 4))]
    others = [found(f"a{n}", 0.9 - n / 100) for n in range(9)]
    weights = {"lexical": 1.0, "semantic": 0.0}
    ranked = rank(Retrieved({"lexical": words, "semantic": others}), SearchSettings(fusion=fusion), weights, None, None)
    assert ids(ranked)[:4] == ["z0", "z1", "z2", "z3"]


def test_an_explanation_shows_probabilities_as_classify_does():
    belief = believe_paths(TAXONOMY, {MUGS: 1.0})
    summed = replace(belief, probability={"Home": 1.0000000000000302, "Home > Mugs": 0.3333333})
    [mug] = [one for one in rank(TWO_LISTS, SearchSettings(), None, belief, None) if one.id == "mug1"]
    assert [one.probability for one in explain(mug, "rank", {}, summed).categories] == [1.0, 0.3333]
