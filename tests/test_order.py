from hypothesis import given
from hypothesis import strategies as st

from shelfwise.fusion import Fused
from shelfwise.order import SORTED_AT_LEAST, Order, windows_of
from shelfwise.ranking import Candidate

IDS = st.integers(0, 30)


def candidate(id_, score=1.0, group=None, **source):
    found = {"_id": id_, "_source": {"shelfwise": {"group": group or id_}, **source}}
    return Candidate(id_, found, score, Fused(id_, score, {}), {}, {}, 0.0, 0.0, 0.0, 0.0, False)


def ids(order):
    return [one.id for one in order.all()]


def test_a_deeper_window_only_adds_what_those_before_did_not_have():
    order = Order()
    order.extend([candidate("a"), candidate("b")], exhausted=False)
    order.extend([candidate("c"), candidate("b"), candidate("a"), candidate("d")], exhausted=True)
    assert ids(order) == ["a", "b", "c", "d"]


def test_of_a_products_variants_the_best_in_stock_is_shown():
    order = Order()
    order.extend(
        [candidate("a1", group="a", in_stock=False), candidate("a2", group="a"), candidate("a3", group="a")], True
    )
    assert ids(order) == ["a2"]
    every = Order(collapse_variants=False)
    every.extend([candidate("a1", group="a"), candidate("a2", group="a")], True)
    assert ids(every) == ["a1", "a2"]


def test_a_variant_in_stock_takes_the_place_of_one_that_an_earlier_window_had():
    red, blue = candidate("red", group="g", in_stock=False), candidate("blue", group="g")
    order = Order()
    order.extend([red, candidate("b")], exhausted=False)
    order.extend([candidate("c"), blue, candidate("red too", group="g", in_stock=False)], exhausted=True)
    assert ids(order) == ["b", "c", "blue"]


def test_what_is_out_of_stock_is_last_of_all_windows():
    order = Order()
    order.extend([candidate("a", in_stock=False), candidate("b", in_stock=True)], exhausted=False)
    assert not order.has(2)
    order.extend([candidate("c")], exhausted=True)
    assert ids(order) == ["b", "c", "a"]
    anywhere = Order(out_of_stock_last=False)
    anywhere.extend([candidate("a", in_stock=False), candidate("b")], True)
    assert ids(anywhere) == ["a", "b"]


def test_prices_are_sorted_both_ways_and_what_has_none_is_last():
    priced = [candidate("a", price=3), candidate("b"), candidate("c", price=1), candidate("d", price=2)]
    for sort, expected in (("price", ["c", "d", "a", "b"]), ("-price", ["a", "d", "c", "b"])):
        order = Order(sort=sort)
        order.extend(priced, True)
        assert ids(order) == expected


def test_prices_and_stock_that_a_shops_update_sent_as_text_count():
    given = [candidate("a", price="9"), candidate("b", price=10.5), candidate("c", price="100")]
    order = Order(sort="price")
    order.extend([candidate("out", price=1, in_stock="false"), candidate("odd", price="?"), *given], True)
    assert ids(order) == ["a", "b", "c", "odd", "out"]
    order = Order(sort="popularity")
    order.extend([candidate("a", popularity="9"), candidate("b", popularity="10"), candidate("c", popularity=-3)], True)
    assert ids(order) == ["b", "a", "c"]


def test_the_newest_and_the_most_popular_come_first():
    order = Order(sort="created_at")
    order.extend([candidate("old", created_at="2020-01-01"), candidate("new", created_at="2026-01-01")], True)
    assert ids(order) == ["new", "old"]
    order = Order(sort="popularity")
    order.extend([candidate("a", popularity=1.0), candidate("b", popularity=2.0)], True)
    assert ids(order) == ["b", "a"]


def test_what_is_sorted_is_ranked_in_larger_windows_but_by_meaning_alone():
    assert windows_of("hybrid", None) == windows_of("semantic", "price") == (100, 1000, 10_000)
    assert windows_of("hybrid", "price") == windows_of("lexical", "-price") == (1000, 10_000)


def test_moments_of_several_time_zones_are_sorted_as_moments_and_what_is_none_is_last():
    moments = {
        "first": "2026-03-01T12:00:00+08:00",  # 04:00 in UTC
        "second": "2026-03-01T09:00:00",
        "third": "2026-03-01T10:00:00Z",
        "fourth": "2026-02-28T22:00:00-14:00",  # 12:00 in UTC
        "fifth": "2026-03-02",
    }
    given = [candidate(name, created_at=moment) for name, moment in moments.items()]
    order = Order(sort="created_at")
    order.extend([candidate("odd", created_at="1 March"), candidate("none"), *given], True)
    assert ids(order) == ["fifth", "fourth", "third", "second", "first", "odd", "none"]


def test_sorted_by_price_a_product_stands_at_its_cheapest_variant():
    red, tin = candidate("red", group="g", price=90), candidate("tin", group="g", price=30)
    other, gone = candidate("other", price=50), candidate("gone", group="g", price=1, in_stock=False)
    for sort, expected in (("price", ["tin", "other"]), ("-price", ["red", "other"]), (None, ["red", "other"])):
        order = Order(sort=sort)
        order.extend([red, tin, other, gone], True)
        assert ids(order) == expected


def test_what_is_hardly_to_the_point_does_not_come_first_for_being_cheap():
    close = [candidate(f"kettle{n:02}", score=1.0, price=30 + n) for n in range(30)]
    far = [candidate("sticker", score=0.1, price=1)]
    order = Order(sort="price")
    order.extend([*close, *far], True)
    assert ids(order)[0] == "kettle00"
    assert ids(order)[-1] == "sticker"


def test_many_variants_of_one_product_are_one_of_those_to_the_point():
    close = [candidate(f"v{n:02}", score=1.0, group="v", price=90 + n) for n in range(SORTED_AT_LEAST)]
    far = [candidate(f"mat{n:02}", score=0.5 - n / 100, price=50 - n) for n in range(30)]
    order = Order(sort="price")
    order.extend([*close, *far], True)
    assert ids(order)[:2] == ["v00", f"mat{SORTED_AT_LEAST - 2}"]


def test_behind_the_few_that_are_to_the_point_the_next_best_come_before_the_rest():
    close = [candidate("tent", score=2.0, price=90), candidate("shelter", score=1.5, price=80)]
    far = [candidate(f"mat{n:02}", score=0.6 - n / 100, price=50 - n) for n in range(30)]
    order = Order(sort="price")
    order.extend([candidate("out", score=1.9, price=1, in_stock=False), *close, *far], True)
    next_best = SORTED_AT_LEAST - 3
    expected = [*range(next_best - 1, -1, -1), *range(29, next_best - 1, -1)]
    assert ids(order) == ["shelter", "tent", *(f"mat{n:02}" for n in expected), "out"]


@given(
    windows=st.lists(
        st.lists(st.tuples(IDS, st.booleans(), st.integers(0, 9)), max_size=12, unique_by=lambda one: one[0]),
        max_size=3,
    ),
    collapse=st.booleans(),
)
def test_no_product_comes_twice_and_none_is_lost_but_variants(windows, collapse):
    order = Order(collapse_variants=collapse)
    for window in windows:
        order.extend([candidate(str(n), group=f"g{g}", in_stock=stock) for n, stock, g in window], False)
    given_ids = {str(n) for window in windows for n, _, _ in window}
    assert len(ids(order)) == len(set(ids(order)))
    assert collapse or set(ids(order)) == given_ids
