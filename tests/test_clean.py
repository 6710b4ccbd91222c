"""Cleaning: mended text, and which texts are the same."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.errors import InvalidProduct
from shelfwise.product import Product, parse_product
from shelfwise_indexer.clean import (
    Report,
    clean,
    conflicts,
    duplicate_groups,
    normalised,
    repaired,
    union,
    variant_pairs,
)
from shelfwise_indexer.duplicates import SIMILARITY


def groups_of(*texts: str) -> list[int]:
    return duplicate_groups(texts).tolist()


def jaccard(one: str, other: str) -> float:
    """The slow twin: sets of strings instead of hashes."""

    def shingles(text: str) -> set[str]:
        padded = text + "\0\0\0"
        return {padded[at : at + (2 if "\u2e80" <= padded[at] < "\ua4d0" else 4)] for at in range(len(text))}

    a, b = shingles(normalised(one)), shingles(normalised(other))
    return len(a & b) / len(a | b)


class TestClean:
    def test_markup_entities_and_white_space_are_gone_and_reported(self):
        cleaned = clean(Product("a", "Tea &amp; <b>milk</b>", description="<p>\n</p>", brand="Öko"))
        assert (cleaned.product.title, cleaned.product.description, cleaned.product.brand) == (
            "Tea & milk",
            None,
            "Öko",
        )
        assert [(c.field, c.stage, c.after) for c in cleaned.changes] == [
            ("title", "markup", "Tea & milk"),
            ("description", "markup", ""),
            ("description", "empty", ""),
        ]

    def test_a_broken_encoding_is_mended(self):
        assert clean(Product("a", "CafÃ© crÃ¨me")).product.title == "Café crème"
        assert repaired("充电宝") == "充电宝"

    def test_wide_letters_and_digits_become_plain_ones_and_brackets_stay(self):
        cleaned = clean(Product("a", "＜新品＞ＵＳＢ３ 充电宝（白）"))
        assert cleaned.product.title == "＜新品＞USB3 充电宝（白）"
        assert [change.stage for change in cleaned.changes] == ["encoding"]

    def test_textual_attributes_are_cleaned_and_others_left_alone(self):
        given_ = Product("a", "Mug", attributes={"colour": " red<br>", "empty": "", "sizes": ["<b>"], "n": 3})
        assert clean(given_).product.attributes == {"colour": "red", "sizes": ["<b>"], "n": 3}

    def test_a_product_that_needs_nothing_is_the_same_product(self):
        product = Product("a", "Mug", description="A mug.")
        assert clean(product).product is product

    @given(title=st.text(min_size=1))
    def test_a_title_is_never_emptied(self, title):
        try:
            product = parse_product({"id": "a", "title": title})
        except InvalidProduct:
            return  # no product, nothing to clean
        assert clean(product).product.title

    def test_the_report_counts_and_keeps_the_first_examples(self):
        report = Report()
        products = [report.add(clean(Product(str(n), f"Mug&nbsp;{n}"))) for n in range(7)] + [
            report.add(clean(Product("x", "Pan")))
        ]
        assert len(products) == 8
        shown = report.to_json()
        assert (shown["products"], shown["changed"]) == (8, 7)
        assert shown["stages"]["markup"]["fields"] == 7
        assert [e["id"] for e in shown["stages"]["markup"]["examples"]] == ["0", "1", "2", "3", "4"]


class TestNormalised:
    @pytest.mark.parametrize(
        ("text", "same"),
        [
            ("  Peanut Butter- CREAMY", "peanut butter creamy"),
            ("Ｍｕｇ（红色）", "mug 红色"),
            ("Straße", "strasse"),
            ("snake_case", "snake case"),
            ("...", "..."),
            ("दाल, दिल", "दाल दिल"),  # their vowels are marks, and no punctuation
            ("❤️ Mug", "mug"),
            ("", ""),
        ],
    )
    def test_case_width_and_punctuation_do_not_count(self, text, same):
        assert normalised(text) == same

    @given(text=st.text())
    def test_it_is_idempotent(self, text):
        assert normalised(normalised(text)) == normalised(text)


class TestDuplicateGroups:
    def test_exact_duplicates_after_normalisation_share_a_group(self):
        assert groups_of("Garlic Oil - 500 mg", "Mug", "garlic oil, 500 MG", "MUG!") == [0, 1, 0, 1]

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("Mug red", "Mug blue"),
            ("Mug red", "Mug"),
            ("iPhone 14 case", "iPhone 15 case"),
            ("Chef's knife 20 cm", "Chef's knife 25 cm"),
            ("红色马克杯", "蓝色马克杯"),
            ("纸尿裤L40片", "纸尿裤M44片"),
        ],
    )
    def test_short_titles_that_differ_in_one_word_are_not_merged(self, one, other):
        assert groups_of(one, other) == [0, 1]

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (
                "Body Bath Loofah/Sponge/Scrubber - Dual Sided, Hangable, BB1427, Cream",
                "Body Bath Loofah/Sponge/Scrubber - Dual Sided, Hangable, BB1425, Cream",
            ),
            (
                "Cookies - Sugar Free & Digestive (Natural Ginger & Cinnamon)",
                "Sugar Free Digestive Cookies - Natural Ginger & Cinnamon",
            ),
            ("炊大皇平底不粘锅26cm电磁炉燃气煤气灶明火通用锅具", "炊大皇平底不粘锅28cm电磁炉燃气煤气灶明火通用锅具"),
        ],
    )
    def test_long_texts_that_hardly_differ_are_merged(self, one, other):
        assert jaccard(one, other) >= SIMILARITY
        assert groups_of(one, other) == [0, 0]

    def test_near_duplicates_join_through_one_another(self):
        bottle = "stainless steel insulated water bottle with straw lid and handle"
        chain = [bottle, bottle + " leak", bottle + " leak proof", bottle + " leak proof xl"]
        assert jaccard(chain[0], chain[-1]) < SIMILARITY
        assert groups_of(*chain) == [0, 0, 0, 0]

    def test_texts_without_words_are_in_no_ones_group(self):
        assert groups_of("", "Mug", "", "   ") == [0, 1, 2, 3]

    def test_nothing_gives_nothing(self):
        assert groups_of() == []

    def test_it_finds_what_comparing_every_pair_finds(self):
        chance = np.random.default_rng(7)
        words = np.array(["".join(chance.choice([*"abcdefghiklmnoprstu"], 5)) for _ in range(60)])
        bases = [chance.choice(words, 14, replace=False) for _ in range(60)]
        texts = [" ".join(base[chance.random(14) > 0.06]) for base in bases for _ in range(3)]
        slow = union(
            np.arange(len(texts)),
            [
                (a, b)
                for a, b in itertools.combinations(range(len(texts)), 2)
                if jaccard(texts[a], texts[b]) >= SIMILARITY
            ],
        )
        assert 1 < len(set(slow.tolist())) < len(texts)
        assert duplicate_groups(texts).tolist() == slow.tolist()

    @given(texts=st.lists(st.text(alphabet="ab 红色杯", max_size=12), max_size=12))
    def test_groups_do_not_depend_on_the_order(self, texts):
        forwards, backwards = duplicate_groups(texts), duplicate_groups(texts[::-1])[::-1]
        assert (forwards[:, None] == forwards).tolist() == (backwards[:, None] == backwards).tolist()

    def test_boilerplate_is_one_group_and_does_not_explode(self):
        text = "Official licensed product of the national league, machine washable, one size fits most, number {}"
        groups = duplicate_groups([text.format(n) for n in range(5_000)])
        assert groups.max() == 0


class TestUnion:
    def test_pairs_put_groups_together(self):
        assert union(np.array([0, 1, 2, 3]), [(0, 2), (2, 3)]).tolist() == [0, 1, 0, 0]

    def test_groups_that_share_a_row_with_a_pair_come_along(self):
        assert union(np.array([5, 5, 9, 9, 2]), [(1, 2)]).tolist() == [0, 0, 0, 0, 1]

    def test_variants_and_what_they_are_variants_of_are_paired_in_any_order(self):
        products = [
            Product("red", "Mug", variant_of="mug"),
            Product("pan", "Pan"),
            Product("mug", "Mug"),
            Product("blue", "Mug", variant_of="mug"),
            Product("s", "Shirt", variant_of="not in the catalogue"),
            Product("m", "Shirt", variant_of="not in the catalogue"),
        ]
        assert union(np.arange(6), variant_pairs(products)).tolist() == [0, 1, 0, 0, 2, 2]


class TestConflicts:
    def test_one_text_under_two_labels_is_reported_with_its_rows(self):
        a, b = ("Food", "Oils"), ("Food", "Organic")
        texts = ["Olive Oil", "Mug", "olive oil!", "Mug", "OLIVE OIL"]
        (conflict,) = conflicts(texts, [a, ("Kitchen",), b, ("Kitchen",), a])
        assert (conflict.text, conflict.labels, conflict.rows) == ("Olive Oil", (a, b), (0, 2, 4))

    def test_rows_without_label_or_text_take_no_part(self):
        assert conflicts(["Mug", "Mug", "", ""], [("A",), (), ("A",), ("B",)]) == []
