import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.history import DAY, Event
from shelfwise_indexer.held_out import HeldOut, folds, hold_out, sampled

KNOWN = {"a", "b", "c", "d"}


def views(*products):
    return [Event(product, kind="view") for product in products]


def bought(*products):
    return [Event(product, kind="purchase") for product in products]


def one(history, known=KNOWN, out_of_stock=frozenset(), others=()):
    """What is held out of one person: ids of the history and the product, or why the person is skipped."""
    split = hold_out({"u": history, **dict(others)}, known, out_of_stock)
    for person in split.people:
        if person.user == "u":
            return [event.product for event in person.history], person.next
    [reason] = split.skipped
    return reason


def test_the_last_product_is_hidden_and_what_was_before_is_given():
    assert one([Event("a"), Event("b"), Event("c")]) == (["a", "b"], "c")


def test_the_last_is_the_last_in_time_where_times_are_known():
    assert one([Event("c", 30.0), Event("a", 10.0), Event("b", 20.0)]) == (["a", "b"], "c")


def test_it_is_the_last_that_was_bought_and_what_came_after_is_hidden_too():
    assert one([*views("a"), *bought("b"), *views("c", "d")]) == (["a"], "b")


def test_the_views_that_led_to_the_product_are_hidden_with_it():
    assert one([*views("b", "a", "b"), Event("b", kind="cart"), *bought("b")]) == (["a"], "b")


def test_a_product_that_was_bought_before_stays_in_the_history():
    assert one([Event("b"), Event("a"), Event("b")]) == (["b", "a"], "b")
    [person] = hold_out({"u": [Event("b"), Event("a"), Event("b")]}, KNOWN).people
    assert person.repeats


def test_twice_in_a_row_is_one_occasion_unless_a_day_is_between():
    assert one([Event("a"), Event("b"), Event("b")]) == (["a"], "b")
    assert one([Event("b", 0.0), Event("b", 3600.0)]) == "too short"
    assert one([Event("b", 0.0), Event("b", DAY)]) == (["b"], "b")


def test_where_nobody_bought_anything_the_last_that_was_seen_is_hidden():
    assert one(views("a", "b")) == (["a"], "b")
    assert one(views("a", "b"), others={"v": bought("c", "d")}.items()) == "nothing bought"


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        ([], "too short"),
        ([Event("a")], "too short"),
        ([Event("a"), Event("zzz")], "next unknown"),
        ([Event("a"), Event("d")], "next out of stock"),
        ([Event("zzz"), Event("a")], "history unknown"),
    ],
)
def test_who_cannot_be_measured_is_skipped_with_the_reason(history, reason):
    assert one(history, out_of_stock={"d"}) == reason


def test_unknown_products_of_a_history_are_left_out():
    assert one([Event("a"), Event("zzz"), Event("b")]) == (["a"], "b")


EVENTS = st.lists(
    st.builds(
        Event,
        st.sampled_from("abcdez"),
        st.just(None),
        st.sampled_from([None, "view", "cart", "purchase"]),
        st.just(1.0),
    )
)


@given(st.dictionaries(st.text(max_size=3), EVENTS))
def test_everybody_is_measured_or_skipped_and_nothing_of_the_hidden_occasion_is_given(histories):
    split = hold_out(histories, KNOWN, {"d"})
    assert len(split.people) + sum(split.skipped.values()) == len(histories)
    for person in split.people:
        assert person.history
        assert person.next in KNOWN - {"d"}
        assert all(event.bought for event in person.history if event.product == person.next)
        assert len(person.history) < len(histories[person.user])


def test_folds_hold_everybody_once_and_are_the_same_each_time():
    people = [HeldOut(str(number), (Event("a"),), "b") for number in range(11)]
    parts = folds(people, 4)
    assert sorted(len(part) for part in parts) == [2, 3, 3, 3]
    assert sorted((person for part in parts for person in part), key=lambda p: int(p.user)) == people
    assert folds(people, 4) == parts
    assert [len(part) for part in folds(people[:2], 5)] == [1, 1]


def test_a_sample_keeps_the_order_and_all_are_taken_when_there_are_no_more():
    people = [HeldOut(str(number), (Event("a"),), "b") for number in range(11)]
    few = sampled(people, 4)
    assert len(few) == 4
    assert list(few) == [person for person in people if person in few]
    assert list(sampled(people, 99)) == people
