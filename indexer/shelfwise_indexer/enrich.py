"""Enrichment: a product, its vector and its category probabilities become the document that is searched."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from shelfwise.bundle import Bundle
from shelfwise.product import Product
from shelfwise.source import enrichment_of, listed
from shelfwise.taxonomy import Path, Taxonomy, ancestors, path_text
from shelfwise_indexer.reliability import certainty

CANDIDATES = 5
BY_A_PERSON = ("confirmed", "corrected")
DECISION = ("status", "category", "ancestors")  # the fields that say what a person decided
REMEMBERED = 1 << 16  # paths whose texts are not put together again
Document = dict[str, Any]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Enricher:
    """What turns predictions into the `shelfwise` object: the bundle's taxonomy, threshold and version."""

    taxonomy: Taxonomy
    threshold: float
    bundle: str
    thresholds: Floats | None = None
    """float32 [leaves], least `reliability.certainty` that is accepted; default: a probability of `threshold`."""
    label_thresholds: Floats | None = None
    """float32 [leaves], where a product may be in several categories: those from which it gets a further leaf."""
    further_threshold: float = 0.0
    """The least probability of a further leaf that is accepted; 1: none ever is."""

    @classmethod
    def of(cls, bundle: Bundle) -> "Enricher":
        """The one of a bundle."""
        limits = bundle.thresholds, bundle.label_thresholds, bundle.further_threshold
        return cls(bundle.taxonomy, bundle.threshold, bundle.version, *limits)

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
        best = most_probable(self.taxonomy, probabilities)
        candidates = [{"category": _text_of(leaf), "probability": round(likely, 4)} for leaf, likely in best]
        confidence = best[0][1]
        filed: Sequence[Path] = product.categories
        accepted, status = filed, "accepted"
        if not filed:
            filed = given_leaves(self.taxonomy, probabilities, self.label_thresholds)
            accepted = [filed[0], *(leaf for leaf in filed[1:] if self._accepts_further(probabilities, leaf))]
            if unread or not self._accepts(probabilities):
                status, accepted, filed = "review", [], [] if unread else self._sure_nodes(probabilities)
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

    def _accepts(self, probabilities: Floats) -> bool:
        least = self.threshold if self.thresholds is None else float(self.thresholds[probabilities.argmax()])
        no_rival = self.thresholds is None or self.label_thresholds is not None
        [certain] = certainty(probabilities[np.newaxis], no_rival).tolist()
        return certain >= least and least < 1.0  # 1.0: nothing was ever certain enough

    def _accepts_further(self, probabilities: Floats, leaf: Path) -> bool:
        likely = float(probabilities[self.taxonomy.leaf_number[leaf]])
        return likely >= self.further_threshold and self.further_threshold < 1.0

    def _sure_nodes(self, probabilities: Floats) -> list[Path]:
        several = self.label_thresholds is not None
        [sums] = self.taxonomy.node_probabilities(probabilities[np.newaxis], several)
        sure = [
            (len(node), float(total), node)
            for node, total in zip(self.taxonomy.nodes, sums, strict=True)
            if total >= self.threshold
        ]
        return [max(sure)[-1]] if sure else []  # below a threshold of a half, several may be sure: the most probable


def most_probable(taxonomy: Taxonomy, probabilities: Floats) -> list[tuple[Path, float]]:
    """The CANDIDATES most probable leaves with their probabilities, best first, out of float32 [leaves]."""
    # Among those that none of the others is above; of equals the first leaf comes first.
    last = np.partition(probabilities, -CANDIDATES)[-CANDIDATES] if len(probabilities) > CANDIDATES else -np.inf
    among = np.flatnonzero(probabilities >= last)
    best = among[np.argsort(-probabilities[among], kind="stable")[:CANDIDATES]]
    return [(taxonomy.leaves[leaf], float(probabilities[leaf])) for leaf in best]


def given_leaves(taxonomy: Taxonomy, probabilities: Floats, label_thresholds: Floats | None = None) -> list[Path]:
    """The predicted leaves of a product, most probable first, never none: the best, and with several labels those above
    their thresholds.
    """
    best = int(probabilities.argmax())
    if label_thresholds is None:
        return [taxonomy.leaves[best]]
    # 1.0: none is ever given; in float32 a probability may be 1, too.
    passed = np.flatnonzero((probabilities >= label_thresholds) & (label_thresholds < 1.0))
    further = passed[np.argsort(-probabilities[passed], kind="stable")]
    return [taxonomy.leaves[number] for number in (best, *further[further != best])]


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
