"""Co-occurrence: which products go to the same people, from a log of who did what in which order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from implicit.nearest_neighbours import all_pairs_knn, bm25_weight
from scipy import sparse

from shelfwise.history import BASKET_GAP
from shelfwise_indexer.event_log import Floats, Integers, Log
from shelfwise_indexer.item_weights import Content, item_weights

WINDOW = 10  # events between which two products of a history still count as near
BACKWARDS = 0.5  # of the weight: people go on to what comes after more often than to what came before
ORDERED = 0.3  # of what people went on to, beside what foretells it whatever the order
POPULAR = 0.2  # power of a product's users that its scores are multiplied by: what many want, one more may want
BORROWED = 0.5  # how much what is known of a product's look-alikes counts beside what is known of itself
LENDERS = 10  # nearest products that a product borrows from
KEPT = 100  # products kept with each
BM25_K1, BM25_B = 1.2, 0.75  # the usual ones: Robertson, Zaragoza, "The Probabilistic Relevance Framework", 2009
AGAIN_USERS = 3  # people who bought a product again, at least, for it to count as consumable
AGAIN_SHARE = 0.1  # of its buyers, at least

Places = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Cooccurrence:
    """What a log says of each of n products."""

    users: Integers
    """[n], people in whose history it is."""
    again: Floats
    """[n], share of its buyers who bought it on another occasion again; 0 where it is too rare to tell."""
    also: sparse.csr_array
    """float32 [n, n], at most `KEPT` a row."""
    together: sparse.csr_array
    """float32 [n, n], at most `KEPT` a row."""


def cooccurrence(log: Log, content: Content) -> Cooccurrence:
    """Learn from a log.

    :param content: of the n products that the log names 0 to n - 1.
    """
    products = len(content.vectors)
    users = _distinct(log.users, log.products, products)
    ordered = transitions(log, products, users)
    ordered = ordered + BORROWED * (lenders(content) @ ordered)
    wanted = sparse.diags_array(np.maximum(users, 1.0) ** POPULAR)
    also = sparse.csr_array((item_weights(log, content) + ORDERED * ordered) @ wanted, dtype=np.float32)
    also.setdiag(0)
    return Cooccurrence(users, bought_again(log, products), strongest(also), baskets_in_common(log, products))


def transitions(log: Log, products: int, users: Integers) -> sparse.csr_array:
    """How much people of one product (row) go on to another (column), float32 [n, n].

    Two events of one person count the inverse of the steps between them, up to `WINDOW`, and `BACKWARDS` of that
    against their order, times the weights of both, each at most 1. For each pair of products a person counts at most 1
    in all, so that nobody outvotes the others by going back and forth; a row is divided by the square root of its
    users, so that a product of everybody says less.
    """
    first = np.ones(len(log.users), dtype=bool)  # of a run of the same product: two in a row are one occasion
    first[1:] = (log.users[1:] != log.users[:-1]) | (log.products[1:] != log.products[:-1])
    strength = np.minimum(np.maximum.reduceat(log.weights, np.flatnonzero(first)), 1)  # the strongest event of a run
    log = log.where(first)
    held, place = np.unique(log.users * products + log.products, return_inverse=True)  # of whom, which product
    holder, product = place.astype(np.int32), log.products.astype(np.int32)  # there are ten times as many pairs
    rows, columns, weights = [], [], []
    for steps in range(1, WINDOW + 1):
        before = np.flatnonzero(log.users[:-steps] == log.users[steps:])
        after = before + steps
        weight = strength[before] * strength[after] / steps
        rows += [holder[before], holder[after]]
        columns += [product[after], product[before]]
        weights += [weight, BACKWARDS * weight]
    of_each = _added_up(weights, rows, columns, (len(held), products)).tocoo()
    row = (held % products).astype(np.int32)[of_each.row]
    counted = _added_up([np.minimum(of_each.data, 1)], [row], [of_each.col], (products, products))
    scaled = sparse.diags_array(1 / np.sqrt(np.maximum(users, 1))) @ counted
    return sparse.csr_array(scaled, dtype=np.float32)


def _added_up(
    weights: Sequence[npt.NDArray[np.floating]],
    rows: Sequence[Places],
    columns: Sequence[Places],
    shape: tuple[int, int],
) -> sparse.csr_array:
    """The sums of what falls on the same row and column."""
    places = np.concatenate(rows), np.concatenate(columns)
    return sparse.coo_array((np.concatenate(weights), places), shape=shape).tocsr()


def baskets_in_common(log: Log, products: int) -> sparse.csr_array:
    """Products bought or put into the cart on one occasion, by BM25 over baskets (`implicit`), float32 [n, n].

    `BASKET_GAP` seconds without an event end a basket; where times are not known a history is one basket.
    """
    begins = np.ones(len(log.users), dtype=bool)
    begins[1:] = (log.users[1:] != log.users[:-1]) | (np.diff(log.times) >= BASKET_GAP)  # NaN never is
    chosen = log.chosen & (log.weights > 0)
    if not chosen.any():
        return sparse.csr_array((products, products), dtype=np.float32)
    _, basket = np.unique(np.cumsum(begins)[chosen], return_inverse=True)
    pairs = np.unique(np.column_stack((basket, log.products[chosen])), axis=0)
    held = sparse.csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(int(basket.max()) + 1, products))
    weighted = bm25_weight(held.T, K1=BM25_K1, B=BM25_B).T.tocsr()
    near = sparse.csr_array(all_pairs_knn(weighted, KEPT + 1, show_progress=False), dtype=np.float32)  # one is itself
    near.setdiag(0)
    near.data[near.data < 0] = 0
    near.eliminate_zeros()
    return near


def bought_again(log: Log, products: int) -> Floats:
    """Share of a product's buyers who bought it again on another occasion, float32 [n].

    Another occasion is a day later; where times are not known, after something else. Fewer than `AGAIN_USERS` such
    people, or `AGAIN_SHARE`, are chance: 0.
    """
    log = log.where(log.bought)
    if not len(log.users):
        return np.zeros(products, dtype=np.float32)
    buyers = _distinct(log.users, log.products, products)
    step = np.arange(len(log.users))
    order = np.lexsort((step, log.products, log.users))  # by user and product, in order of time
    users, bought, times, step = log.users[order], log.products[order], log.times[order], step[order]
    same = (users[1:] == users[:-1]) & (bought[1:] == bought[:-1])
    gap = np.diff(times)
    later = same & np.where(np.isnan(gap), np.diff(step) > 1, gap >= BASKET_GAP)
    repeaters = _distinct(users[1:][later], bought[1:][later], products)
    share = repeaters / np.maximum(buyers, 1)
    return np.where((repeaters >= AGAIN_USERS) & (share >= AGAIN_SHARE), share, 0).astype(np.float32)


def lenders(content: Content) -> sparse.csr_array:
    """From whom each product borrows how much: the squared cosines of the `LENDERS` nearest, each row summing to 1.

    float32 [n, n]; a product without a vector borrows nothing.
    """
    near, cosines = content.near[:, :LENDERS], content.cosines[:, :LENDERS]
    weights = np.where(near >= 0, np.maximum(cosines, 0) ** 2, 0)
    total = weights.sum(axis=1, keepdims=True)
    weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    n = len(near)
    rows = np.repeat(np.arange(n), near.shape[1])
    there = weights.ravel() > 0
    return sparse.coo_array(
        (weights.ravel()[there], (rows[there], near.ravel()[there])), shape=(n, n), dtype=np.float32
    ).tocsr()


def strongest(scores: sparse.csr_array, kept: int = KEPT) -> sparse.csr_array:
    """The greatest `kept` entries above 0 of each row; of equal ones the first columns."""
    scores = sparse.csr_array(scores)
    scores.sort_indices()
    places = []
    for row in range(scores.shape[0]):
        at = np.arange(scores.indptr[row], scores.indptr[row + 1])
        best = at[np.argsort(-scores.data[at], kind="stable")][:kept]
        places.append(best[scores.data[best] > 0])
    chosen = np.concatenate(places) if places else np.empty(0, dtype=np.int64)
    rows = np.repeat(np.arange(scores.shape[0]), [len(place) for place in places])
    return sparse.coo_array((scores.data[chosen], (rows, scores.indices[chosen])), shape=scores.shape).tocsr()


def _distinct(users: Integers, products: Integers, n: int) -> Integers:
    """How many users each product has, int64 [n]."""
    pairs = np.unique(np.column_stack((users, products)), axis=0)
    return np.bincount(pairs[:, 1], minlength=n).astype(np.int64)
