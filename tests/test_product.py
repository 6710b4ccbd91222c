import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.errors import InvalidProduct
from shelfwise.product import CONTRACT_FIELDS, parse_product, plain

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.dictionaries(st.sampled_from(CONTRACT_FIELDS) | st.text(), JSON, max_size=8)
TITLED = st.fixed_dictionaries({"id": st.text(min_size=1, max_size=20), "title": st.text(min_size=1)})


@given(st.one_of(RECORDS, JSON, st.builds(lambda record, titled: {**record, **titled}, RECORDS, TITLED)))
def test_any_record_is_a_product_or_an_invalid_one_and_nothing_else(record):
    try:
        product = parse_product(record)
    except InvalidProduct as error:
        assert str(error)
    else:
        assert product.id
        assert plain(product.title)
        assert product.price is None or product.price >= 0


@given(st.text(min_size=1, max_size=100).filter(str.strip))
def test_an_id_comes_out_as_it_went_in_but_for_white_space_around_it(id_):
    try:
        product = parse_product({"id": id_, "title": "kettle", "variant_of": id_})
        assert product.id == product.variant_of == id_.strip()
    except InvalidProduct as error:
        assert "id" in str(error)
        assert any("\ud800" <= character <= "\udfff" for character in id_)


@pytest.mark.parametrize("given", [7, 7.0])
def test_a_whole_number_is_an_id(given):
    product = parse_product({"id": given, "title": "kettle", "variant_of": given})
    assert (product.id, product.variant_of) == ("7", "7")


@pytest.mark.parametrize("given", [1.5, 2.0**53, float("inf"), float("nan")])
def test_a_float_that_is_no_whole_number_for_certain_is_no_id(given):
    with pytest.raises(InvalidProduct, match="id must be a string or a whole number"):
        parse_product({"id": given, "title": "kettle"})


@pytest.mark.parametrize(("given", "so"), [(1.0, True), ("1.0", True), (0.0, False), ("0.0", False)])
def test_a_float_may_say_whether_it_is_in_stock(given, so):
    assert parse_product({"id": "a", "title": "x", "in_stock": given}).in_stock is so


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "id is missing"),
        ({"id": "a"}, "product a: title is missing or empty"),
        ({"id": "a", "title": " <b></b> "}, "product a: title is missing or empty"),
        ({"id": "a", "title": "x", "price": "cheap"}, "product a: price must be a number, got 'cheap'"),
        ({"id": "a", "title": "x", "price": 10**400}, "price must be a number"),
        ({"id": "a", "title": "x", "price": -1}, "product a: price must be a finite number of at least 0, got -1"),
        ({"id": "a", "title": "x", "in_stock": "perhaps"}, "product a: in_stock must be true or false"),
        ({"id": "a", "title": "x", "category": ["A", ""]}, "product a: category"),
        ({"id": "a", "title": "x", "created_at": "yesterday"}, "product a: created_at must be a moment"),
        ({"id": "a", "title": "x", "created_at": 1611122500000}, "product a: created_at must be a moment"),
        ({"id": "a", "title": "x", "price": "1_299"}, "product a: price must be a number"),
        ({"id": "a", "title": "x", "attributes": 1}, "product a: attributes must be an object, got 1"),
        ({"id": "x" * 513, "title": "x"}, "longer than 512 bytes"),
        ({"id": True, "title": "x"}, "id must be a string or a whole number"),
        ([], "expected an object"),
    ],
)
def test_a_record_that_is_no_product_says_why(record, message):
    with pytest.raises(InvalidProduct, match=message):
        parse_product(record)


def test_categories_come_from_both_fields_each_once():
    record = {"id": "a", "title": "x", "category": "A > B", "categories": [["A", "B"], "C"]}
    assert parse_product(record).categories == (("A", "B"), ("C",))


def test_what_the_contract_does_not_name_is_an_attribute():
    product = parse_product({"id": "a", "title": "x", "color": "red", "attributes": {"size": 5}, "weight": None})
    assert product.attributes == {"size": 5, "color": "red"}


def test_the_text_is_the_named_fields_in_order_without_markup():
    product = parse_product(
        {"id": "a", "title": "<b>Red</b> kettle", "description": "1 &lt; 2", "use": ["tea", "soup"]}
    )
    assert product.text(("use", "title", "brand", "description")) == "tea soup Red kettle 1 < 2"


def test_what_an_attribute_holds_is_read_as_words_however_it_is_nested():
    record = {
        "specs": {"size": {"w": 3, "h": None}, "tags": ["<b>steel</b>", ["matt", []]]},
        "traits": [{"name": "colour", "value": "red"}],
        "none": {"a": {}},
    }
    product = parse_product({"id": "a", "title": "x", **record})
    assert product.words("specs") == "size w 3 tags steel matt"
    assert product.words("traits") == "name colour value red"
    assert product.words("none") == ""
    assert product.text(("traits", "specs")) == "name colour value red size w 3 tags steel matt"


@pytest.mark.parametrize("paths", [["手机 > 手机壳", "手机"], ["A", "B > C"]])
def test_several_paths_in_category_are_refused_with_where_they_go(paths):
    with pytest.raises(InvalidProduct, match=r'product a: category .*: write several paths into categories, such as "'):
        parse_product({"id": "a", "title": "x", "category": paths})
    assert len(parse_product({"id": "a", "title": "x", "categories": paths}).categories) == 2


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a <!-- b --> c <!-- d --> e", "a c e"),
        ("a <script>b < c</script> d <STYLE>e</Style> f", "a d f"),
        ("a <!-- b --> c <!-- d", "a c <!-- d"),
        ("a <!-- <script> --> b </script>", "a b"),
        ("wide <b title='x'>mug</b> 3 < 4", "wide mug 3 < 4"),
    ],
)
def test_markup_is_left_out_with_what_only_it_holds(text, clean):
    assert plain(text) == clean


@pytest.mark.parametrize("beginning", ["<!--", "<script>", "<style ", "<b "])
def test_markup_that_never_ends_is_read_once(beginning):
    def seconds(times):
        return min(timeit.repeat(lambda: plain(beginning * times), number=1, repeat=3))

    assert seconds(20_000) < 100 * max(seconds(1000), 1e-4)  # by its square 400 times


@given(st.text())
def test_plain_text_has_no_control_characters_and_no_runs_of_space(text):
    clean = plain(text)
    assert clean == clean.strip()
    assert "  " not in clean
    assert not any(ord(character) < 32 for character in clean)
