import numpy as np
import pytest

from shelfwise_indexer import item_weights
from shelfwise_indexer.item_weights import NEWEST, RIDGE, SIDE, Content, holdings
from shelfwise_indexer.learn_events import content_of
from small_log import log, unlike

A, B, C, D = range(4)


def drawn(n=30, people=60, seed=0):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    histories = [rng.choice(n, size=rng.integers(1, 8), replace=False).tolist() for _ in range(people)]
    return log(histories), vectors


def whole(held, vectors):
    """EASE as published, of all products at once: the slow twin."""
    gram = held.T @ held + SIDE * vectors @ vectors.T + RIDGE * np.eye(len(vectors))
    inverse = np.linalg.inv(gram)
    weights = -inverse / np.diag(inverse)[None, :]
    np.fill_diagonal(weights, 0)
    return weights


def test_a_small_regression_for_each_product_is_the_whole_one_where_it_looks_at_all():
    events, vectors = drawn()
    held = holdings(events, len(vectors)).toarray().astype(np.float64)
    slow = whole(held, vectors.astype(np.float64))
    slow[:, held.sum(axis=0) == 0] = 0
    fast = item_weights.item_weights(events, content_of(vectors)).toarray()
    assert fast == pytest.approx(np.maximum(slow, 0), abs=1e-5)


def test_looking_at_the_likest_only_keeps_what_weighs_most(monkeypatch):
    monkeypatch.setattr(item_weights, "HELD_TOGETHER", 10)
    events, vectors = drawn()
    content = content_of(vectors)
    near = Content(vectors, content.near[:, :10], content.cosines[:, :10])
    held = holdings(events, len(vectors)).toarray().astype(np.float64)
    slow = np.maximum(whole(held, vectors.astype(np.float64)), 0)
    fast = item_weights.item_weights(events, near).toarray()
    sold = held.sum(axis=0) > 0
    assert np.corrcoef(fast[:, sold].ravel(), slow[:, sold].ravel())[0, 1] > 0.9
    best = slow.argmax(axis=0)[sold]
    assert (fast[:, sold].argmax(axis=0) == best).mean() >= 0.7


def test_what_is_always_held_together_speaks_for_each_other_and_what_never_is_does_not():
    weights = item_weights.item_weights(log([[A, B]] * 30 + [[C], [D]]), unlike(4)).toarray()
    assert weights[A, B] == pytest.approx(30 / (30 + RIDGE))
    assert weights[A, C] == weights[C, D] == 0


def test_what_is_in_every_history_speaks_less_for_a_product_than_what_is_in_its_histories_only():
    everybodys, own = A, B
    histories = [[everybodys, own, C]] * 20 + [[everybodys, D]] * 80
    weights = item_weights.item_weights(log(histories), unlike(4)).toarray()
    assert weights[own, C] > 4 * weights[everybodys, C]


def test_few_people_leave_the_word_to_look_alikes_and_many_have_it_themselves():
    vectors = np.eye(4, dtype=np.float32)
    vectors[C] = vectors[A] * 0.9 + vectors[D] * np.sqrt(1 - 0.81)
    content = content_of(vectors)
    rare = item_weights.item_weights(log([[A, B]]), content).toarray()
    assert rare[C, A] > 4 * rare[B, A] > 0
    common = item_weights.item_weights(log([[A, B]] * 200), content).toarray()
    assert common[B, A] > common[C, A]


def test_a_product_that_nobody_holds_is_spoken_for_by_none():
    vectors = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8]], dtype=np.float32)
    weights = item_weights.item_weights(log([[A, B]]), content_of(vectors)).toarray()
    assert not weights[:, C].any()
    assert weights[C].any()


def test_a_log_without_events_says_nothing():
    assert item_weights.item_weights(log([]), unlike(3)).nnz == 0


def test_a_person_holds_a_product_once_by_the_strongest_event_at_most_one():
    held = holdings(log([[A, A, B], [C, A]], weights=[[0.25, 1.0, 0.25], [9.0, 0.0]]), 4).toarray()
    assert held == pytest.approx(np.array([[1, 0.5, 0, 0], [0, 0, 1, 0]]))


def test_of_a_crawlers_thousands_the_newest_count():
    held = holdings(log([[*range(NEWEST + 5), A]]), NEWEST + 5).toarray()
    assert held.sum() == NEWEST
    assert held[0, A] == 1  # looked at again at the end
    assert not held[0, 1:6].any()


def test_what_counts_nothing_takes_no_place_of_the_newest():
    bought, looked_at = list(range(10)), list(range(10, 10 + NEWEST))
    held = holdings(log([bought + looked_at], weights=[[1.0] * 10 + [0.0] * NEWEST]), 10 + NEWEST).toarray()
    assert np.flatnonzero(held[0]).tolist() == bought
