import numpy as np
import pytest

from shelfwise.filing import Filing
from shelfwise.product import parse_product
from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.enrich import (
    Enricher,
    document,
    is_unchanged,
    keep_decision,
    nodes_of,
    text_hash,
)

#        0           1            2           3           4           5
LEAVES = ["A > a > 1", "A > a > 2", "A > b > 1", "B > c > 1", "B > c > 2", "B > d > 1"]
TAXONOMY = Taxonomy(tuple(tuple(leaf.split(" > ")) for leaf in LEAVES))
MOMENT = "2026-02-03T04:05:06.789+00:00"
VECTOR = np.array([0.6, 0.8], dtype=np.float32)


def product(**fields):
    return parse_product({"id": "p", "title": "Kettle", **fields})


def enriched(probabilities, threshold=0.8, **fields):
    enricher = Enricher(Filing(TAXONOMY, threshold), "b3f2b3f2b3f2")
    return enricher.enrichment(product(**fields), "Kettle", VECTOR, np.array(probabilities, dtype=np.float32), MOMENT)


def test_the_whole_of_an_enrichment():
    found = enriched([0.9, 0.05, 0.02, 0.02, 0.007, 0.003])
    assert found | {"vector": found["vector"].tolist()} == {
        "category": ["A > a > 1"],
        "ancestors": ["A", "A > a", "A > a > 1"],
        "confidence": 0.9,
        "status": "accepted",
        "candidates": [
            {"category": "A > a > 1", "probability": 0.9},
            {"category": "A > a > 2", "probability": 0.05},
            {"category": "A > b > 1", "probability": 0.02},
            {"category": "B > c > 1", "probability": 0.02},
            {"category": "B > c > 2", "probability": 0.007},
        ],
        "vector": [pytest.approx(0.6), pytest.approx(0.8)],
        "text_hash": text_hash("Kettle"),
        "bundle": "b3f2b3f2b3f2",
        "enriched_at": MOMENT,
        "group": "p",
    }


def test_the_shops_own_categories_stand_whatever_the_model_says():
    own = enriched([0.9, 0.02, 0.02, 0.02, 0.02, 0.02], categories=["B > d > 1", "C > new"])
    assert own["status"] == "accepted"
    assert own["category"] == ["B > d > 1", "C > new"]
    assert own["ancestors"] == ["B", "B > d", "B > d > 1", "C", "C > new"]
    assert own["confidence"] == 0.9
    assert own["candidates"][0]["category"] == "A > a > 1"


def test_the_shops_own_category_stands_when_the_model_is_unsure():
    assert enriched([0.2, 0.2, 0.2, 0.2, 0.1, 0.1], category="B > d > 1")["status"] == "accepted"


@pytest.mark.parametrize(
    ("confidence", "status", "category"),
    [(0.75, "accepted", ["A > a > 1"]), (0.7499, "review", []), (1.0, "accepted", ["A > a > 1"])],
)
def test_from_the_threshold_on_a_prediction_is_accepted(confidence, status, category):
    result = enriched([confidence, 1 - confidence, 0, 0, 0, 0], threshold=0.75)
    assert (result["status"], result["category"]) == (status, category)


def test_an_unsure_product_is_filed_under_the_deepest_node_that_is_sure_enough():
    # A > a has .85, A has .95, no leaf has .8.
    result = enriched([0.45, 0.4, 0.1, 0.05, 0, 0])
    assert (result["status"], result["category"]) == ("review", [])
    assert result["ancestors"] == ["A", "A > a"]


def test_one_step_up_when_only_the_root_is_sure_enough():
    assert enriched([0.4, 0.2, 0.3, 0.1, 0, 0])["ancestors"] == ["A"]


def test_a_product_of_which_nothing_is_sure_is_filed_nowhere():
    result = enriched([0.3, 0.1, 0.1, 0.2, 0.2, 0.1])
    assert (result["status"], result["category"], result["ancestors"]) == ("review", [], [])


def test_of_two_nodes_that_are_sure_enough_the_more_probable_one_counts():
    # A low threshold lets both A > a (.35) and B > c (.39) through.
    assert enriched([0.18, 0.17, 0.13, 0.2, 0.19, 0.13], threshold=0.3)["ancestors"] == ["B", "B > c"]


def test_a_root_may_win_although_its_leaves_are_not_the_most_probable():
    # The best leaf is under A, but A has .45 only and B .55.
    result = enriched([0.45, 0, 0, 0.2, 0.2, 0.15], threshold=0.5)
    assert result["candidates"][0]["category"] == "A > a > 1"
    assert result["ancestors"] == ["B"]


def test_candidates_are_five_best_first_and_ties_keep_the_taxonomys_order():
    candidates = enriched([0.1, 0.25, 0.1, 0.25, 0.2, 0.1])["candidates"]
    assert [candidate["category"] for candidate in candidates] == [LEAVES[n] for n in (1, 3, 4, 0, 2)]
    assert [candidate["probability"] for candidate in candidates] == [0.25, 0.25, 0.2, 0.1, 0.1]


def test_a_small_taxonomy_gives_as_many_candidates_as_it_has_leaves():
    enricher = Enricher(Filing(Taxonomy((("A",), ("B",))), 0.5), "b")
    result = enricher.enrichment(product(), "Kettle", VECTOR, np.array([0.3, 0.7], dtype=np.float32), MOMENT)
    assert [candidate["category"] for candidate in result["candidates"]] == ["B", "A"]


def test_variants_are_of_the_group_of_what_they_are_variants_of():
    assert enriched([1, 0, 0, 0, 0, 0])["group"] == "p"
    assert enriched([1, 0, 0, 0, 0, 0], variant_of="q")["group"] == "q"


def test_nodes_of_several_paths_come_once_each():
    assert nodes_of([("A", "a"), ("A", "b")]) == ["A", "A > a", "A > b"]


def test_a_text_that_the_model_could_not_read_waits_for_review_and_is_filed_nowhere():
    enricher, sure = Enricher(Filing(TAXONOMY, 0.8), "b"), np.array([0.95, 0.05, 0, 0, 0, 0], dtype=np.float32)
    read, unread = (enricher.enrichment(product(), "壶", VECTOR, sure, MOMENT, unread) for unread in (False, True))
    assert (read["status"], unread["status"]) == ("accepted", "review")
    assert (unread["category"], unread["ancestors"]) == ([], [])
    assert unread["candidates"] == read["candidates"]
    of_the_shop = enricher.enrichment(product(category=["A", "b", "1"]), "壶", VECTOR, sure, MOMENT, True)
    assert (of_the_shop["status"], of_the_shop["category"]) == ("accepted", ["A > b > 1"])


class TestDocument:
    def test_the_shops_fields_are_as_they_came(self):
        record = {
            "id": "p",
            "title": "  <b>Steel</b> kettle &amp; lid ",
            "description": "boils\nwater",
            "brand": "Öko",
            "price": 0.0,
            "category": ["B > d > 1"],
            "variant_of": "q",
            "in_stock": False,
            "popularity": 0.0,
            "language": "en",
            "image_url": "https://shop/p.png",
            "created_at": "2026-01-02T00:00:00",
            "updated_at": "2026-01-03T00:00:00",
        }
        given = {**record, "category": "B > d > 1", "color": "red", "sizes": [1, 2]}
        made = document(parse_product(given), {"status": "accepted"})
        assert made == record | {
            "attributes": {"color": "red", "sizes": [1, 2]},
            "shelfwise": {"status": "accepted"},
        }

    def test_what_the_shop_did_not_say_is_absent_rather_than_null(self):
        assert document(product(), {}) == {"id": "p", "title": "Kettle", "shelfwise": {}}

    def test_a_predicted_category_is_never_written_as_the_shops(self):
        assert "category" not in document(product(), enriched([1, 0, 0, 0, 0, 0]))

    def test_several_paths_are_all_there(self):
        assert document(product(categories=["A > a", ["B", "c"]]), {})["category"] == ["A > a", "B > c"]


ENRICHMENT = {"text_hash": text_hash("Kettle"), "bundle": "b1", "vector": VECTOR}


class TestIsUnchanged:
    BEFORE = document(product(category="B > c"), ENRICHMENT)

    def test_the_same_text_categories_and_bundle(self):
        assert is_unchanged(self.BEFORE, product(category="B > c"), "Kettle", "b1")

    def test_a_price_changes_nothing_that_the_model_reads(self):
        assert is_unchanged(self.BEFORE, product(category="B > c", price=3), "Kettle", "b1")

    def test_a_product_that_was_not_there(self):
        assert not is_unchanged(None, product(category="B > c"), "Kettle", "b1")

    def test_another_text(self):
        assert not is_unchanged(self.BEFORE, product(category="B > c"), "Kettles", "b1")

    def test_another_bundle(self):
        assert not is_unchanged(self.BEFORE, product(category="B > c"), "Kettle", "b2")

    @pytest.mark.parametrize("fields", [{}, {"category": "B > d"}, {"categories": ["B > c", "B > d"]}])
    def test_other_categories(self, fields):
        assert not is_unchanged(self.BEFORE, product(**fields), "Kettle", "b1")

    def test_neither_had_a_category(self):
        before = document(product(), ENRICHMENT)
        assert is_unchanged(before, product(), "Kettle", "b1")
        assert not is_unchanged(before, product(category="B > c"), "Kettle", "b1")

    @pytest.mark.parametrize("lost", ["text_hash", "bundle", "vector"])
    def test_an_enrichment_that_lost_a_part(self, lost):
        rest = {name: value for name, value in ENRICHMENT.items() if name != lost}
        assert not is_unchanged(document(product(), rest), product(), "Kettle", "b1")


FRESH = {"status": "review", "category": [], "ancestors": ["A"], "confidence": 0.3, "bundle": "b2"}


class TestKeepDecision:
    @pytest.mark.parametrize("status", ["confirmed", "corrected"])
    def test_what_a_person_decided_survives_and_the_rest_is_fresh(self, status):
        before = {
            "shelfwise": {
                "status": status,
                "category": ["B > c > 1"],
                "ancestors": ["B", "B > c", "B > c > 1"],
                "confidence": 0.1,
                "bundle": "b1",
            }
        }
        assert keep_decision(FRESH, before) == {
            "status": status,
            "category": ["B > c > 1"],
            "ancestors": ["B", "B > c", "B > c > 1"],
            "confidence": 0.3,
            "bundle": "b2",
        }

    def test_it_is_read_as_the_index_reads_it(self):
        decided = {"status": "confirmed", "category": ["B > c > 1"], "ancestors": ["B"]}
        dotted = {f"shelfwise.{name}": value for name, value in decided.items()}
        before = {"shelfwise": {"status": "accepted", "category": [], "ancestors": []}, **dotted}
        assert keep_decision(FRESH, before) == FRESH | decided
        assert keep_decision(FRESH, dotted) == FRESH | decided
        assert keep_decision(FRESH, {"shelfwise": decided | {"category": "B > c > 1"}}) == FRESH | decided

    @pytest.mark.parametrize("status", ["accepted", "review", None])
    def test_what_the_model_said_before_does_not(self, status):
        before = {"shelfwise": {"status": status, "category": ["B > c > 1"], "ancestors": ["B"]}}
        assert keep_decision(FRESH, before) == FRESH

    def test_a_new_product_has_no_decision(self):
        assert keep_decision(FRESH, None) == FRESH


def test_a_text_hash_tells_texts_apart():
    assert text_hash("kettle") == text_hash("kettle")
    assert text_hash("kettle") != text_hash("Kettle")
    assert len(text_hash("壶")) == 16


def with_thresholds(probabilities, thresholds=None, labels=None, further=0.0):
    as_floats = [None if given is None else np.array(given, dtype=np.float32) for given in (thresholds, labels)]
    enricher = Enricher(Filing(TAXONOMY, 0.8, *as_floats, further), "b")
    return enricher.enrichment(product(), "Kettle", VECTOR, np.array(probabilities, dtype=np.float32), MOMENT)


def test_a_leaf_with_a_threshold_of_its_own_is_accepted_by_it():
    probabilities = [0.6, 0.4, 0, 0, 0, 0]
    assert with_thresholds(probabilities, [0.15, 1, 1, 1, 1, 1])["status"] == "accepted"  # it leads by .2
    assert with_thresholds(probabilities, [0.25, 0.1, 0.1, 0.1, 0.1, 0.1])["status"] == "review"
    assert with_thresholds(probabilities, [0.5, 1, 1, 1, 1, 1], labels=[1] * 6)["status"] == "accepted"


def test_a_product_of_several_categories_gets_each_that_is_probable_enough():
    result = with_thresholds([0.9, 0.1, 0.6, 0.7, 0.1, 0.1], labels=[0.5, 0.5, 0.65, 0.65, 0.5, 0.5])
    assert result["category"] == ["A > a > 1", "B > c > 1"]
    assert result["ancestors"] == ["A", "A > a", "A > a > 1", "B", "B > c", "B > c > 1"]


@pytest.mark.parametrize(("further", "accepted"), [(0.6, 2), (0.75, 1), (1.0, 1)])
def test_a_further_category_is_accepted_where_it_is_sure_enough_and_found_by_a_filter_anyway(further, accepted):
    result = with_thresholds([0.9, 0, 0, 1.0 if further == 1 else 0.7, 0, 0], labels=[0.5] * 6, further=further)
    assert (result["status"], len(result["category"])) == ("accepted", accepted)
    assert set(result["ancestors"]) == {"A", "A > a", "A > a > 1", "B", "B > c", "B > c > 1"}


def test_a_threshold_of_one_gives_no_further_leaf_however_sure_the_model_is():
    result = with_thresholds([1, 0, 0, 1, 0, 0], labels=[1.0] * 6)
    assert (result["category"], result["ancestors"]) == (["A > a > 1"], ["A", "A > a", "A > a > 1"])


def test_several_unsure_leaves_make_their_parent_sure():
    # 1 - .4 * .4 = .84 that one of the leaves of A > a fits
    result = with_thresholds([0.6, 0.6, 0, 0, 0, 0], labels=[0.5] * 6)
    assert (result["status"], result["ancestors"]) == ("review", ["A", "A > a"])
