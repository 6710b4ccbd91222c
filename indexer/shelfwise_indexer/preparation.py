"""Preparation: a catalogue's labelled products, its two parts, and a report of what every stage found and changed."""

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import orjson
from pydantic import Field

from shelfwise.errors import ShelfwiseError, UsageError
from shelfwise.messages import tell
from shelfwise.product import CONTRACT_FIELDS, Product
from shelfwise.taxonomy import Path as CategoryPath
from shelfwise.taxonomy import Taxonomy, path_text, some_paths
from shelfwise_indexer.catalogue import Rejected
from shelfwise_indexer.clean import Report, clean, duplicate_groups, union, variant_pairs
from shelfwise_indexer.duplicates import pairs_of
from shelfwise_indexer.good_rows import GoodRows
from shelfwise_indexer.id_hashes import Hashes, hashes_of
from shelfwise_indexer.labels import (
    POLICIES,
    Policy,
    Relabelling,
    Settled,
    merge_rare,
    merge_spellings,
    settle_conflicts,
    skip_repeated_levels,
)
from shelfwise_indexer.overlap import overlap, warn_overlap
from shelfwise_indexer.split import Integers, stratified_grouped, with_every_label
from shelfwise_indexer.stages import conflicts_found, duplicates_found, missing_values
from shelfwise_indexer.trained_on import NOTHING

HELD_BACK_SHARE = 0.15
CATEGORY_HINT = 'give products a "category", a list of names root first or text such as "A > B > C"'


class TrainingError(ShelfwiseError):
    """A catalogue cannot be trained on."""


@dataclass(frozen=True, slots=True)
class PreparationSettings:
    """Which stages change what is trained on; the defaults change nothing, and everything is reported anyway."""

    conflicts: Annotated[Policy, Field(description="What becomes of one text under several categories.")] = "keep"
    merge_spellings: Annotated[
        bool, Field(description="Categories that differ in case, white space or punctuation become one.")
    ] = False
    skip_repeated_levels: Annotated[
        bool, Field(description="A node whose only child has its own name swallows that child.")
    ] = False
    rare_below: Annotated[
        int, Field(ge=0, description="Categories of fewer training products go into their parents; 0 merges none.")
    ] = 0

    def __post_init__(self) -> None:
        if self.conflicts not in POLICIES:
            raise UsageError(f"conflicts must be one of {', '.join(POLICIES)}, got {self.conflicts!r}")
        if self.rare_below < 0:
            raise UsageError(f"rare_below must be a number of products, 0 or more, got {self.rare_below}")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is trained on, what is held back, and by stage what was found and changed."""

    train: Sequence[Product]
    held_back: Sequence[Product]
    stages: dict[str, Any] = field(default_factory=dict)
    rejected: tuple[Rejected, ...] = ()
    """Lines of a validation catalogue that are no products."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Products that carry a category, how many lines there were besides, and what cleaning changes."""

    products: tuple[Product, ...]
    rejected: tuple[Rejected, ...]
    unlabelled: int
    cleaning: Report


def read_labelled(catalogue: str | os.PathLike[str]) -> Labelled:
    """The products of a catalogue that carry a category; rejected lines are said on stderr.

    :raises CatalogueError: the catalogue cannot be read, or not to its end.
    """
    rows, products, unlabelled, cleaning = GoodRows(catalogue), [], 0, Report()
    for row in rows:
        if row.product.categories:
            products.append(row.product)
            cleaning.add(clean(row.product))
        else:
            unlabelled += 1
    return Labelled(tuple(products), tuple(rows.rejected), unlabelled, cleaning)


def no_category(
    catalogue: str | os.PathLike[str], rejected: Sequence[Rejected], products: int, consequence: str
) -> TrainingError:
    """What to say of a catalogue none of whose products carries a category, or whose lines were all rejected.

    :param products: how many there are.
    """
    if products or not rejected:
        return TrainingError(f"{catalogue}: no product carries a category, {consequence}: {CATEGORY_HINT}")
    return TrainingError(
        f"{catalogue}: all {len(rejected)} lines were rejected, {consequence}: mend them, the first is line "
        f"{rejected[0].line}: {rejected[0].reason}"
    )


def parts(
    labelled: Labelled,
    validation: Labelled | None,
    fields: Sequence[str],
    seed: int,
    known: Hashes = NOTHING,
) -> tuple[Sequence[Product], Sequence[Product]]:
    """What is trained on and what is held back: `validation`, or a stratified part of the catalogue itself.

    Variants, near-duplicates by text and near-duplicates by title are on one side together. What is known is never
    held back.

    :param known: `hashes_of` the ids that the bundle that training continues from has learnt.
    """
    if validation is not None:
        return labelled.products, validation.products
    return split_apart(labelled.products, fields, HELD_BACK_SHARE, seed, known)


def split_apart(
    products: Sequence[Product], fields: Sequence[str], share: float, seed: int, known: Hashes = NOTHING
) -> tuple[list[Product], list[Product]]:
    """Hold back a share, stratified by first category; variants and near-duplicates are on one side together.

    Every category is in training, those too that are never a product's first.

    :param known: `hashes_of` ids that are never held back.
    """
    groups, paths = groups_of(products, fields), [product.categories for product in products]
    never = np.isin(hashes_of(product.id for product in products), known)
    split = stratified_grouped([several[0] for several in paths], groups, share, seed, never)
    split = with_every_label(split, paths, groups)
    return [products[place] for place in split.train], [products[place] for place in split.held_back]


def check_fields(products: Sequence[Product], fields: Sequence[str]) -> None:
    """See that what is to be read is a field of products, filled or not, or an attribute that one of these has.

    :raises UsageError: it is neither, and the closest one is named; or it is the category itself.
    """
    if labels := [name for name in fields if name in ("category", "categories")]:
        raise UsageError(f"text field {labels[0]} is what is to be predicted: leave it out")
    attributes = {name for product in products for name in product.attributes}
    for unknown in (name for name in fields if name not in attributes and name not in CONTRACT_FIELDS):
        closest = difflib.get_close_matches(unknown, [*CONTRACT_FIELDS, *sorted(attributes)], 1)
        meant = f"did you mean {closest[0]}?" if closest else "name fields or attributes that products have"
        raise UsageError(f"text field {unknown} is no field of products and no attribute of any of them: {meant}")


def groups_of(products: Sequence[Product], fields: Sequence[str]) -> Integers:
    """Group number of each product (int64 [n]): variants and near-duplicates by text or by title share one."""
    groups = duplicate_groups([product.text(fields) for product in products])
    same_title = pairs_of(duplicate_groups([product.words("title") for product in products]))
    return union(groups, same_title + variant_pairs(products))


def warn_unknown(
    products: Sequence[Product],
    taxonomy: Taxonomy,
    kind: str = "held-back products",
    lack: str = "no training product has",
) -> None:
    """Say which products that are measured on cannot be got right, and which of their categories cannot be given.

    :param kind: what they are called.
    :param lack: who lacks the categories, to stand behind "categories that".
    """
    unknown = [product for product in products if not any(path in taxonomy.leaf_number for path in product.categories)]
    if unknown:
        first = unknown[0]
        tell(
            f"{len(unknown)} {kind} are in categories that {lack} and count as wrong at the leaves, "
            f"the first is {first.id} in {path_text(first.categories[0])}"
        )
    wrong = {product.id for product in unknown}
    besides = {
        path: product
        for product in products
        if product.id not in wrong
        for path in product.categories
        if path not in taxonomy.leaf_number
    }
    if besides:
        path, product = next(iter(besides.items()))
        tell(
            f"{len(besides)} further categories of {kind}, that {lack}, are never given, "
            f"the first is {path_text(path)} of {product.id}"
        )


def prepare(
    labelled: Labelled,
    validation: str | os.PathLike[str] | None,
    fields: Sequence[str],
    seed: int,
    settings: PreparationSettings | None = None,
    known: Hashes = NOTHING,
) -> Prepared:
    """Both parts after every stage: spellings, repeated levels, conflicts, split, rare categories.

    What merges categories is learnt from the catalogue (rare ones from its training part) and holds for the held-back
    part too, `validation` included, so that a merged category counts as right where its parent is predicted.
    Conflicts are settled in the catalogue only. Products that `validation` shares with the training part are said, and
    stay in both.

    :param known: as for `parts`.
    :raises TrainingError: `validation` has no product with a category, or `drop` leaves nothing to train on.
    """
    settings = settings or PreparationSettings()
    measured = None if validation is None else _validation(validation)
    same = measured is not None and measured.products == labelled.products
    relabellings: dict[str, Relabelling] = {}
    for name, wanted, stage in (
        ("spellings", settings.merge_spellings, merge_spellings),
        ("repeated_levels", settings.skip_repeated_levels, skip_repeated_levels),
    ):
        if wanted:
            made = relabellings[name] = stage(_filed(labelled.products), _filed(measured.products if measured else ()))
            labelled = _relabelled(labelled, made)
            measured = measured and _relabelled(measured, made)
    settled = _settled(labelled, fields, settings.conflicts)
    if not settled.products:
        raise TrainingError('every product stands under several categories, and conflicts = "drop" leaves none of them')
    train_part, held_back = parts(replace(labelled, products=settled.products), measured, fields, seed, known)
    if settings.rare_below:
        rare = merge_rare(_filed(train_part), settings.rare_below, _filed(held_back))
        relabellings["rare_categories"] = rare
        train_part, held_back = ([rare.apply(product) for product in part] for part in (train_part, held_back))
    _tell_merged(relabellings)
    stages = _found(labelled, settled, fields, settings.conflicts)
    stages |= {name: one.to_json() for name, one in relabellings.items()}
    if measured is not None:
        shared = overlap(train_part, held_back, groups_of([*train_part, *held_back], fields), same)
        warn_overlap(shared, os.fspath(validation or ""))
        stages["validation"] = shared.to_json()
    return Prepared(train_part, held_back, stages, measured.rejected if measured else ())


def write_stages(folder: Path, stages: dict[str, Any]) -> None:
    """`preparation.json` in the folder: by stage, the counts and examples of what it found and changed."""
    folder.mkdir(exist_ok=True)
    (folder / "preparation.json").write_bytes(orjson.dumps(stages, option=orjson.OPT_INDENT_2))


def _validation(catalogue: str | os.PathLike[str]) -> Labelled:
    labelled = read_labelled(catalogue)
    if not labelled.products:
        raise no_category(catalogue, labelled.rejected, labelled.unlabelled, "nothing can be measured")
    return labelled


def _relabelled(labelled: Labelled, relabelling: Relabelling) -> Labelled:
    return replace(labelled, products=tuple(map(relabelling.apply, labelled.products)))


def _tell_merged(relabellings: Mapping[str, Relabelling]) -> None:
    for name, relabelling in relabellings.items():
        if relabelling.moves:
            only = len(relabelling.held_back_only)
            tell(
                f"{name.replace('_', ' ')}: {len(relabelling.moves)} categories of {relabelling.products} products "
                "were merged" + (f", {only} of them in the held-back part alone" if only else "")
            )


def _settled(labelled: Labelled, fields: Sequence[str], policy: Policy) -> Settled:
    settled = settle_conflicts(labelled.products, [product.text(fields) for product in labelled.products], policy)
    if settled.conflicts:
        first = settled.conflicts[0]
        several = " and ".join(path_text(path) for path in first.labels[:2])
        tell(
            f"{len(settled.conflicts)} texts stand under more than one category, "
            f"the first is {first.text[:80]!r}: {several}"
        )
    if gone := settled.gone(labelled.products):
        tell(
            f'conflicts = "{policy}" leaves no product in {len(gone)} categories, which are not learnt: '
            f"{some_paths(gone)}: file their products anew, or keep the conflicts"
        )
    return settled


def _found(labelled: Labelled, settled: Settled, fields: Sequence[str], policy: Policy) -> dict[str, Any]:
    return {
        "unlabelled": labelled.unlabelled,
        "rejected": [{"line": one.line, "reason": one.reason} for one in labelled.rejected],
        "cleaning": labelled.cleaning.to_json(),
        "missing": missing_values(labelled.products),
        "duplicates": duplicates_found(labelled.products, fields),
        "conflicts": conflicts_found(labelled.products, settled, policy),
    }


def _filed(products: Sequence[Product]) -> list[Sequence[CategoryPath]]:
    return [product.categories for product in products]
