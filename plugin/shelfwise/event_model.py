"""The event model: what a shop's event log taught about which products go to the same people.

It is an index of its own, `ALIAS-events-<time>` behind the alias `ALIAS-events`: one document a product.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from elasticsearch import Elasticsearch, NotFoundError

from shelfwise.errors import IncompatibleIndex
from shelfwise.live_index import check_alias
from shelfwise.mapping import template
from shelfwise.move import take_away
from shelfwise.query import Body
from shelfwise.server import one_line, whole
from shelfwise.source import listed

SCHEMA = 1
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Learnt:
    """What the event log says of one product."""

    users: int = 0
    """People in whose history it is."""
    again: float = 0.0
    """Share of its buyers who bought it again on another occasion."""
    also: Mapping[str, float] = field(default_factory=dict)
    """Products of the same people, mostly of those who went on to them, with a score above 0."""
    together: Mapping[str, float] = field(default_factory=dict)
    """Products of the same baskets, scored by BM25 over baskets."""


class EventModel:
    """Reads the event model of an alias; without one it knows nothing, and a new one is noticed at once."""

    def __init__(self, client: Elasticsearch, alias: str) -> None:
        self._client = client
        self._alias = events_alias(alias)

    def learnt(self, ids: Sequence[str]) -> dict[str, Learnt]:
        """What is known of these products; those that the log does not have are left out.

        :raises ServerError: the server did not answer, or refused.
        """
        return self._known(ids, learnt_of)

    def counts(self, ids: Sequence[str]) -> dict[str, Learnt]:
        """As `learnt`, without the products of the same people and baskets, which weigh most.

        :raises ServerError: the server did not answer, or refused.
        """
        return self._known(ids, counts_of)

    def popular(self, size: int) -> dict[str, int]:
        """The products of most people, most first, and of how many.

        :raises ServerError: the server did not answer, or refused.
        """
        return {found["_id"]: int(found["_source"]["users"]) for found in self._found(most_popular(size))}

    def _known(self, ids: Sequence[str], body: Callable[[Sequence[str]], Body]) -> dict[str, Learnt]:
        known: dict[str, Learnt] = {}
        for start in range(0, len(ids), PAGE):
            for found in self._found(body(ids[start : start + PAGE])):
                source = found["_source"]
                known[found["_id"]] = Learnt(
                    int(source.get("users", 0)),
                    float(source.get("again", 0.0)),
                    _scores(source.get("also")),
                    _scores(source.get("together")),
                )
        return known

    def _found(self, body: Body) -> list[Mapping[str, Any]]:
        doing = f"reading the event model {self._alias}"
        with one_line(doing):
            answer = self._client.msearch(index=self._alias, searches=[{}, body], ignore_unavailable=True)
        [response] = answer.body["responses"]
        found: list[Mapping[str, Any]] = whole(response, doing)["hits"]["hits"]
        return found


def learnt_of(ids: Sequence[str]) -> Body:
    """What is known of products of these ids."""
    return {"size": len(ids), "track_total_hits": False, "query": {"ids": {"values": list(ids)}}}


def counts_of(ids: Sequence[str]) -> Body:
    """How many people products of these ids have, and how many who buy them again."""
    return {**learnt_of(ids), "_source": ["users", "again"]}


def most_popular(size: int) -> Body:
    """The products of most people first; of as many people, in the order of ids."""
    order = [
        {"users": {"order": "desc", "unmapped_type": "integer"}},
        {"id": {"order": "asc", "unmapped_type": "keyword"}},
    ]
    return {
        "size": size,
        "_source": ["users"],
        "track_total_hits": False,
        "query": {"range": {"users": {"gt": 0}}},
        "sort": order,
    }


def events_alias(alias: str) -> str:
    """The alias of the event model beside the alias of the products.

    :raises UsageError: the alias is no name that the server takes.
    """
    check_alias(alias)
    return f"{alias}-events"


def create(client: Elasticsearch, alias: str, events_hash: str) -> str:
    """An empty index for a new event model of the alias; its name.

    :param events_hash: sha256 of the event log, kept in `_meta`.
    :raises IncompatibleIndex: the name of the model's alias is taken by an index.
    """
    name = events_alias(alias)
    moment = datetime.now(UTC)
    index = f"{name}-{moment:%Y%m%d%H%M%S%f}"
    meta = {
        "schema": SCHEMA,
        "kind": "events",
        "alias": name,
        "events": events_hash,
        "created_at": moment.isoformat(timespec="milliseconds"),
    }
    body = template("events.json")
    body["mappings"]["_meta"] = {"shelfwise": meta}
    _live(client, name)
    with one_line(f"creating index {index}"):
        client.indices.create(index=index, settings=body["settings"]["index"], mappings=body["mappings"])
    take_away(client, index, None, alias)
    return index


def publish(client: Elasticsearch, alias: str, index: str) -> list[str]:
    """Let recommendations read a filled event model, in one atomic call; the one before stays, older ones go.

    What is newer than the one before may be filled by another run at this moment, and stays as well.

    :returns: the deleted indices.
    :raises ServerError: the server did not answer, or refused.
    """
    name = events_alias(alias)
    before = _live(client, name)
    with one_line(f"moving alias {name} to index {index}"):
        client.indices.refresh(index=index)
        removed: list[dict[str, Any]] = [
            {"remove": {"index": old, "alias": name, "must_exist": True}} for old in before
        ]
        client.indices.update_aliases(actions=[*removed, {"add": {"index": index, "alias": name}}])
        ours = client.indices.get(index=f"{name}-*", features=["mappings"], allow_no_indices=True).body
        made = [old for old, described in ours.items() if _meta(described).get("alias") == name]
        deleted = sorted(old for old in made if old != index and before and old < min(before))
        for old in deleted:
            client.indices.delete(index=old, ignore_unavailable=True)
    return deleted


def forget(client: Elasticsearch, alias: str) -> list[str]:
    """Delete the event models of an alias, published or not.

    :returns: the deleted indices.
    :raises ServerError: the server did not answer, or refused.
    """
    name = events_alias(alias)
    with one_line(f"deleting the event model {name}"):
        ours = client.indices.get(index=f"{name}-*", features=["mappings"], allow_no_indices=True).body
        deleted = sorted(index for index, described in ours.items() if _meta(described).get("alias") == name)
        for index in deleted:
            client.indices.delete(index=index, ignore_unavailable=True)
    return deleted


def _live(client: Elasticsearch, name: str) -> list[str]:
    with one_line(f"looking for alias {name}"):
        try:
            found = client.indices.get(index=name, features=["mappings"]).body
        except NotFoundError:
            return []
    for index, described in found.items():
        if index == name or _meta(described).get("kind") != "events":
            raise IncompatibleIndex(
                f"{name} is not an event model of shelfwise but index {index}: rename it, or choose another --alias"
            )
    return list(found)


def _meta(described: Mapping[str, Any]) -> Mapping[str, Any]:
    meta = described.get("mappings", {}).get("_meta", {}).get("shelfwise")
    return meta if isinstance(meta, Mapping) else {}


def _scores(value: object) -> dict[str, float]:
    return {str(near["id"]): float(near["score"]) for near in listed(value)}
