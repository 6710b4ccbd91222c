"""Carried over: what the live index holds already of the products that a run reads.

A product that the live index lacks may have been rejected or refused the last time, or the last few times: what a
person decided of it is looked for in the indices that were live before, as long as they are there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elasticsearch import Elasticsearch

from shelfwise.bundle import Bundle
from shelfwise.live_index import LiveIndex, meta_of
from shelfwise.server import one_line
from shelfwise_indexer import bulk
from shelfwise_indexer.decisions import NOWHERE, Following, decisions_of
from shelfwise_indexer.kept_vectors import Floats, KeptVectors

_OWN = ("vector", "similar")  # of `shelfwise`: follows from the rest


@dataclass(frozen=True, slots=True)
class Carried:
    """The live index, if there is one, the vectors that the run before kept of it, and the indices before it."""

    server: Elasticsearch
    live: LiveIndex | None
    bundle: str
    kept: KeptVectors
    previous: Mapping[str, Following] = field(default_factory=dict)
    """By name, the last first."""
    following: Following = NOWHERE

    @classmethod
    def of(cls, server: Elasticsearch, live: LiveIndex | None, bundle: Bundle, folder: Path) -> "Carried":
        """As the index is at this moment, what was written a moment ago included.

        :param folder: of the kept vectors.
        """
        if live is not None:
            with one_line(f"reading index {live.name}"):
                server.indices.refresh(index=live.name)
        kept, following = KeptVectors.load(folder, bundle.dimension), Following.of(live, bundle)
        return cls(server, live, bundle.version, kept, _previous(server, live, bundle), following)

    def documents(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The documents of these products, by id, those of the bundle with their vectors; see `bulk.enrichments`.

        What a person decided is what became of it in the bundle's taxonomy.
        """
        return _followed(self._documents(ids), self.following)

    def _documents(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
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
        """What a person decided of these products in the last index that had them: documents of that only, by id."""
        found: dict[str, dict[str, Any]] = {}
        for name, following in self.previous.items():
            if lacking := [id_ for id_ in ids if id_ not in found]:
                found |= _followed(decisions_of(self.server, name, lacking), following)
        return found

    def vectors(self, text_hashes: Sequence[str]) -> Floats:
        """Kept vectors, float32 [n, dimension]; each is there."""
        return self.kept.at(self.kept.find(text_hashes))


def _followed(documents: Mapping[str, dict[str, Any]], following: Following) -> dict[str, dict[str, Any]]:
    return {id_: following.document(document) for id_, document in documents.items()}


def _previous(server: Elasticsearch, live: LiveIndex | None, bundle: Bundle) -> dict[str, Following]:
    """The indices before the live one, the last first, back to one that is gone."""
    found: dict[str, Following] = {}
    index = live
    while index and (name := index.meta.get("previous")) and name not in found:
        with one_line(f"looking for index {name}"):
            there = server.indices.get(index=name, features=["mappings"], ignore_unavailable=True).body
        meta = meta_of(there.get(name, {}))
        index = None if meta is None else LiveIndex(name, meta)
        if index:
            found[index.name] = Following.of(index, bundle)
    return found


def is_same(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> bool:
    """Whether two documents of one product say the same, but for what follows from its text: vector and neighbours."""
    return before is not None and _plain(before) == _plain(after)


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    shop = {name: value for name, value in document.items() if value is not None and name != "shelfwise"}
    own = {name: value for name, value in document["shelfwise"].items() if value is not None and name not in _OWN}
    return shop | {"shelfwise": own}
