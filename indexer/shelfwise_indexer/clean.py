"""Cleaning: a product's texts made readable, with a report of what that changed."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from shelfwise.product import TEXT_FIELDS, Product, plain, repaired
from shelfwise_indexer.duplicates import Conflict, conflicts, duplicate_groups, normalised, union, variant_pairs

__all__ = [
    "Change",
    "Cleaned",
    "Conflict",
    "Report",
    "clean",
    "conflicts",
    "duplicate_groups",
    "normalised",
    "repaired",
    "union",
    "variant_pairs",
]

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Change:
    """What a stage made of one field."""

    id: str
    field: str
    stage: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A product after cleaning and what that changed."""

    product: Product
    changes: tuple[Change, ...] = ()


@dataclass
class Report:
    """Counts and the first examples of each stage, for `report/`."""

    products: int = 0
    changed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Change]] = field(default_factory=dict)

    def add(self, cleaned: Cleaned) -> Product:
        """Count one product's changes and hand the product on."""
        self.products += 1
        self.changed += bool(cleaned.changes)
        for change in cleaned.changes:
            self.counts[change.stage] += 1
            kept = self.examples.setdefault(change.stage, [])
            if len(kept) < EXAMPLES:
                kept.append(change)
        return cleaned.product

    def to_json(self) -> dict[str, Any]:
        """Products read and changed; by stage the fields it changed and examples, texts cut at 200 characters."""
        return {
            "products": self.products,
            "changed": self.changed,
            "stages": {
                stage: {
                    "fields": count,
                    "examples": [
                        {"id": c.id, "field": c.field, "before": c.before[:200], "after": c.after[:200]}
                        for c in self.examples[stage]
                    ],
                }
                for stage, count in self.counts.items()
            },
        }


def clean(product: Product) -> Cleaned:
    """The product with readable title, description, brand and textual attributes.

    Stages: `encoding` (ftfy: "cafÃ©" is "café" again), `markup` (tags, entities, control characters, runs of white
    space), `empty` (a text of which nothing was left becomes absent). A title is never emptied.
    """
    changes: list[Change] = []
    texts = {name: _cleaned(product.id, name, getattr(product, name), changes) for name in TEXT_FIELDS}
    attributes = {
        name: _cleaned(product.id, name, value, changes) if isinstance(value, str) else value
        for name, value in product.attributes.items()
    }
    if not changes:
        return Cleaned(product)
    kept = {name: value for name, value in attributes.items() if value is not None}
    title = texts["title"] or product.title
    return Cleaned(
        replace(product, title=title, description=texts["description"], brand=texts["brand"], attributes=kept),
        tuple(changes),
    )


def _cleaned(id_: str, name: str, text: str | None, changes: list[Change]) -> str | None:
    if text is None:
        return None
    mended = repaired(text)
    if mended != text:
        changes.append(Change(id_, name, "encoding", text, mended))
    bare = plain(mended)
    if bare != mended:
        changes.append(Change(id_, name, "markup", mended, bare))
    if not bare:
        changes.append(Change(id_, name, "empty", text, ""))
    return bare or None
