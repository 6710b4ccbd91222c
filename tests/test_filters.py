import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.errors import UsageError
from shelfwise.filters import Filter, filter_bodies, has_attribute, in_category, unknown_attribute


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("brand=Sony", {"term": {"brand.folded": {"value": "Sony"}}}),
        ("id=p-1", {"term": {"id": {"value": "p-1"}}}),
        ("variant_of=p-1", {"term": {"variant_of": {"value": "p-1"}}}),
        ("language=zh", {"term": {"language": {"value": "zh"}}}),
        ("in_stock=true", {"term": {"in_stock": {"value": True}}}),
        ("in_stock=No", {"term": {"in_stock": {"value": False}}}),
        ("status=review", {"term": {"shelfwise.status": {"value": "review"}}}),
        ("price=10..20", {"range": {"price": {"gte": 10.0, "lte": 20.0}}}),
        ("price=10..<20", {"range": {"price": {"gte": 10.0, "lte": 19.999999999999996}}}),
        ("price=.. < 20", {"range": {"price": {"lte": 19.999999999999996}}}),
        ("price=..20", {"range": {"price": {"lte": 20.0}}}),
        ("price=10..", {"range": {"price": {"gte": 10.0}}}),
        ("price=9.99", {"range": {"price": {"gte": 9.99, "lte": 9.99}}}),
        ("popularity=5..", {"range": {"popularity": {"gte": 5.0}}}),
        ("color=dark red", {"term": {"attributes.color": {"value": "dark red"}}}),
        ("attributes.color=red", {"term": {"attributes.color": {"value": "red"}}}),
        ("wide=True", {"terms": {"attributes.wide": ["True", "true"]}}),
        ("wide=false", {"terms": {"attributes.wide": ["false", "False"]}}),
        ("size=5", {"terms": {"attributes.size": ["5", "5.0"]}}),
        ("size=5.0", {"terms": {"attributes.size": ["5.0", "5"]}}),
        ("size=4.50", {"terms": {"attributes.size": ["4.50", "4.5"]}}),
        ("size=-4.5", {"term": {"attributes.size": {"value": "-4.5"}}}),
        ("ean=0012", {"term": {"attributes.ean": {"value": "0012"}}}),
        ("size=a..b", {"term": {"attributes.size": {"value": "a..b"}}}),
        ("size=a=b", {"term": {"attributes.size": {"value": "a=b"}}}),
        (" brand = Ben & Jerry's ", {"term": {"brand.folded": {"value": "Ben & Jerry's"}}}),
        ('brand=*:* OR "x', {"term": {"brand.folded": {"value": '*:* OR "x'}}}),
    ],
)
def test_a_filter_is_one_literal_condition(text, body):
    assert Filter.parse(text).body() == body


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("brand=Sony", "brand"),
        ("status=review", "status"),
        ("price=10..", "price"),
        ("color=red", "color"),
        ("attributes.color=red", "color"),
    ],
)
def test_a_filter_is_named_as_callers_name_it(text, name):
    assert Filter.parse(text).name == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("brand", "expected FIELD=VALUE"),
        ("=Sony", "expected FIELD=VALUE"),
        ("brand=", "expected FIELD=VALUE"),
        ("price=cheap", "expected a number or a range such as 10..20"),
        ("price=5..<", "expected a number or a range such as 10..20"),
        ("price=<5", "expected a number or a range such as 10..20"),
        ("price=5..<5", "the range is empty"),
        ("size=5..<10", "attributes have no ranges"),
        ("price=..", "expected a number or a range"),
        ("price=nan", "expected a number or a range"),
        ("price=1..inf", "expected a number or a range"),
        ("price=1..2..3", "expected a number or a range"),
        ("price=20..10", "the range is empty, write the lesser number first"),
        ("in_stock=maybe", "expected true or false"),
        ("status=new", "expected one of accepted, review, confirmed, corrected"),
        ("category=A > B", "pass it as --category"),
        ("title=x", "title cannot be filtered by: there are id, brand, language"),
        ("brand=" + "x" * 1025, "at most 1024 characters"),
        ("color=\0", "no NUL"),
        ("weight=1..2", "attributes have no ranges, .* ranges are of price and popularity"),
        ("weight=..2.5", "attributes have no ranges"),
        ("weight=1..", "attributes have no ranges"),
    ],
)
def test_a_filter_that_cannot_be_says_what_is_expected(text, message):
    with pytest.raises(UsageError, match=message):
        Filter.parse(text)


@pytest.mark.parametrize(
    ("direct", "text"),
    [
        (("color", "red"), "color=red"),
        (("attributes.color", "red"), "color=red"),
        (("brand", "Sony"), "brand=Sony"),
        (("brand.folded", "Sony"), "brand=Sony"),
        (("status", "review"), "status=review"),
        (("shelfwise.status", "review"), "status=review"),
        (("in_stock", True), "in_stock=true"),
        (("in_stock", "no"), "in_stock=no"),
        (("price", "10..20"), "price=10..20"),
        (("price", (10.0, 20.0)), "price=10..20"),
        (("price", 10), "price=10"),
        (("in_stock", 1), "in_stock=yes"),
    ],
)
def test_a_filter_of_a_field_and_a_value_is_what_its_text_is(direct, text):
    assert Filter(*direct) == Filter.parse(text)
    assert Filter(*direct).body() == Filter.parse(text).body()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("title", "kettle", "title cannot be filtered by: there are id, brand"),
        ("category", "Home", "pass it as --category"),
        ("price", "cheap", "expected a number or a range such as 10..20"),
        ("price", True, "expected a number or a range such as 10..20"),
        ("price", float("nan"), "expected a number or a range such as 10..20"),
        ("price", (None, None), "expected a number or a range such as 10..20"),
        ("price", (20, 10), "the range is empty"),
        ("in_stock", "maybe", "expected true or false"),
        ("in_stock", 3, "expected true or false"),
        ("status", "new", "expected one of accepted, review"),
        ("shelfwise.status", 5, "expected one of accepted, review"),
        ("brand", ["Sony", "LG"], r"filter on 'brand': expected one value, .* got \['Sony', 'LG'\]"),
        ("size", (1, 2), "filter on 'size': expected one value, or the two ends of a range of price or popularity"),
        ("price", (1, 2, 3), "filter on 'price': expected one value"),
        ("price", None, "filter on 'price': expected one value"),
        (5, "red", "the field of a filter must be a name such as brand, got 5"),
    ],
)
def test_a_filter_of_a_field_and_a_value_that_cannot_be_says_what_is_expected(field, value, message):
    with pytest.raises(UsageError, match=message):
        Filter(field, value)


@pytest.mark.parametrize("given", [5, None, b"brand=Sony", ["brand=Sony"]])
def test_a_filter_that_is_no_text_is_refused(given):
    with pytest.raises(UsageError, match="expected its text, such as brand=Sony"):
        Filter.parse(given)


@given(st.text())
def test_no_text_does_more_than_be_refused(text):
    try:
        Filter.parse(text).body()
    except UsageError as error:
        assert "\n" not in str(error)


def test_conditions_on_one_field_are_alternatives_and_on_several_must_all_hold():
    conditions = [Filter.parse(text) for text in ("brand=Sony", "in_stock=true", "brand=LG", "brand=Sony")]
    sony, lg = ({"term": {"brand.folded": {"value": name}}} for name in ("Sony", "LG"))
    assert filter_bodies(conditions, ("A", "B")) == [
        {"term": {"shelfwise.ancestors": {"value": "A > B"}}},
        {"bool": {"should": [sony, lg], "minimum_should_match": 1}},
        {"term": {"in_stock": {"value": True}}},
    ]


def test_no_condition_is_no_body():
    assert filter_bodies([]) == []


def test_a_category_is_looked_for_among_ancestors():
    assert in_category(("A",)) == {"term": {"shelfwise.ancestors": {"value": "A"}}}


def test_only_a_filter_on_an_attribute_has_one_to_check():
    assert Filter.parse("color=red").attribute == "color"
    assert Filter.parse("brand=red").attribute is None
    assert has_attribute("color") == {"exists": {"field": "attributes.color"}}


def test_an_unknown_attribute_is_answered_with_those_there_are():
    assert str(unknown_attribute("colour", ["color", "size"])) == (
        "no product has an attribute 'colour': attributes are color, size; "
        "other fields are id, brand, language, variant_of, price, popularity, in_stock, status"
    )
