import random
import re
from collections import Counter
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.errors import UsageError
from shelfwise_indexer.augment import Alteration, AugmentSettings, View, alter, views

TITLE = "steel kettle with a long spout"


def altered(text, alteration, seed):
    return alter(text, alteration, random.Random(seed))  # noqa: S311


def test_a_product_is_read_whole_without_each_later_field_and_by_its_title_alone():
    assert views(("title", "shop", "description"), 0.3) == [
        View(("title", "shop", "description"), 0.7),
        View(("title", "description"), pytest.approx(0.1)),
        View(("title", "shop"), pytest.approx(0.1)),
        View(("title",), pytest.approx(0.1)),
    ]


def test_with_two_fields_the_title_alone_is_one_view():
    assert views(("title", "description"), 0.25) == [
        View(("title", "description"), 0.75),
        View(("title",), 0.25),
    ]


@pytest.mark.parametrize(("fields", "dropout"), [(("title",), 0.5), (("title", "description"), 0.0)])
def test_nothing_to_drop_is_one_view(fields, dropout):
    assert views(fields, dropout) == [View(fields, 1.0)]


def test_altered_views_come_last_and_leave_the_others_their_proportions():
    assert views(("title", "description"), 0.25, AugmentSettings(phrases=0.1, word_order=0.1)) == [
        View(("title", "description"), pytest.approx(0.6)),
        View(("title",), pytest.approx(0.2)),
        View(("title",), 0.1, "phrases"),
        View(("title", "description"), 0.1, "word_order"),
    ]


def test_shares_that_leave_too_few_whole_readings_are_refused():
    with pytest.raises(UsageError, match=r"add up to more than 0\.8"):
        AugmentSettings(phrases=0.5, typing_errors=0.5)


def test_phrases_are_words_that_stand_beside_each_other():
    seen = {altered(TITLE, "phrases", seed) for seed in range(50)}
    assert len(seen) > 8
    assert all(phrase in TITLE and 1 <= len(phrase.split()) <= 3 for phrase in seen)


def test_a_text_without_spaces_is_altered_by_its_characters():
    text = "不锈钢烧水壶家用大容量"
    phrases = {altered(text, "phrases", seed) for seed in range(30)}
    assert all(phrase in text and 2 <= len(phrase) <= 6 for phrase in phrases)
    for seed in range(30):
        turned = altered(text, "word_order", seed)
        assert Counter(turned) == Counter(text) and turned in text + text
        assert len(altered(text, "word_dropout", seed)) <= len(text)


def test_latin_words_in_a_text_without_spaces_stay_words():
    text = "Apple iPhone 手机壳 透明防摔保护适用于苹果手机全包边软胶Pro Max"
    latin = {"Apple", "iPhone", "Pro", "Max"}
    for seed in range(30):
        turned, left = (altered(text, way, seed) for way in ("word_order", "word_dropout"))
        found = re.findall(r"[A-Za-z]+", turned)
        assert sorted(found) == sorted(latin)
        assert Counter(turned.replace(" ", "")) == Counter(text.replace(" ", ""))
        assert set(re.findall(r"[A-Za-z]+", left)) <= latin
        assert "iPhone手" not in turned and "iPhone手" not in left


def test_a_latin_word_that_no_blank_parts_from_its_neighbours_gets_none():
    assert "充电USB线" in {altered("充电USB线白色", "phrases", seed) for seed in range(50)}


@pytest.mark.parametrize("text", ["Bluetooth headphones", "Waschmaschine Trockner", "Соковыжималка электрическая"])
def test_long_words_are_words(text):
    words = text.split()
    assert {altered(text, "phrases", seed) for seed in range(30)} == {*words, text}
    assert {altered(text, "word_order", seed) for seed in range(30)} == {text, " ".join(reversed(words))}


def test_words_in_another_order_are_the_same_words():
    seen = {altered(TITLE, "word_order", seed) for seed in range(30)}
    assert len(seen) > 10
    assert all(Counter(text.split()) == Counter(TITLE.split()) for text in seen)


def test_left_out_words_leave_the_others_in_order():
    for seed in range(30):
        left = iter(TITLE.split())
        assert all(word in left for word in altered(TITLE, "word_dropout", seed).split())


def distance(one, other):
    """Optimal string alignment: the fewest insertions, deletions, replacements and swaps of neighbours."""
    table = {(row, 0): row for row in range(len(one) + 1)} | {(0, col): col for col in range(len(other) + 1)}
    for row, left in enumerate(one, 1):
        for col, right in enumerate(other, 1):
            ways = [table[row - 1, col] + 1, table[row, col - 1] + 1, table[row - 1, col - 1] + (left != right)]
            if row > 1 and col > 1 and left == other[col - 2] and one[row - 2] == right:
                ways.append(table[row - 2, col - 2] + 1)
            table[row, col] = min(ways)
    return table[len(one), len(other)]


def test_a_typing_error_is_one_letter_and_never_the_first():
    seen = {altered(TITLE, "typing_errors", seed) for seed in range(100)}
    assert len(seen) > 40
    assert max(distance(TITLE, text) for text in seen) == 1
    assert all([word[0] for word in text.split()] == list("skwals") for text in seen)


@given(st.text(max_size=40), st.sampled_from(get_args(Alteration)), st.integers(0, 9))
def test_any_text_can_be_altered_and_none_is_lost(text, alteration, seed):
    found = altered(text, alteration, seed)
    assert bool(found.strip()) == bool(text.strip())
    assert found == altered(text, alteration, seed)


@given(st.integers(1, 8), st.floats(0, 1))
def test_shares_add_up_and_the_title_is_always_there(n, dropout):
    found = views([f"f{number}" for number in range(n)], dropout)
    assert sum(view.share for view in found) == pytest.approx(1)
    assert all(view.fields[0] == "f0" for view in found)
    assert len(found) <= n + 1
