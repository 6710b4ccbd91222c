"""Duplicate report: products of a catalogue that are probably one product listed twice, for a person to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from shelfwise.product import DEFAULT_TEXT_FIELDS, Product
from shelfwise_indexer.duplicates import duplicate_groups, pairs_of, spanning, union, variant_pairs
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

    :param vectors: float32 [n, dimension], L2-normalised.
    :param fields: of products, or attributes, that are the text.
    :raises UsageError: the cosine is not above 0.
    """
    links = {
        "text": pairs_of(duplicate_groups([product.text(fields) for product in products])),
        "title": pairs_of(duplicate_groups([product.title for product in products])),
    }
    each = np.arange(len(products), dtype=np.int64)
    families = union(each, variant_pairs(products))
    if vectors is not None:
        links["vector"] = spanning(len(products), near_duplicates(vectors, cosine, families))
    apart = {
        name: [(one, other) for one, other in pairs if families[one] != families[other]]
        for name, pairs in links.items()
    }
    groups = union(each, chain.from_iterable(apart.values())).tolist()
    linked = {name: {groups[one] for one, _ in pairs} for name, pairs in apart.items()}
    rows_of: dict[int, list[int]] = {}
    for row, group in enumerate(groups):
        rows_of.setdefault(group, []).append(row)
    return [
        Group(
            tuple(products[row] for row in rows), tuple(name for name, numbers in linked.items() if number in numbers)
        )
        for number, rows in rows_of.items()
        if len(rows) > 1
    ]
