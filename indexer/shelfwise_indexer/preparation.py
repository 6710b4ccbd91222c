"""Preparation: a catalogue's labelled products, its two parts, and a report of what was found on the way."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from shelfwise.errors import ShelfwiseError
from shelfwise.machine import tell
from shelfwise.product import Product
from shelfwise.taxonomy import Taxonomy, path_text
from shelfwise_indexer.catalogue import Rejected, read
from shelfwise_indexer.clean import Report, clean, conflicts, duplicate_groups, union, variant_pairs
from shelfwise_indexer.split import stratified_grouped

HELD_BACK_SHARE = 0.15
CATEGORY_HINT = 'give products a "category", a list of names root first or text such as "A > B > C"'


class TrainingError(ShelfwiseError):
    """A catalogue cannot be trained on."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Products that carry a category, how many lines there were besides, and what cleaning changes."""

    products: tuple[Product, ...]
    rejected: tuple[Rejected, ...]
    unlabelled: int
    cleaning: Report


def read_labelled(catalogue: str | os.PathLike[str]) -> Labelled:
    """The products of a catalogue that carry a category; rejected lines are said on stderr, one each."""
    products, rejected, unlabelled, cleaning = [], [], 0, Report()
    for row in read(catalogue):
        if isinstance(row, Rejected):
            rejected.append(row)
            tell(f"{catalogue}, line {row.line}: {row.reason}")
        elif row.product.categories:
            products.append(row.product)
            cleaning.add(clean(row.product))
        else:
            unlabelled += 1
    return Labelled(tuple(products), tuple(rejected), unlabelled, cleaning)


def parts(
    labelled: Labelled, validation: str | os.PathLike[str] | None, fields: Sequence[str], seed: int
) -> tuple[Sequence[Product], Sequence[Product]]:
    """What is trained on and what is held back: `validation`, or a stratified part of the catalogue itself.

    Variants, near-duplicates by text and near-duplicates by title are on one side together.

    :raises TrainingError: `validation` has no product with a category.
    """
    if validation is not None:
        held_back = read_labelled(validation).products
        if not held_back:
            raise TrainingError(f"{validation}: no product carries a category: {CATEGORY_HINT}")
        return labelled.products, held_back
    products = labelled.products
    groups = duplicate_groups([product.text(fields) for product in products])
    groups = union(groups, _same_title(products) + variant_pairs(products))
    split = stratified_grouped(
        [product.categories[0] for product in products], groups, held_back=HELD_BACK_SHARE, seed=seed
    )
    return [products[place] for place in split.train], [products[place] for place in split.held_back]


def warn_unknown(products: Sequence[Product], taxonomy: Taxonomy) -> None:
    """Say which held-back products no training could get right, because their categories are not in it."""
    unknown = [product for product in products if not any(path in taxonomy.leaf_number for path in product.categories)]
    if unknown:
        first = unknown[0]
        tell(
            f"{len(unknown)} held-back products are in categories that no training product has and count as wrong, "
            f"the first is {first.id} in {path_text(first.categories[0])}"
        )


def write_report(folder: Path, labelled: Labelled, fields: Sequence[str]) -> None:
    """`report/preparation.json`: what cleaning changed, and the texts that stand under several categories."""
    texts = [product.text(fields) for product in labelled.products]
    found = conflicts(texts, [product.categories[0] for product in labelled.products])
    if found:
        several = " and ".join(path_text(path) for path in found[0].labels[:2])
        tell(f"{len(found)} texts stand under more than one category, the first is {found[0].text[:80]!r}: {several}")
    report = {
        "unlabelled": labelled.unlabelled,
        "rejected": [{"line": one.line, "reason": one.reason} for one in labelled.rejected],
        "cleaning": labelled.cleaning.to_json(),
        "conflicts": [
            {"text": one.text[:200], "labels": one.labels, "ids": [labelled.products[row].id for row in one.rows]}
            for one in found
        ],
    }
    folder.mkdir(exist_ok=True)
    (folder / "preparation.json").write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))


def _same_title(products: Sequence[Product]) -> list[tuple[int, int]]:
    """Rows with equal or nearly equal titles, whatever their descriptions, each with the first of them."""
    first: dict[int, int] = {}
    by_title = duplicate_groups([product.title for product in products])
    return [(first.setdefault(int(group), row), row) for row, group in enumerate(by_title)]
