"""Carried over: what the live index holds already of the products that a run reads.

A product that the live index lacks may have been rejected or refused the run before: what a person decided of it is
looked for in the index that was live before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elasticsearch import Elasticsearch

from shelfwise.bundle import Bundle
from shelfwise.live_index import LiveIndex, meta_of
from shelfwise.server import one_line
from shelfwise_indexer import bulk
from shelfwise_indexer.decisions import decisions_of
from shelfwise_indexer.kept_vectors import Floats, KeptVectors

_OWN = ("vector", "similar")  # of `shelfwise`: follows from the rest


@dataclass(frozen=True, slots=True)
class Carried:
    """The live index, if there is one, the vectors that the run before kept of it, and the index that it replaced."""

    server: Elasticsearch
    live: LiveIndex | None
    bundle: str
    kept: KeptVectors
    previous: str | None = None

    @classmethod
    def of(cls, server: Elasticsearch, live: LiveIndex | None, bundle: Bundle, folder: Path) -> "Carried":
        """As the index is at this moment, what was written a moment ago included.

        :param folder: of the kept vectors.
        """
        if live is not None:
            with one_line(f"reading index {live.name}"):
                server.indices.refresh(index=live.name)
        return cls(server, live, bundle.version, KeptVectors.load(folder, bundle.dimension), _previous(server, live))

    def documents(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The documents of these products, by id, those of the bundle with their vectors; see `bulk.enrichments`."""
        if self.live is None:
            return {}
        if not len(self.kept):
            return bulk.enrichments(self.server, self.live.name, ids)  # one reading gives both
        found = bulk.enrichments(self.server, self.live.name, ids, vectors=False)
        its = {id_: one["shelfwise"] for id_, one in found.items() if one["shelfwise"].get("bundle") == self.bundle}
        rows = self.kept.find([str(enrichment.get("text_hash")) for enrichment in its.values()])
        kept = rows >= 0
        lacking = [id_ for id_, known in zip(its, kept.tolist(), strict=True) if not known]
        with_vector = [one for one, known in zip(its.values(), kept.tolist(), strict=True) if known]
        for enrichment, vector in zip(with_vector, self.kept.at(rows[kept]), strict=True):
            enrichment["vector"] = vector
        return found | bulk.enrichments(self.server, self.live.name, lacking)

    def decisions_before(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What a person decided of these products in the index before the live one: documents of that only, by id."""
        if self.previous is None or not ids:
            return {}
        return decisions_of(self.server, self.previous, ids)

    def vectors(self, text_hashes: Sequence[str]) -> Floats:
        """Kept vectors, float32 [n, dimension]; each is there."""
        return self.kept.at(self.kept.find(text_hashes))


def _previous(server: Elasticsearch, live: LiveIndex | None) -> str | None:
    """The index before the live one, if it is still there and its categories are the same."""
    if live is None or not (name := live.meta.get("previous")):
        return None
    with one_line(f"looking for index {name}"):
        found = server.indices.get(index=name, features=["mappings"], ignore_unavailable=True).body
    meta = meta_of(found.get(name, {})) or {}
    return str(name) if meta.get("taxonomy") == live.meta.get("taxonomy") and meta else None


def is_same(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> bool:
    """Whether two documents of one product say the same, but for what follows from its text: vector and neighbours."""
    return before is not None and _plain(before) == _plain(after)


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    shop = {name: value for name, value in document.items() if value is not None and name != "shelfwise"}
    own = {name: value for name, value in document["shelfwise"].items() if value is not None and name not in _OWN}
    return shop | {"shelfwise": own}
