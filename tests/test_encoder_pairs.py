"""What a separate encoder learns from: pairs, and batches in which no wrong answer is right."""

import itertools

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.product import Product
from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.catalogue import CatalogueError
from shelfwise_indexer.encoder_pairs import Pair, Prompts, batches, bought_together, pairs_of
from shelfwise_indexer.preparation import TrainingError

pytestmark = pytest.mark.model

KETTLES, MUGS = ("Kitchen", "Kettles"), ("Kitchen", "Mugs")
PRODUCTS = [
    Product("k1", "Steel kettle", description="For tea.", categories=(KETTLES,)),
    Product("k2", "Glass kettle", categories=(KETTLES,)),
    Product("m1", "Blue mug", categories=(MUGS,)),
]
TEXTS = ["Steel kettle. For tea.", "Glass kettle", "Blue mug"]
TAXONOMY = Taxonomy.of([KETTLES, MUGS])


def texts_of(pairs):
    return {(pair.anchor, pair.positive) for pair in pairs}


def test_titles_lead_to_texts_and_to_their_like_and_categories_to_titles():
    pairs = pairs_of(PRODUCTS, TEXTS, TAXONOMY, Prompts("query: ", "passage: "))
    assert texts_of(pairs["title to text"]) == {("query: Steel kettle", "passage: Steel kettle. For tea.")}
    assert texts_of(pairs["title to title"]) == {
        ("passage: Steel kettle", "passage: Glass kettle"),
        ("passage: Glass kettle", "passage: Steel kettle"),
    }
    assert texts_of(pairs["category to title"]) == {
        ("query: Kitchen > Kettles", "passage: Steel kettle"),
        ("query: Kitchen > Kettles", "passage: Glass kettle"),
        ("query: Kitchen > Mugs", "passage: Blue mug"),
    }
    assert "bought together" not in pairs


def test_what_was_bought_together_is_paired_by_whole_texts():
    pairs = pairs_of(PRODUCTS, TEXTS, TAXONOMY, Prompts(), [("k1", "m1")])
    assert texts_of(pairs["bought together"]) == {("Steel kettle. For tea.", "Blue mug")}
    assert pairs["bought together"][0].marks == {KETTLES, MUGS}


def test_a_leaf_above_another_is_a_mark_of_what_is_below():
    above = Product("x", "Kitchen thing", categories=(("Kitchen",),))
    products = [*PRODUCTS, above]
    pairs = pairs_of(products, [*TEXTS, "Kitchen thing"], Taxonomy.of([KETTLES, MUGS, ("Kitchen",)]), Prompts())
    marks = {pair.positive: pair.marks for pair in pairs["category to title"]}
    assert marks["Kitchen thing"] == {("Kitchen",)}
    assert marks["Blue mug"] == {("Kitchen",), MUGS}


@given(
    marks=st.lists(st.frozensets(st.sampled_from("abcde"), min_size=1, max_size=2), max_size=30), size=st.integers(2, 6)
)
def test_no_batch_has_two_pairs_with_a_mark_in_common_and_no_pair_is_in_two(marks, size):
    pairs = [Pair(str(number), str(number), mark) for number, mark in enumerate(marks)]
    found = batches(pairs, size, seed=1)
    assert all(2 <= len(batch) <= size for batch in found)
    for batch in found:
        assert all(one.marks.isdisjoint(other.marks) for one, other in itertools.combinations(batch, 2))
    used = [pair.anchor for batch in found for pair in batch]
    assert len(used) == len(set(used))
    assert found == batches(pairs, size, seed=1)


def test_nothing_is_left_over_where_all_can_have_company():
    pairs = [Pair(f"{mark}{n}", "", frozenset([mark])) for mark, n in [*itertools.product("ab", range(3)), ("c", 0)]]
    found = batches(pairs, 2, seed=0)
    assert sum(map(len, found)) == 6  # of seven
    alone = [Pair(str(n), "", frozenset("a")) for n in range(4)]
    assert batches(alone, 4, seed=0) == []


class TestBoughtTogether:
    @staticmethod
    def log(tmp_path, lines):
        path = tmp_path / "events.jsonl"
        path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
        return path

    def test_it_is_what_one_person_bought_one_after_the_other_within_a_day(self, tmp_path):
        day = 86_400
        lines = [
            {"user": 1, "history": ["k2", "k1", "unknown", "m1"]},
            {"user": 2, "product": "k1", "time": 0},
            {"user": 2, "product": "k2", "time": 9},
            {"user": 3, "product": "k2", "time": 0},
            {"user": 3, "product": "m1", "time": day},
            {"user": 4, "product": "k2", "time": 0, "kind": "view"},
            {"user": 4, "product": "m1", "time": 1},
        ]
        found = bought_together(self.log(tmp_path, lines), {"k1", "k2", "m1"}, 10, 0)
        assert found == [("k1", "k2"), ("k1", "m1")]
        assert len(bought_together(self.log(tmp_path, lines), {"k1", "k2", "m1"}, 1, 0)) == 1

    def test_a_log_that_teaches_nothing_and_one_that_is_not_there_are_refused(self, tmp_path, capsys):
        lines = [{"user": 1, "history": ["a", "b"]}, {"product": "a"}]
        with pytest.raises(TrainingError, match="nobody bought two of the products that are trained on"):
            bought_together(self.log(tmp_path, lines), {"k1"}, 10, 0)
        assert "line 2" in capsys.readouterr().err
        with pytest.raises(CatalogueError):
            bought_together(tmp_path / "nothing.jsonl", {"k1"}, 10, 0)
