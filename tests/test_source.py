import pytest

from shelfwise.source import attributes_of, brand_of, enrichment_of, in_stock, popularity_of, price_of


@pytest.mark.parametrize(
    ("given", "price"),
    [(19.99, 19.99), (5, 5.0), ("19.99", 19.99), (" 7 ", 7.0), ([3, 4], 3.0), ([None, "3"], 3.0)]
    + [(nothing, None) for nothing in (None, "", "cheap", "nan", "1e999", [], {"eur": 3})],
)
def test_a_price_is_a_number_however_it_was_sent(given, price):
    assert price_of({"price": given}) == price
    assert price_of({}) is None


@pytest.mark.parametrize(
    ("given", "stock"),
    [(True, True), (False, False), ("true", True), ("false", False), ("", False), ([False], False)]
    + [(nothing, None) for nothing in (None, [], "maybe", 0)],
)
def test_what_is_in_stock_is_told_by_word_as_well(given, stock):
    assert in_stock({"in_stock": given}) is stock
    assert in_stock({}) is None


@pytest.mark.parametrize(
    ("given", "popularity"), [(3, 3.0), ("4.5", 4.5), (-1, 0.0), ("-1", 0.0), (None, None), ("", None)]
)
def test_a_popularity_is_never_below_nothing(given, popularity):
    assert popularity_of({"popularity": given}) == popularity


@pytest.mark.parametrize(
    ("given", "brand"), [("Sony", "Sony"), (["Sony", "LG"], "Sony"), (74, "74"), (None, None), ([], None)]
)
def test_of_several_brands_the_first_counts(given, brand):
    assert brand_of({"brand": given}) == brand


def test_what_was_written_under_dotted_names_is_part_of_the_object():
    source = {"id": "a", "shelfwise.status": "confirmed", "shelfwise": {"status": "review", "bundle": "b"}}
    assert enrichment_of(source) == {"status": "confirmed", "bundle": "b"}
    assert enrichment_of({"id": "a", "shelfwise": None}) == {}


@pytest.mark.parametrize(
    ("given", "attributes"),
    [({"a": 1}, {"a": 1}), ([{"a": 1}, {"b": 2}], {"a": 1, "b": 2}), (None, {}), ([], {})],
)
def test_attributes_are_one_object_however_they_were_sent(given, attributes):
    assert attributes_of({"attributes": given}) == attributes
