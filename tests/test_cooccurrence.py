import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from shelfwise.history import Event
from shelfwise_indexer.cooccurrence import (
    BACKWARDS,
    BORROWED,
    ORDERED,
    POPULAR,
    WINDOW,
    baskets_in_common,
    bought_again,
    cooccurrence,
    strongest,
    transitions,
)
from shelfwise_indexer.item_weights import item_weights
from shelfwise_indexer.learn_events import content_of, log_of
from small_log import log, unlike

A, B, C, D = range(4)


def users_of(histories, n):
    return np.array([sum(product in history for history in histories) for product in range(n)])


def test_what_came_after_counts_more_than_what_came_before_and_the_next_more_than_the_one_after_it():
    scores = transitions(log([[A, B, C]]), 3, np.ones(3)).toarray()
    assert scores == pytest.approx(np.array([[0, 1, 0.5], [BACKWARDS, 0, 1], [BACKWARDS / 2, BACKWARDS, 0]]))


def pair_by_pair(history):
    """What one person counts for each pair of products, at most 1."""
    counted = np.zeros((9, 9))
    runs = [product for at, product in enumerate(history) if at == 0 or history[at - 1] != product]
    for at, before in enumerate(runs):
        for steps, after in enumerate(runs[at + 1 : at + 1 + WINDOW], start=1):
            counted[before, after] += 1 / steps
            counted[after, before] += BACKWARDS / steps
    return np.minimum(counted, 1)


def test_counting_by_steps_gives_what_counting_pair_by_pair_gives():
    rng = np.random.default_rng(0)
    histories = [rng.integers(0, 9, size).tolist() for size in (1, 2, 5, 14, 30)]
    users = users_of(histories, 9)
    slow = sum(map(pair_by_pair, histories)) / np.sqrt(np.maximum(users, 1))[:, None]
    assert transitions(log(histories), 9, users).toarray() == pytest.approx(slow, rel=1e-5)


def test_one_person_who_goes_back_and_forth_does_not_outvote_two_others():
    also = transitions(log([[A, B] * 50, [A, C], [A, C]]), 3, np.ones(3)).toarray()
    assert also[A].tolist() == [1, 1, 2]


def test_a_great_weight_of_one_person_does_not_outvote_two_others():
    given = log([[A, B], [A, C], [A, C]], weights=[[900, 900], [1, 1], [1, 1]])
    also = transitions(given, 3, np.ones(3)).toarray()
    assert also[A].tolist() == [0, 1, 2]


def test_what_was_looked_at_and_then_bought_counts_as_bought():
    looked_first = log([[A, A, B]], weights=[[0.25, 1, 1]])
    assert transitions(looked_first, 2, np.ones(2))[A, B] == transitions(log([[A, B]]), 2, np.ones(2))[A, B] == 1


def test_the_histories_of_two_people_never_touch():
    assert transitions(log([[A], [B]]), 2, np.ones(2)).nnz == 0


def test_a_product_that_nobody_bought_says_what_its_look_alike_says():
    vectors = np.array([[1, 0, 0], [0, 1, 0], [0.8, 0, 0.6]], dtype=np.float32)
    also = cooccurrence(log([[A, B]]), content_of(vectors)).also.toarray()
    assert also[C, B] >= ORDERED * BORROWED * 1.0  # a step from A to B counts 1
    assert also[A, B] > also[C, B]
    assert cooccurrence(log([[A, B]]), unlike(3)).also.toarray()[C].sum() == 0


def test_a_product_of_many_people_comes_before_one_of_few_that_as_much_speaks_for():
    histories = [[A, B], [A, C], *([C, D] for _ in range(8))]
    given = log(histories)
    users, learnt = users_of(histories, 4), cooccurrence(given, unlike(4))
    ordered = transitions(given, 4, users)
    slow = (item_weights(given, unlike(4)) + ORDERED * ordered).toarray() * np.maximum(users, 1) ** POPULAR
    np.fill_diagonal(slow, 0)
    assert learnt.also.toarray() == pytest.approx(slow, rel=1e-5)
    assert ordered[A, B] == ordered[A, C]
    assert learnt.also[A, C] > learnt.also[A, B]


def test_what_everybody_went_on_to_comes_before_what_everybody_came_from():
    also = cooccurrence(log([[A, B]] * 5), unlike(2)).also.toarray()
    assert also[A, B] > also[B, A] > 0


def test_no_product_goes_with_itself():
    learnt = cooccurrence(log([[A, B, A, B], [A, A]]), unlike(2))
    assert learnt.also.diagonal().sum() == 0
    assert learnt.together.diagonal().sum() == 0


def test_only_the_strongest_of_a_row_are_kept_of_equal_ones_the_first():
    scores = sparse.csr_array(np.array([[0, 3, 1, 1], [1, 0, -2, 0], [0, 0, 0, 0], [1, 2, 3, 0]], dtype=np.float32))
    assert strongest(scores, 2).toarray().tolist() == [[0, 3, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 2, 3, 0]]


def test_a_day_without_an_event_ends_a_basket():
    apart = baskets_in_common(log([[A, B], [A, B], [C, D]], [[0, 9], [0, 9], [0, 0.1]]), 4).toarray()
    assert apart[A, B] == 0
    assert apart[C, D] > 0


def test_orders_of_consecutive_days_are_two_baskets_where_a_log_has_dates_only():
    together = baskets_in_common(log([[A, B], [C, D]], [[0, 1], [5, 5]]), 4).toarray()
    assert together[A, B] == 0
    assert together[C, D] > 0


def test_a_look_in_between_keeps_a_basket_open():
    def bought(*of):
        return [[Event(name, time=hour * 3600, kind=kind) for name, hour, kind in of]]

    both = ("A", 0, "purchase"), ("B", 30, "purchase")
    apart, _ = log_of(bought(*both), {"A": A, "B": B, "C": C})
    open_still, _ = log_of(bought(both[0], ("C", 15, "view"), both[1]), {"A": A, "B": B, "C": C})
    assert baskets_in_common(apart, 3)[A, B] == 0
    together = baskets_in_common(open_still, 3)
    assert together[A, B] > 0
    assert together[A, C] == 0


def test_what_was_only_looked_at_is_in_no_basket():
    assert baskets_in_common(log([[A, B]], bought=False), 2).nnz == 0
    assert baskets_in_common(log([[A, B]], weights=[[3, 3]], bought=False), 2).nnz == 0


def test_what_was_bought_is_in_a_basket_however_little_it_counts():
    little = log([[A, B], [C, D]], weights=[[0.1, 0.1], [1, 1]])
    assert baskets_in_common(little, 4)[A, B] > 0
    histories = [[Event("A", kind=kind, weight=0.1) for kind in ("view", "cart", "purchase", None)]]
    events, _ = log_of(histories, {"A": 0})
    assert events.chosen.tolist() == [False, True, True, True]


def test_an_event_weighs_as_its_kind_does_times_the_shops_own_weight():
    given = [("view", 8), ("view", 1), ("cart", 1), ("purchase", 3), (None, 0.5)]
    events, _ = log_of([[Event("A", kind=kind, weight=weight) for kind, weight in given]], {"A": 0})
    assert events.weights.tolist() == [2, 0.25, 0.5, 3, 0.5]


def test_a_log_is_held_once_while_it_is_read():
    histories = [[Event("A", float(number))] for number in range(20_000)]
    tracemalloc.start()
    given, _ = log_of(histories, {"A": 0})
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert given.times.tolist() == [float(number) for number in range(20_000)]
    assert most < 5 * sum(getattr(given, name).nbytes for name in given.__slots__)
    assert all(getattr(given, name).flags.c_contiguous for name in given.__slots__)


def test_what_three_people_bought_again_another_day_is_consumable_with_the_share_who_did():
    histories = [[A, A], [A, A], [A, A], [A, B]]
    assert bought_again(log(histories, [[0, 5]] * 4), 2) == pytest.approx([0.75, 0])
    assert bought_again(log(histories, [[0, 0.1]] * 4), 2) == pytest.approx([0, 0])  # one order, two lines


def test_without_times_something_else_must_have_been_bought_between():
    assert bought_again(log([[A, A]] * 3), 2) == pytest.approx([0, 0])
    assert bought_again(log([[A, B, A]] * 3), 2) == pytest.approx([1, 0])


def test_two_people_are_chance():
    assert bought_again(log([[A, B, A]] * 2), 2) == pytest.approx([0, 0])


def test_users_are_counted_once_a_product():
    assert cooccurrence(log([[A, A, B], [A]]), unlike(3)).users.tolist() == [2, 1, 0]
