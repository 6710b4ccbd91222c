"""Stages: what was found in a catalogue before training, as counts and examples for `report/preparation.json`."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from shelfwise.product import Product, plain
from shelfwise.taxonomy import path_text
from shelfwise_indexer.duplicates import duplicate_groups, normalised
from shelfwise_indexer.labels import Policy, Settled

EXAMPLES = 5
SHOWN = 200  # characters of a text
OPTIONAL_FIELDS = ("description", "brand", "price", "variant_of", "in_stock", "popularity", "language")


def missing_values(products: Sequence[Product]) -> dict[str, Any]:
    """Of each optional field, and of each attribute that any product has, the products without it, most first."""
    present: Counter[str] = Counter()
    for product in products:
        named = [(name, getattr(product, name)) for name in OPTIONAL_FIELDS]
        present.update({name for name, value in (*named, *product.attributes.items()) if not _is_empty(value)})
    missing = {name: len(products) - present[name] for name in {*OPTIONAL_FIELDS, *present}}
    order = sorted(missing, key=lambda name: (-missing[name], name))
    share = {name: round(missing[name] / max(len(products), 1), 4) for name in order}
    return {
        "products": len(products),
        "fields": {name: {"missing": missing[name], "share": share[name]} for name in order},
    }


def duplicates_found(products: Sequence[Product], fields: Sequence[str]) -> dict[str, Any]:
    """Groups of equal and of nearly equal texts, which are never parted by the split, and the products in them.

    A group of both kinds counts as near; its examples are texts that differ.
    """
    texts = [product.text(fields) for product in products]
    members: dict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(duplicate_groups(texts).tolist()):
        members[group].append(row)
    several = [rows for rows in members.values() if len(rows) > 1]
    exact = [rows for rows in several if len({normalised(texts[row]) for row in rows}) == 1]
    near = [rows for rows in several if len({normalised(texts[row]) for row in rows}) > 1]
    return {"exact": _groups(exact, products, texts), "near": _groups(near, products, texts)}


def conflicts_found(products: Sequence[Product], settled: Settled, policy: Policy) -> dict[str, Any]:
    """Texts under more than one category, what the policy changed, and each of them with its products.

    :param products: those before the policy, to which the rows of `settled` belong.
    """
    return {
        "policy": policy,
        "texts": len(settled.conflicts),
        "products": sum(len(one.rows) for one in settled.conflicts),
        "changed": [products[row].id for row in settled.changed],
        "gone": [path_text(path) for path in settled.gone(products)],
        "found": [
            {
                "text": one.text[:SHOWN],
                "labels": [path_text(label) for label in one.labels],
                "ids": [products[row].id for row in one.rows],
            }
            for one in settled.conflicts
        ],
    }


def _groups(groups: Sequence[Sequence[int]], products: Sequence[Product], texts: Sequence[str]) -> dict[str, Any]:
    largest = sorted(groups, key=lambda rows: -len(rows))[:EXAMPLES]
    return {
        "groups": len(groups),
        "products": sum(map(len, groups)),
        "examples": [
            {
                "ids": [products[row].id for row in rows[:EXAMPLES]],
                "texts": _different(rows, texts),
                "products": len(rows),
            }
            for rows in largest
        ],
    }


def _different(rows: Sequence[int], texts: Sequence[str]) -> list[str]:
    different: dict[str, str] = {}
    for row in rows:
        different.setdefault(normalised(texts[row]), texts[row])
    return [text[:SHOWN] for text in list(different.values())[:EXAMPLES]]


def _is_empty(value: object) -> bool:
    return value is None or value in ([], (), {}) or (isinstance(value, str) and not plain(value))
