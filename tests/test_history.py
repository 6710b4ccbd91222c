import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.errors import UsageError
from shelfwise.history import DECAY, HALF_LIFE, Event, in_order, parse_event, parse_history, product_weights
from shelfwise.product import parse_product


def test_each_product_further_back_counts_less_and_the_newest_one():
    weights = product_weights([Event("old"), Event("mid"), Event("new")])
    assert list(weights) == ["new", "mid", "old"]
    assert weights == pytest.approx({"new": 1, "mid": DECAY, "old": DECAY**2})


def test_a_product_twice_takes_one_place_that_of_its_newest_event():
    assert product_weights([Event("a"), Event("b"), Event("a")]) == pytest.approx({"a": 1, "b": DECAY})


def test_a_purchase_counts_more_than_a_cart_and_a_cart_more_than_a_view():
    weights = product_weights(
        [Event("bought", kind="purchase"), Event("in cart", kind="cart"), Event("seen", kind="view")]
    )
    assert weights["bought"] > weights["in cart"] > weights["seen"]


def test_an_event_a_half_life_older_counts_half_beside_its_place():
    old, new = Event("old", time=0.0), Event("new", time=HALF_LIFE * 86_400)
    assert product_weights([old, new]) == pytest.approx({"new": 1, "old": DECAY / 2})


def test_times_say_what_is_newest_whatever_the_order_of_the_list():
    assert [event.product for event in in_order([Event("new", 2.0), Event("old", 1.0)])] == ["old", "new"]
    assert list(product_weights([Event("new", 2.0), Event("old", 1.0)])) == ["new", "old"]


def test_the_shops_own_factor_multiplies():
    assert product_weights([Event("a", weight=0.0), Event("b")]) == {"b": 1, "a": 0}


@pytest.mark.parametrize("id_", ["杯子\u30001", "a\u00a0b", "a\tb"])
def test_what_may_be_the_id_of_a_product_may_stand_in_a_history(id_):
    assert parse_product({"id": id_, "title": "Mug"}).id == id_
    assert parse_event({"product": id_}).product == id_


def test_an_event_is_an_id_or_an_object():
    assert parse_history([" a ", 7.0, {"product": "b", "time": "1970-01-02", "kind": "view", "weight": 2}]) == [
        Event("a"),
        Event("7"),
        Event("b", 86_400.0, "view", 2.0),
    ]


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"product": "a", "weight": -1}, "weight must be a number from 0 to 1,000 .*, got -1"),
        ({"product": "a", "weight": 1e39}, "weight must be a number from 0 to 1,000 .*, got 1e\\+39"),
        ({"product": "a", "weight": float("nan")}, "weight"),
        ({"product": "a", "weight": "much"}, "weight"),
        ({"product": "a", "time": "yesterday"}, "time must be a moment as ISO 8601 has it"),
        ({"product": "a", "time": True}, "time"),
        ({"product": "a", "time": "1611122500"}, "time must be a moment as ISO 8601 has it, or seconds .*'1611122500'"),
        ({"product": "a", "time": "1611122500000"}, "time must be a moment as ISO 8601 has it"),
        ({"product": "a", "time": 20_240_102}, "time looks like a date: write it as text .*, got 20240102"),
        ({"product": "a", "time": 20_240_102.0}, "time looks like a date"),
        ({"product": "a", "time": float("inf")}, "time"),
        (
            {"product": "a", "time": 1_767_225_600_000},
            "milliseconds[?] seconds since 1970 are expected, got 1767225600000",
        ),
        ({"product": "a", "kind": "stolen"}, "kind must be one of view, cart, purchase"),
        ({"product": ""}, "product must be an id"),
        ({}, "product must be an id"),
        (None, "product must be an id"),
        ([], "product must be an id"),
    ],
)
def test_what_is_no_event_is_said(given, part):
    with pytest.raises(UsageError, match=part):
        parse_event(given)


@pytest.mark.parametrize("given", ["2024-01-02", "20240102", 1_704_153_600])
def test_a_time_is_a_moment_or_seconds_since_1970(given):
    assert parse_event({"product": "a", "time": given}).time == 1_704_153_600


def test_the_place_of_a_wrong_event_is_named():
    with pytest.raises(UsageError, match="event 2 of the history: weight"):
        parse_history(["a", {"product": "b", "weight": -1}])
    with pytest.raises(UsageError, match="history must be a list"):
        parse_history("a,b")


@given(st.lists(st.builds(Event, st.sampled_from("abc"), st.none() | st.floats(0, 1e9), weight=st.floats(0, 9))))
def test_every_product_weighs_from_0_to_1(history):
    weights = product_weights(history)
    assert weights.keys() == {event.product for event in history}
    assert all(0 <= weight <= 1 for weight in weights.values())
