"""Decisions: what people confirm or correct in the live index while the next one is made goes live with that.

Where the next one is of a bundle that changes of the taxonomy made of the live one's, decisions follow these changes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from elasticsearch import Elasticsearch

from shelfwise.bundle import Bundle
from shelfwise.errors import ServerError
from shelfwise.live_index import LiveIndex
from shelfwise.server import one_line
from shelfwise.source import enrichment_of
from shelfwise_indexer import bulk
from shelfwise_indexer.bundle_migration import changes_since
from shelfwise_indexer.enrich import BY_A_PERSON, DECISION, keep_decision
from shelfwise_indexer.index_migration import followed
from shelfwise_indexer.taxonomy_changes import Changes

FIELDS = [f"shelfwise.{name}" for name in DECISION]
DECIDED = {"terms": {"shelfwise.status": list(BY_A_PERSON)}}


@dataclass(frozen=True, slots=True)
class Following:
    """The changes of the taxonomy that lead from an index's categories to those of a run's bundle; often none."""

    changes: Changes

    @classmethod
    def of(cls, index: LiveIndex | None, bundle: Bundle) -> "Following":
        """Those from the index to a run with this bundle."""
        return NOWHERE if index is None else cls(changes_since(index.meta, bundle))

    def document(self, before: dict[str, Any]) -> dict[str, Any]:
        """A document of the index, what a person decided of it after the changes; open where that was split."""
        decision = keep_decision({}, before) if self.changes.changes else {}
        if "category" not in decision:
            return before
        after = followed(decision, self.changes, multi_label=False)
        return {**bulk.of_shop(before), "shelfwise": {**enrichment_of(before), **after}}


NOWHERE = Following(Changes(()))


def carry_decisions(
    server: Elasticsearch, live: str, new: str, following: Following = NOWHERE
) -> dict[str, dict[str, Any]]:
    """Write the decisions that the live index holds into one that is not live yet, where they differ.

    Products that the new index does not have are passed over.

    :returns: those that differed, by id.
    :raises ServerError: the server did not answer, or somebody else writes into the new index.
    """
    differing: dict[str, dict[str, Any]] = {}
    decided = _decided(server, live, following)
    for page in iter(lambda: dict(islice(decided, bulk.PAGE)), {}):
        with one_line(f"comparing the decisions of index {new}"):
            found = server.search(
                index=new,
                size=bulk.PAGE,
                query={"ids": {"values": list(page)}},
                source_includes=FIELDS,
                seq_no_primary_term=True,
                track_total_hits=False,
                allow_partial_search_results=False,  # a product that is not found is passed over
            )["hits"]["hits"]
        updates = [
            bulk.Update(hit["_id"], hit["_seq_no"], hit["_primary_term"], {"shelfwise": decision})
            for hit in found
            if not (decision := page[hit["_id"]]).items() <= enrichment_of(hit["_source"]).items()
        ]
        if bulk.update(server, new, updates):
            raise ServerError(f"somebody else writes into index {new}: the alias was not moved; run the same again")
        differing |= {one.id: page[one.id] for one in updates}
    if differing:
        with one_line(f"refreshing index {new}"):
            server.indices.refresh(index=new)
    return differing


def decisions_of(server: Elasticsearch, index: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Status and categories of those of these products that an index has, by id; nothing once the index is gone.

    :raises ServerError: the server did not answer, or refused.
    """
    with one_line(f"reading the decisions of index {index}"):
        answer = server.search(
            index=index,
            ignore_unavailable=True,
            size=len(ids),
            query={"ids": {"values": list(ids)}},
            source_includes=FIELDS,
            track_total_hits=False,
            allow_partial_search_results=False,
        )
    return {hit["_id"]: hit["_source"] for hit in answer["hits"]["hits"]}


def known_nowhere_else(server: Elasticsearch, old: Sequence[str], kept: Sequence[str]) -> list[str]:
    """The products that people decided on in one of the old indices and that none of the kept ones has, in order of id.

    :raises ServerError: the server did not answer, or refused.
    """
    lacking, seen = set[str](), set[str]()
    for index in old:
        ids = (id_ for id_ in bulk.ids(server, index, DECIDED) if id_ not in seen)
        while page := list(islice(ids, bulk.PAGE)):
            absent = set(page)
            for name in kept:
                absent -= decisions_of(server, name, sorted(absent)).keys()
            lacking |= absent
            seen.update(page)
    return sorted(lacking)


def _decided(server: Elasticsearch, index: str, following: Following) -> Iterator[tuple[str, dict[str, Any]]]:
    """What people decided of the products of an index, by id."""
    doing = f"reading the decisions of index {index}"
    with one_line(doing):
        server.indices.refresh(index=index)
    query = {"query": DECIDED, "_source": FIELDS}
    for hit in bulk.scanned(server, index, doing, query):
        if decision := keep_decision({}, following.document(hit["_source"])):
            yield hit["_id"], decision
