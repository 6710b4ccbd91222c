"""Index migration: the documents behind an alias follow the changes of a taxonomy, in place and without encoding.

Others may write to the index meanwhile: each document is updated only as it was read (`if_seq_no`), and only in its
object `shelfwise`. What is there already carries the new bundle's version, so that a killed run goes on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from elasticsearch import Elasticsearch

from shelfwise.bundle import Bundle
from shelfwise.errors import IncompatibleIndex, ServerError
from shelfwise.live_index import LiveIndex, live, rewrite_meta
from shelfwise.messages import Complaints
from shelfwise.server import one_line
from shelfwise.source import OWN, OWN_DOTTED, enrichment_of, listed
from shelfwise.taxonomy import Path, parse_path, path_text
from shelfwise_indexer import bulk
from shelfwise_indexer.enrich import nodes_of
from shelfwise_indexer.taxonomy_changes import Changes

PAGE = 500
KEEP_ALIVE = "5m"
PASSES = 20  # over what others changed between reading and writing


@dataclass(frozen=True, slots=True)
class MigratedIndex:
    """What was done."""

    index: str
    updated: int
    again: int
    """Documents that others wrote between reading and writing, read once more."""

    def to_json(self) -> dict[str, Any]:
        """What `shelfwise taxonomy migrate` prints of it."""
        return {"index": self.index, "updated": self.updated, "again": self.again}


def migrate_index(client: Elasticsearch, alias: str, before: Bundle, after: Bundle, changes: Changes) -> MigratedIndex:
    """Let the live index follow, and then belong to the bundle after the changes.

    Until all documents have followed, `_meta` names the bundle before, so that its searches go on: a filter by a name
    that changes finds on the way only the documents that still, or already, have it. The shop's own `category` is left
    as it is, and so are vectors, neighbours and everything outside `shelfwise`. What a person confirmed or corrected
    follows too, also of a product that the shop put there itself and no run has read; only a category that was split
    makes a product wait for review.

    :raises UsageError: there is no such alias.
    :raises IncompatibleIndex: its index belongs to neither bundle, or is on its way to another.
    :raises ServerError: the server did not answer or refused a document; the same call goes on.
    """
    index = live(client, alias)
    check_belongs(index, before.version, after.version)
    if index.meta.get("bundle") == before.version and "migrating_to" not in index.meta:
        rewrite_meta(client, index.name, {"migrating_to": after.version})
    updated, again, complaints = 0, 0, Complaints("categories that are none")
    for _ in range(PASSES):
        left = 0
        for page in _pages(client, index.name, before.version):
            for strange in _strange(page):
                complaints.add(f"index {index.name}: {strange}: it stays as it is; correct that product")
            updates = [update for hit in page if (update := _update(hit, changes, after))]
            conflicts = bulk.update(client, index.name, updates)
            left += conflicts
            updated += len(updates) - conflicts
        again += left
        with one_line(f"refreshing index {index.name}"):
            client.indices.refresh(index=index.name)
            remaining = max(left, client.count(index=index.name, query=_of(before.version))["count"])
        if not remaining:
            break
    else:
        raise ServerError(
            f"index {index.name}: {remaining} products were changed by others whenever they were to be updated: "
            "run the same again to go on"
        )
    complaints.end()
    if live(client, alias).name != index.name:
        raise ServerError(f"alias {alias} was moved away from index {index.name} meanwhile: run the same again")
    if index.meta.get("bundle") != after.version:
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        rewrite_meta(
            client,
            index.name,
            {
                "bundle": after.version,
                "taxonomy": after.taxonomy.hash,
                "migrating_to": None,
                "migrated_from": before.version,
                "migrated_at": moment,
            },
        )
    return MigratedIndex(index.name, updated, again)


def check_belongs(index: LiveIndex, before: str, after: str) -> None:
    """:raises IncompatibleIndex: the index belongs to neither bundle (versions), or is on its way to another."""
    theirs, goal = index.meta.get("bundle"), index.meta.get("migrating_to")
    if theirs not in (before, after):
        raise IncompatibleIndex(
            f"index {index.name} was written with bundle {theirs}, the changes are made to {before}: "
            "give --bundle the one in its _meta"
        )
    if goal not in (None, after):
        raise IncompatibleIndex(
            f"index {index.name} is on its way to bundle {goal}, not to {after}: end that migration first, "
            "with the changes that it began with"
        )


def followed(enrichment: Mapping[str, Any], changes: Changes, multi_label: bool) -> dict[str, Any]:
    """The fields of `shelfwise` that hold categories, after the changes.

    Of merged candidates the probabilities add up (of several labels: at least one of them). A product that was in
    review stays there, filed under what its node became. What is no path stays as it is.
    """
    paths = [_path_of(text) for text in listed(enrichment.get("category"))]
    nodes = [_path_of(text) for text in listed(enrichment.get("ancestors"))]
    after = [changes.follow(path) for path in paths]
    deepest = [node for node in nodes if not any(len(o) > len(node) and o[: len(node)] == node for o in nodes)]
    filed = [one.path for one in after] + [changes.follow(node).path for node in deepest]
    new: dict[str, Any] = {
        "category": list(dict.fromkeys(path_text(one.path) for one in after if one.decided)),
        "ancestors": nodes_of(filed),
    }
    if not all(one.decided for one in after):
        new["status"] = "review"
    if candidates := _candidates(listed(enrichment.get("candidates")), changes, multi_label):
        new |= {"candidates": candidates, "confidence": candidates[0]["probability"]}
    return new


def _path_of(text: object) -> Path:
    """A path; of what is none, one that no change takes anywhere."""
    try:
        return parse_path(text)
    except ValueError:
        return (str(text),)


def _is_path(text: object) -> bool:
    try:
        parse_path(text)
    except ValueError:
        return False
    return True


def _strange(page: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What stands among the categories of products, or the nodes above them, and is no path."""
    for hit in page:
        enrichment = enrichment_of(hit["_source"])
        texts = [*listed(enrichment.get("category")), *listed(enrichment.get("ancestors"))]
        for text in dict.fromkeys(str(text) for text in texts if not _is_path(text)):
            yield f"product {hit['_id']}: {text!r} is no category"


def _candidates(before: Sequence[Mapping[str, Any]], changes: Changes, multi_label: bool) -> list[dict[str, Any]]:
    parts: dict[Path, list[float]] = {}
    for one in before:
        path = changes.follow(_path_of(one["category"])).path
        parts.setdefault(path, []).append(float(one["probability"]))
    joined = {path: _joined(probabilities, multi_label) for path, probabilities in parts.items()}
    order = sorted(joined, key=lambda path: -joined[path])
    return [{"category": path_text(path), "probability": joined[path]} for path in order]


def _joined(probabilities: Sequence[float], multi_label: bool) -> float:
    if len(probabilities) == 1:
        return probabilities[0]
    if not multi_label:
        return round(min(sum(probabilities), 1.0), 4)
    none_of = 1.0
    for probability in probabilities:
        none_of *= 1 - probability
    return round(1 - none_of, 4)


def _update(hit: Mapping[str, Any], changes: Changes, after: Bundle) -> bulk.Update | None:
    """What makes a document follow; None: it has followed, or has no need to."""
    source = hit["_source"]
    old = enrichment_of(source)
    new = followed(old, changes, after.multi_label)
    if "bundle" in old:
        new["bundle"] = after.version
    elif all(listed(old.get(name)) == listed(value) for name, value in new.items()):
        return None
    dotted = {name: value for part, value in new.items() if (name := f"{OWN_DOTTED}{part}") in source}
    return bulk.Update(hit["_id"], hit["_seq_no"], hit["_primary_term"], {OWN: new} | dotted)


def _of(version: str) -> dict[str, Any]:
    return {"term": {"shelfwise.bundle": {"value": version}}}


def _filed_by_others() -> dict[str, Any]:
    """Products with categories that no bundle gave them: put there by the shop, and decided on by a person."""
    filed = [{"exists": {"field": f"shelfwise.{name}"}} for name in ("category", "ancestors")]
    return {"bool": {"must_not": {"exists": {"field": "shelfwise.bundle"}}, "should": filed, "minimum_should_match": 1}}


def _pages(client: Elasticsearch, index: str, version: str) -> Iterator[list[Mapping[str, Any]]]:
    """The documents that a bundle wrote, and that no bundle did, as they were at one moment, without vectors."""
    fields = ("category", "ancestors", "candidates", "status", "bundle")
    with one_line(f"reading index {index}"):
        client.indices.refresh(index=index)
        pit = client.open_point_in_time(index=index, keep_alive=KEEP_ALIVE)["id"]
    try:
        after: list[Any] | None = None
        while True:
            with one_line(f"reading index {index}"):
                answer = client.search(
                    size=PAGE,
                    query={"bool": {"should": [_of(version), _filed_by_others()]}},
                    source_includes=[f"shelfwise.{name}" for name in fields],
                    seq_no_primary_term=True,
                    pit={"id": pit, "keep_alive": KEEP_ALIVE},
                    sort=[{"_shard_doc": "asc"}],
                    search_after=after,
                    track_total_hits=False,
                    allow_partial_search_results=False,
                )
            page = answer["hits"]["hits"]
            if page:
                yield page
            if len(page) < PAGE:
                return
            after = page[-1]["sort"]
    finally:
        with one_line(f"reading index {index}"):
            client.close_point_in_time(id=pit)
