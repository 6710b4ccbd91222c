"""Item weights: how much a product in a history speaks for another, by ridge regression over everybody's histories.

For each product the regression asks which others, held by the same person, foretell it: EASE (Steck, "Embarrassingly
Shallow Autoencoders for Sparse Data", WWW 2019), in closed form. The dimensions of the products' vectors are further
"people" who hold every product a little (Jeunen, Van Balen, Goethals, "Closed-Form Models for Collaborative Filtering
with Side-Information", RecSys 2020): what few people hold leans on its look-alikes, what many hold on the people. EASE
inverts a matrix of all products by all products; here each product has a small one of its own, of what it was held
together with most and of its look-alikes, so that time and memory grow with the products and not with their square.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from tqdm import tqdm

from shelfwise_indexer.event_log import Floats, Integers, Log

RIDGE = 20.0  # people; a product of fewer is drawn towards saying nothing
SIDE = 20.0  # people that the vectors count as
NEWEST = 50  # products of a history that count: a crawler's thousands would be held together with everything
HELD_TOGETHER = 200  # products that a regression looks at, beside the look-alikes


@dataclass(frozen=True, slots=True)
class Content:
    """What n products are by themselves, whoever holds them."""

    vectors: Floats
    """[n, dim], L2-normalised; zeros for a product without one."""
    near: Integers
    """[n, k], the nearest others, nearest first; -1 where there are no more."""
    cosines: Floats
    """[n, k], of `near`."""


def item_weights(log: Log, content: Content) -> sparse.csr_array:
    """How much each product (row) speaks for each other one (column), float32 [n, n], above 0 only.

    Products that nobody holds are spoken for by none; they speak for those that they are look-alikes of.
    """
    held = holdings(log, len(content.vectors))
    common = sparse.csr_array(held.T @ held)
    people = common.diagonal()
    held_by_some = np.flatnonzero(people > 0).tolist()
    rows, columns, weights = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    for target in tqdm(held_by_some, desc="events learn", unit="product", delay=2):
        sources = _sources(common, people, content, target)
        weight = _regressed(common, content.vectors, target, sources)
        speaks = weight > 0
        rows.append(sources[speaks])
        columns.append(np.full(speaks.sum(), target))
        weights.append(weight[speaks])
    entries = (np.concatenate(weights).astype(np.float32), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.coo_array(entries, shape=common.shape).tocsr()


def holdings(log: Log, products: int) -> sparse.csr_array:
    """Who holds what, float32 [users, n]: the root of the strongest event's weight, at most 1.

    So two purchases of a person count 1 together, two views of a quarter each a quarter. Of each person the `NEWEST`
    products count.
    """
    order = np.lexsort((log.products, log.users))  # stable: of one product the oldest event first
    users, bought = log.users[order], log.products[order]
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = (users[1:] != users[:-1]) | (bought[1:] != bought[:-1])
    starts = np.flatnonzero(begins)
    if not len(starts):
        return sparse.csr_array((0, products), dtype=np.float32)
    strongest = np.maximum.reduceat(log.weights[order], starts)
    newest = np.maximum.reduceat(order, starts)  # the place of its last event
    users, bought, people = users[starts], bought[starts], int(users[-1]) + 1
    counting = np.flatnonzero(strongest > 0)
    by_age = counting[np.lexsort((-newest[counting], users[counting]))]
    of_user = users[by_age]
    kept = by_age[np.arange(len(by_age)) - np.searchsorted(of_user, of_user) < NEWEST]
    entries = (np.sqrt(np.minimum(strongest[kept], 1)), (users[kept], bought[kept]))
    return sparse.coo_array(entries, shape=(people, products), dtype=np.float32).tocsr()


def _sources(common: sparse.csr_array, people: Floats, content: Content, target: int) -> Integers:
    """The products that a regression on a target looks at: the likest by people (cosine) and by vector."""
    part = slice(common.indptr[target], common.indptr[target + 1])
    others = common.indices[part]
    likeness = common.data[part] / np.sqrt(people[others])
    best = others[np.argsort(-likeness, kind="stable")[: HELD_TOGETHER + 1]]  # one is the target itself
    sources = np.union1d(best, content.near[target])
    return np.asarray(sources[(sources >= 0) & (sources != target)], dtype=np.int64)


def _regressed(common: sparse.csr_array, vectors: Floats, target: int, sources: Integers) -> npt.NDArray[np.float64]:
    """The weights of the sources for a target: -P[source, target] / P[target, target], P the inverse of the Gram matrix
    with `RIDGE` on its diagonal."""
    rows = np.concatenate(([target], sources))
    own = vectors[rows].astype(np.float64)
    gram = common[rows][:, rows].toarray() + SIDE * (own @ own.T)
    gram[np.diag_indices(len(rows))] += RIDGE
    unit = np.zeros(len(rows))
    unit[0] = 1.0
    column = np.linalg.solve(gram, unit)
    return np.asarray(-column[1:] / column[0])
