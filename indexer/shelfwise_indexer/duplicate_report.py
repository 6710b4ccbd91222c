"""Duplicate report: products of a catalogue that are probably one product listed twice, for a person to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shelfwise.product import DEFAULT_TEXT_FIELDS, Product
from shelfwise_indexer.duplicates import Integers, duplicate_groups, union, variant_pairs
from shelfwise_indexer.neighbours import Vectors, near_duplicates

COSINE = 0.97


@dataclass(frozen=True, slots=True)
class Group:
    """Products that are near duplicates, each of at least one other, and by what: "text", "title", "vector"."""

    products: tuple[Product, ...]
    by: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """What `shelfwise duplicates` prints."""
        shown = [
            {"id": one.id, "title": one.title, "categories": [list(path) for path in one.categories]}
            for one in self.products
        ]
        return {"by": list(self.by), "products": shown}


def find(
    products: Sequence[Product],
    vectors: Vectors | None = None,
    cosine: float = COSINE,
    fields: Sequence[str] = DEFAULT_TEXT_FIELDS,
) -> list[Group]:
    """Groups of near duplicates, in the order of the catalogue.

    Two products are near duplicates by their text or by their title alone (see `duplicate_groups`), or by vectors of at
    least this cosine, every product compared with every other. Variants that say so are one product and no duplicates
    of each other.

    :param vectors: float32 [n, dimension], L2-normalised. :param fields: of products, or attributes, that are the text.
    :raises UsageError: the cosine is not above 0.
    """
    links = {
        "text": _pairs(duplicate_groups([product.text(fields) for product in products])),
        "title": _pairs(duplicate_groups([product.title for product in products])),
    }
    if vectors is not None:
        links["vector"] = near_duplicates(vectors, cosine)[0]
    each = np.arange(len(products), dtype=np.int64)
    families = union(each, variant_pairs(products))
    apart = {name: pairs[families[pairs[:, 0]] != families[pairs[:, 1]]] for name, pairs in links.items()}
    groups = union(each, (tuple(pair) for pairs in apart.values() for pair in pairs.tolist()))
    linked = {name: set(groups[pairs[:, 0]].tolist()) for name, pairs in apart.items()}
    rows_of: dict[int, list[int]] = {}
    for row, group in enumerate(groups.tolist()):
        rows_of.setdefault(group, []).append(row)
    return [
        Group(
            tuple(products[row] for row in rows), tuple(name for name, numbers in linked.items() if number in numbers)
        )
        for number, rows in rows_of.items()
        if len(rows) > 1
    ]


def _pairs(groups: Integers) -> Integers:
    """Each row of a group with the first of it, int64 [pairs, 2]."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    pairs: Integers = np.column_stack((first[inverse], np.arange(len(groups)))).astype(np.int64)
    others: Integers = pairs[pairs[:, 0] != pairs[:, 1]]
    return others
