"""Pairs: what a separate encoder learns from, in batches in which nothing stands against its like.

In a batch every text is a wrong answer to all anchors but its own (Henderson et al., "Efficient Natural Language
Response Suggestion for Smart Reply", 2017). A batch therefore has pairs of one kind, and no two that share a mark.
"""

import heapq
import os
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from shelfwise.history import BASKET_GAP, Event, in_order
from shelfwise.product import Product
from shelfwise.taxonomy import Path as CategoryPath
from shelfwise.taxonomy import Taxonomy, ancestors, path_text
from shelfwise_indexer.events import read_histories
from shelfwise_indexer.preparation import TrainingError

PairKind = Literal["title to text", "title to title", "category to title", "bought together"]


@dataclass(frozen=True, slots=True)
class Prompts:
    """What is put before a text, by what the text is."""

    query: str = ""
    document: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts that are to be found by each other, prompts included."""

    anchor: str
    positive: str
    marks: frozenset[Hashable]
    """A pair with one of the same marks would be a wrong answer that is right."""


Batch = tuple[Pair, ...]


def pairs_of(
    products: Sequence[Product],
    texts: Sequence[str],
    taxonomy: Taxonomy,
    prompts: Prompts,
    bought: Sequence[tuple[str, str]] = (),
    seed: int = 0,
) -> dict[PairKind, list[Pair]]:
    """The pairs of labelled products; kinds of which there are none are left out.

    A title leads to its product's whole text and to the title of another product of its leaf, a category to the title
    of each of its products, a product to one that was bought with it. Titles and categories that lead to something
    else are read as queries, all others as documents.

    :param texts: the whole text of each product.
    :param bought: ids of two products each.
    """
    rng = np.random.default_rng(seed)
    of_leaf: dict[CategoryPath, list[Product]] = defaultdict(list)
    for product in products:
        for path in product.categories:
            of_leaf[path].append(product)
    leaves = taxonomy.leaf_number.keys()
    found: dict[PairKind, list[Pair]] = defaultdict(list)
    for product, text in zip(products, texts, strict=True):
        if text.casefold() != (title := product.title.casefold()):
            pair = Pair(prompts.query + product.title, prompts.document + text, frozenset([title]))
            found["title to text"].append(pair)
    for path, members in of_leaf.items():
        order = [members[place] for place in rng.permutation(len(members))]
        for product, other in zip(order, [*order[1:], *order[:1]], strict=True):
            title = prompts.document + other.title
            marks = _categories((other,), leaves)
            found["category to title"].append(Pair(prompts.query + path_text(path), title, marks))
            if product.title.casefold() != other.title.casefold():
                both = _categories((product, other), leaves)
                found["title to title"].append(Pair(prompts.document + product.title, title, both))
    place = {product.id: at for at, product in enumerate(products)}
    for one, other in bought:
        together = products[place[one]], products[place[other]]
        read = (prompts.document + texts[place[one]], prompts.document + texts[place[other]])
        found["bought together"].append(Pair(*read, _categories(together, leaves)))
    return dict(found)


def batches(pairs: Sequence[Pair], size: int, seed: int) -> list[Batch]:
    """Pairs in batches of 2 to `size`, in each of which no two share a mark; those left without company are left out.

    Each batch takes from the marks of which most pairs are left, so that these do not remain alone in the end.
    """
    rng = np.random.default_rng(seed)
    waiting: dict[frozenset[Hashable], list[Pair]] = defaultdict(list)
    for place in rng.permutation(len(pairs)):
        waiting[pairs[place].marks].append(pairs[place])
    queue = [(-len(alike), rng.random(), number) for number, alike in enumerate(waiting.values())]
    by_number = list(waiting.items())
    heapq.heapify(queue)
    found: list[Batch] = []
    while queue:
        batch: list[Pair] = []
        taken: set[Hashable] = set()
        later = []
        while queue and len(batch) < size:
            left, tie, number = heapq.heappop(queue)
            marks, alike = by_number[number]
            if taken.isdisjoint(marks):
                batch.append(alike.pop())
                taken |= marks
                left, tie = left + 1, rng.random()
            if left < 0:
                later.append((left, tie, number))
        for entry in later:
            heapq.heappush(queue, entry)
        if len(batch) > 1:
            found.append(tuple(batch))
    return found


def bought_together(
    events: str | os.PathLike[str], known: Collection[str], most: int, seed: int
) -> list[tuple[str, str]]:
    """Two products each that one person bought one after the other, within a day where times are known; no pair twice.

    :param known: ids of the products that may be paired.
    :param most: so many pairs, drawn at random where there are more.
    :raises CatalogueError: the log cannot be read, or holds nothing.
    :raises TrainingError: there is no such pair.
    """
    histories = read_histories(events).by_user.values()
    found = sorted({pair for history in histories for pair in _next_to_each_other(history, known)})
    if not found:
        raise TrainingError(
            f"{events}: nobody bought two of the products that are trained on one after the other, so that nothing can "
            "be learnt from it: give a log of purchases of this catalogue's products"
        )
    chosen = np.sort(np.random.default_rng(seed).permutation(len(found))[:most])
    return [found[place] for place in chosen]


def _categories(products: Sequence[Product], leaves: Collection[CategoryPath]) -> frozenset[Hashable]:
    """The leaves of products, and those above: a node may be a leaf and have others below it."""
    paths = {path for product in products for path in product.categories}
    return frozenset(node for path in paths for node in ancestors(path) if node in leaves)


def _next_to_each_other(history: Sequence[Event], known: Collection[str]) -> Iterator[tuple[str, str]]:
    bought = [event for event in in_order(history) if event.bought and event.product in known]
    for one, other in pairwise(bought):
        apart = 0.0 if one.time is None or other.time is None else other.time - one.time
        if one.product != other.product and apart < BASKET_GAP:
            yield min(one.product, other.product), max(one.product, other.product)
