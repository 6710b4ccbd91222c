"""Enrichment: a product, its vector and its category probabilities become the document that is searched."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from shelfwise.bundle import Bundle
from shelfwise.filing import Filing
from shelfwise.product import Product
from shelfwise.source import enrichment_of, listed
from shelfwise.taxonomy import Path, Taxonomy, ancestors, path_text

CANDIDATES = 5
BY_A_PERSON = ("confirmed", "corrected")
DECISION = ("status", "category", "ancestors")  # the fields that say what a person decided
REMEMBERED = 1 << 16  # paths whose texts are not put together again
Document = dict[str, Any]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Enricher:
    """What turns predictions into the `shelfwise` object: what the bundle asks of them, and its version."""

    filing: Filing
    bundle: str

    @classmethod
    def of(cls, bundle: Bundle) -> "Enricher":
        """The one of a bundle."""
        return cls(Filing.of(bundle), bundle.version)

    def enrichment(
        self, product: Product, text: str, vector: Floats, probabilities: Floats, moment: str, unread: bool = False
    ) -> dict[str, Any]:
        """The `shelfwise` object of one product, its vector as it was given.

        The shop's own categories stand. Without one, the most probable leaf is accepted where it is as certain as the
        bundle asks of it; else the product waits for review, and is filed for filtering under the deepest node that is
        sure enough, so that a filter never hides more than it must. A text that the model could hardly read waits
        for review, too, and is filed nowhere: the model is sure of what all such texts have in common.
        Of several predicted leaves those that are sure enough are accepted; the product is filed under all of them.

        :param vector: float32 [dimension].
        :param probabilities: float32 [leaves].
        :param moment: ISO 8601.
        :param unread: see `Encoded.unread`.
        """
        best = most_probable(self.filing.taxonomy, probabilities)
        candidates = [{"category": _text_of(leaf), "probability": round(likely, 4)} for leaf, likely in best]
        confidence = best[0][1]
        filed: Sequence[Path] = product.categories
        accepted, status = filed, "accepted"
        if not filed:
            filed, accepted = self.filing.given(probabilities), [] if unread else self.filing.accepted(probabilities)
            if not accepted:
                status, filed = "review", [] if unread else self.filing.sure_nodes(probabilities)
        return {
            "category": [_text_of(path) for path in accepted],
            "ancestors": nodes_of(filed),
            "confidence": round(confidence, 4),
            "status": status,
            "candidates": candidates,
            "vector": vector,
            "text_hash": text_hash(text),
            "bundle": self.bundle,
            "enriched_at": moment,
            "group": product.variant_of or product.id,
        }


def most_probable(taxonomy: Taxonomy, probabilities: Floats) -> list[tuple[Path, float]]:
    """The CANDIDATES most probable leaves with their probabilities, best first, out of float32 [leaves]."""
    # Among those that none of the others is above; of equals the first leaf comes first.
    last = np.partition(probabilities, -CANDIDATES)[-CANDIDATES] if len(probabilities) > CANDIDATES else -np.inf
    among = np.flatnonzero(probabilities >= last)
    best = among[np.argsort(-probabilities[among], kind="stable")[:CANDIDATES]]
    return [(taxonomy.leaves[leaf], float(probabilities[leaf])) for leaf in best]


def document(product: Product, enrichment: Mapping[str, Any]) -> Document:
    """The whole document: the shop's fields as they came, and the enrichment beside them."""
    fields: Document = {
        "id": product.id,
        "title": product.title,
        "description": product.description,
        "brand": product.brand,
        "price": product.price,
        "category": [_text_of(path) for path in product.categories] or None,
        "variant_of": product.variant_of,
        "in_stock": product.in_stock,
        "popularity": product.popularity,
        "language": product.language,
        "image_url": product.image_url,
        "created_at": product.created_at,
        "updated_at": product.updated_at,
        "attributes": dict(product.attributes) or None,
    }
    return {name: value for name, value in fields.items() if value is not None} | {"shelfwise": dict(enrichment)}


def is_unchanged(before: Mapping[str, Any] | None, product: Product, text: str, bundle: str) -> bool:
    """Whether what the index already holds of a product was made of the same text, categories and bundle."""
    if before is None:
        return False
    old = before["shelfwise"]
    return (
        "vector" in old
        and old.get("text_hash") == text_hash(text)
        and old.get("bundle") == bundle
        and list(before.get("category") or []) == [_text_of(path) for path in product.categories]
    )


def keep_decision(enrichment: dict[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """The enrichment with what a person decided before: status, category and ancestors stay as they were."""
    old = enrichment_of(before or {})
    if old.get("status") not in BY_A_PERSON:
        return enrichment
    nodes = {name: listed(old[name]) for name in ("category", "ancestors") if name in old}
    return enrichment | {"status": old["status"]} | nodes


def text_hash(text: str) -> str:
    """What tells whether a text has changed: 16 hex digits of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def nodes_of(paths: Sequence[Path]) -> list[str]:
    """Every node of the paths, leaf included, each once, as text."""
    return list(dict.fromkeys(node for path in paths for node in _nodes_of(path)))


@lru_cache(maxsize=REMEMBERED)
def _text_of(path: Path) -> str:
    return path_text(path)


@lru_cache(maxsize=REMEMBERED)
def _nodes_of(path: Path) -> tuple[str, ...]:
    return tuple(map(path_text, ancestors(path)))
