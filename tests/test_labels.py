"""Labels put right: every move is reported, and what no setting asks for stays."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from shelfwise.product import Product
from shelfwise_indexer.labels import merge_rare, merge_spellings, settle_conflicts, skip_repeated_levels

MUGS, PANS = ("Kitchen", "Mugs"), ("Kitchen", "Pans")


def alone(labels):
    """Products of one path each."""
    return [(label,) for label in labels]


class TestSpellings:
    def test_the_spelling_that_most_products_carry_is_taken_at_each_level(self):
        labels = [("Kitchen", "Tea-Pots")] * 3 + [("KITCHEN", "tea pots")] * 2 + [("kitchen ", "Mugs")]
        found = merge_spellings(alone(labels))
        assert found.moves == {
            ("KITCHEN", "tea pots"): ("Kitchen", "Tea-Pots"),
            ("kitchen ", "Mugs"): ("Kitchen", "Mugs"),
        }
        assert found.to_json()["products"] == 3

    def test_equal_names_under_different_parents_stay_apart(self):
        assert merge_spellings(alone([("Men", "Shoes"), ("Women", "shoes")])).moves == {}

    def test_a_product_under_two_paths_has_one_say_in_how_their_parent_is_spelt(self):
        two_and_one = [(("KITCHEN", "Mugs"), ("KITCHEN", "Pans")), (("Kitchen", "Mugs"),), (("Kitchen", "Jugs"),)]
        assert set(merge_spellings(two_and_one).moves.values()) == {MUGS, PANS}

    def test_signs_that_tell_names_apart_are_no_punctuation(self):
        names = ["C", "C#", "C++", "C++ books", "C# books", "-5", "5", "+5", "A+", "A-", "Ages 3+", "Ages 3"]
        assert merge_spellings(alone([("Books", name) for name in names])).moves == {}
        alike = [["Tea-Pots", "Tea Pots"], ["C++, Books", "c++ books"], ["Mugs - Cups", "Mugs & Cups"]]
        for names in alike:
            assert len(merge_spellings(alone([("Books", name) for name in names])).moves) == 1

    def test_what_only_the_held_back_part_has_is_spelt_as_training_spells_it(self):
        held_back = alone([*[("KITCHEN", "MUGS")] * 3, ("kitchen", "Tea-Pots"), MUGS])
        found = merge_spellings(alone([MUGS] * 2), held_back)
        assert found.moves == {("KITCHEN", "MUGS"): MUGS, ("kitchen", "Tea-Pots"): ("Kitchen", "Tea-Pots")}
        assert found.held_back_only == found.moves.keys()
        assert (found.products, found.to_json()["held_back_only"]) == (4, ["KITCHEN > MUGS", "kitchen > Tea-Pots"])


class TestRepeatedLevels:
    def test_an_only_child_of_the_same_name_is_swallowed(self):
        assert skip_repeated_levels(alone([("Toys", "toys", "Dolls"), ("Toys", "toys", "Cars")])).moves == {
            ("Toys", "toys", "Dolls"): ("Toys", "Dolls"),
            ("Toys", "toys", "Cars"): ("Toys", "Cars"),
        }

    def test_a_child_with_siblings_stays(self):
        assert skip_repeated_levels(alone([("Toys", "Toys", "Dolls"), ("Toys", "Games")])).moves == {}

    def test_a_path_that_only_the_held_back_part_has_loses_the_levels_that_training_loses(self):
        twice, held_back = [("Toys", "Toys", "Dolls")], [("Toys", "Toys", "Cars"), ("Home", "Home", "Lamps")]
        assert skip_repeated_levels(alone(twice), alone(held_back)).moves == {
            ("Toys", "Toys", "Dolls"): ("Toys", "Dolls"),
            ("Toys", "Toys", "Cars"): ("Toys", "Cars"),
        }


class TestRare:
    def test_a_category_of_too_few_products_goes_into_its_parent_with_its_count(self):
        found = merge_rare(alone([MUGS] * 5 + [PANS] * 2), 3)
        assert found.moves == {PANS: ("Kitchen",)}
        assert found.to_json() == {
            "categories": 1,
            "products": 2,
            "held_back_only": [],
            "moves": [{"from": "Kitchen > Pans", "to": "Kitchen", "products": 2}],
        }

    def test_a_parent_that_is_still_too_rare_goes_up_in_turn(self):
        deep = [("A", "b", "x"), ("A", "b", "y"), ("A", "c"), ("A", "c"), ("A", "c")]
        assert merge_rare(alone(deep), 3).moves == {("A", "b", "x"): ("A",), ("A", "b", "y"): ("A",)}
        assert merge_rare(alone(deep), 2).moves == {("A", "b", "x"): ("A", "b"), ("A", "b", "y"): ("A", "b")}

    def test_a_root_stays_however_rare(self):
        assert merge_rare(alone([("A",), *[MUGS] * 9]), 5).moves == {}

    def test_without_a_minimum_nothing_moves(self):
        assert merge_rare(alone([MUGS, PANS]), 0).moves == {}
        assert merge_rare([], 3).moves == {}

    def test_a_product_gets_the_new_paths_each_once(self):
        found = merge_rare(alone([MUGS, PANS, *[("Toys",)] * 3]), 2)
        moved = found.apply(Product("1", "set", categories=(MUGS, ("Toys",), PANS)))
        assert moved.categories == (("Kitchen",), ("Toys",))
        untouched = Product("2", "toy", categories=(("Toys",),))
        assert found.apply(untouched) is untouched

    def test_a_product_in_several_rare_categories_is_one_product(self):
        sets = [(MUGS, PANS)] * 2 + alone([("Toys",)] * 9)
        found = merge_rare(sets, 3)
        assert found.moves == {MUGS: ("Kitchen",), PANS: ("Kitchen",)}
        assert (found.products, found.to_json()["products"]) == (2, 2)
        deep = [(("A", "b", "x"), ("A", "b", "y"))] * 2
        assert merge_rare(deep, 3).moves == {("A", "b", "x"): ("A",), ("A", "b", "y"): ("A",)}

    def test_a_category_that_training_lacks_goes_up_to_the_first_one_that_it_has(self):
        filed = alone([MUGS] * 5 + [(*MUGS, "Tiny")] * 2 + [("Toys", "Dolls")] * 5)
        lacking = [(*MUGS, "Huge", "Red"), ("Toys", "Cars"), ("Garden",)]
        found = merge_rare(filed, 3, alone([*lacking, MUGS, (*MUGS, "Tiny")]))
        assert found.moves == {(*MUGS, "Tiny"): MUGS, (*MUGS, "Huge", "Red"): MUGS}
        assert found.held_back_only == {(*MUGS, "Huge", "Red")}
        assert found.products == 3
        assert merge_rare(filed, 0, alone(lacking)).moves == {}

    @given(
        labels=st.lists(st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(tuple), max_size=30),
        minimum=st.integers(0, 6),
    )
    def test_afterwards_only_roots_are_too_rare_and_no_product_is_lost(self, labels, minimum):
        found = merge_rare(alone(labels), minimum)
        after = Counter(found.moves.get(label, label) for label in labels)
        assert all(count >= minimum for path, count in after.items() if len(path) > 1)
        assert sum(after.values()) == len(labels)
        assert all(old[: len(new)] == new for old, new in found.moves.items())


class TestConflicts:
    TEXTS = ("Steel Mug", "steel mug!", "STEEL MUG", "Pan", "pan")
    LABELS = (MUGS, MUGS, PANS, MUGS, PANS)
    PRODUCTS = tuple(
        Product(str(row), text, categories=(label,))
        for row, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True))
    )

    def settled(self, policy):
        return settle_conflicts(self.PRODUCTS, self.TEXTS, policy)

    def test_keep_leaves_every_product_and_finds_the_conflicts(self):
        kept = self.settled("keep")
        assert (kept.products, kept.changed) == (self.PRODUCTS, ())
        assert [conflict.rows for conflict in kept.conflicts] == [(0, 1, 2), (3, 4)]

    def test_majority_files_all_where_most_are_and_leaves_a_draw(self):
        made = self.settled("majority")
        assert [product.categories[0] for product in made.products] == [MUGS, MUGS, MUGS, MUGS, PANS]
        assert made.changed == (2,)

    def test_drop_leaves_out_every_product_of_a_conflict(self):
        other = Product("x", "Lamp", categories=(("Home",),))
        made = settle_conflicts([*self.PRODUCTS, other], [*self.TEXTS, "Lamp"], "drop")
        assert (made.products, made.changed) == ((other,), (0, 1, 2, 3, 4))

    def test_categories_of_which_no_product_is_left_are_named(self):
        assert self.settled("keep").gone(self.PRODUCTS) == ()
        assert self.settled("drop").gone(self.PRODUCTS) == (MUGS, PANS)
        three = (self.PRODUCTS[0], self.PRODUCTS[1], self.PRODUCTS[2])
        assert settle_conflicts(three, self.TEXTS[:3], "majority").gone(three) == (PANS,)

    def test_a_category_that_all_have_is_no_conflict_in_whatever_order(self):
        both = Product("0", "Mug", categories=(MUGS, PANS)), Product("1", "Mug", categories=(PANS, MUGS))
        one = Product("2", "Mug", categories=(PANS,))
        for policy in ("majority", "drop"):
            made = settle_conflicts([*both, one], ["Mug"] * 3, policy)
            assert (made.products, made.conflicts, made.changed) == ((*both, one), (), ())

    def test_majority_leaves_a_product_its_further_categories(self):
        lamps = ("Home", "Lamps")
        filed = [(MUGS,), (PANS, MUGS, lamps), (lamps,), (MUGS,)]
        products = [Product(str(row), "Mug", categories=paths) for row, paths in enumerate(filed)]
        made = settle_conflicts(products, ["Mug"] * 4, "majority")
        assert [product.categories for product in made.products] == [(MUGS,), (PANS, MUGS, lamps), (MUGS,), (MUGS,)]
        assert made.changed == (2,)
