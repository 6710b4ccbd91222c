"""The index: created with its mapping and `_meta`, filled, swapped behind its alias, rolled back.

An alias has one live index. `<alias>-<time>-<bundle>` is filled while the live one serves; one atomic call swaps them.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

from elastic_transport import TransportError
from elasticsearch import ApiError, BadRequestError, ConnectionTimeout, Elasticsearch

from shelfwise.bundle import Bundle
from shelfwise.errors import IncompatibleIndex, ServerError, UsageError
from shelfwise.live_index import LiveIndex, check_alias, described, find, live, meta_of, rewrite_meta
from shelfwise.mapping import SCHEMA, SIMILARITY, index_body, index_settings, mapping_hash
from shelfwise.messages import SAID
from shelfwise.move import move, take_away
from shelfwise.position import position, since
from shelfwise.server import one_line, server_version, takes_flat_threshold
from shelfwise.write_block import blocks, release

FILLING: dict[str, Any] = {"refresh_interval": "-1", "auto_expand_replicas": "false", "number_of_replicas": 0}
ANY = "*"  # whichever index is live
FINISH_TIMEOUT = 1800.0  # seconds
MERGE_TIMEOUT = 3600.0  # seconds that merging is waited for


def create_index(client: Elasticsearch, alias: str, bundle: Bundle, catalogue_hash: str, run: str | None = None) -> str:
    """Create an index to fill, and give its name. It refreshes never and has no replica until `finish`.

    :param catalogue_hash: sha256 of the catalogue file.
    :param run: what no other run has, by which `unfinished` finds the index again.
    :raises UsageError: the alias is no name that the server takes.
    :raises IncompatibleIndex: the alias is a plain index.
    """
    check_alias(alias)
    current = find(client, alias)
    flat_threshold = takes_flat_threshold(client)

    def create(name: str, meta: Mapping[str, Any]) -> None:
        body = index_body(bundle.dimension, meta, flat_threshold)
        client.indices.create(index=name, settings=body["settings"]["index"] | FILLING, mappings=body["mappings"])
        take_away(client, name, current.name if current else None, alias)

    return named_anew(alias, bundle, catalogue_hash, create, run)


def named_anew(
    alias: str,
    bundle: Bundle,
    catalogue_hash: str,
    make: Callable[[str, Mapping[str, Any]], object],
    run: str | None = None,
) -> str:
    """Make an index of an alias under a name that is free, and give that name.

    :param make: makes the index of this name with this `_meta`.
    """
    moment = datetime.now(UTC).replace(microsecond=0)
    for later in range(10):  # two runs may begin in the same second; the name is a label, not a clock
        created_at = moment + timedelta(seconds=later)
        name = f"{alias}-{created_at:%Y%m%d%H%M%S}-{bundle.version[:8]}"
        meta = {
            "schema": SCHEMA,
            "alias": alias,
            "bundle": bundle.version,
            "dimension": bundle.dimension,
            "similarity": SIMILARITY,
            "mapping": mapping_hash(),
            "taxonomy": bundle.taxonomy.hash,
            "catalogue": catalogue_hash,
            "run": run,
            "state": "filling",
            "previous": None,
            "created_at": created_at.isoformat(),
        }
        with one_line(f"creating index {name}"):
            try:
                make(name, meta)
            except BadRequestError as error:
                if error.error != "resource_already_exists_exception":
                    raise
            else:
                return name
    raise ServerError(f"ten indices of alias {alias} were created within the last seconds: wait a moment, try again")


def finish(client: Elasticsearch, name: str, segments: int | None = None) -> bool:
    """Make a filled index ready to serve: its own settings back, its documents visible.

    :param segments: merge each shard down to so many segments; default: the server merges as it likes.
    :returns: False if that took more than MERGE_TIMEOUT seconds: the index is ready, and the server merges on.
    :raises ServerError: a shard failed, or the rest took more than FINISH_TIMEOUT seconds.
    """
    patient = client.options(request_timeout=FINISH_TIMEOUT, max_retries=0)
    with one_line(f"finishing index {name}"):
        patient.indices.put_settings(index=name, settings=after_filling(index_settings()))
        _whole(patient.indices.refresh(index=name).body, name)
    if segments is None:
        return True
    merging = client.options(request_timeout=MERGE_TIMEOUT, max_retries=0)
    with one_line(f"merging index {name}"):
        try:
            _whole(merging.indices.forcemerge(index=name, max_num_segments=segments).body, name)
        except ConnectionTimeout:
            return False
        _whole(patient.indices.refresh(index=name).body, name)
    return True


def after_filling(own: Mapping[str, Any]) -> dict[str, Any]:
    """What ends FILLING: an index's own settings; None, the server's default, for those that it leaves open.

    Where the server chooses the number of replicas it is not set.
    """
    expands = str(own.get("auto_expand_replicas", "false")).lower() != "false"
    return {key: own.get(key) for key in FILLING if not (expands and key == "number_of_replicas")}


def swap(client: Elasticsearch, alias: str, new: str, expected: str | None = ANY) -> None:
    """Let the alias stand for another index, in one atomic call; the one before stays, for `rollback`.

    :param expected: the index that the new one was made to replace; None: there was none.
    :raises IncompatibleIndex: `new` is not an index of this alias, or the alias is a plain index.
    :raises ServerError: somebody else moved the alias meanwhile; nothing was changed.
    """
    check_alias(alias)
    current = find(client, alias)
    name = current.name if current else None
    if expected not in (ANY, name):
        raise ServerError(
            f"somebody else moved alias {alias} from {expected or 'no index'} to {name or 'no index'} meanwhile; "
            "nothing was changed: if what is live now is older than yours, run the same command again; "
            f"index {new} can be deleted"
        )
    if name == new:
        raise UsageError(f"alias {alias} already stands for index {new}")
    meta = dict(described(client, new).meta)
    if meta.get("alias") != alias:
        raise IncompatibleIndex(f"index {new} was made for alias {meta.get('alias')}, not for {alias}")
    meta |= {
        "state": "complete",
        "previous": name,
        "completed_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "went_live_at": position(client, new),
    }
    with one_line(f"writing _meta of index {new}"):
        client.indices.put_mapping(index=new, meta={"shelfwise": meta})
    move(client, alias, name, new)


def rollback(client: Elasticsearch, alias: str) -> str:
    """Let the alias stand for the index before the live one again, and give that index's name.

    :raises UsageError: there is none before, or it was deleted.
    """
    current = live(client, alias)
    before = current.meta.get("previous")
    if not before:
        raise UsageError(f"alias {alias} has nothing to go back to: {current.name} replaced none")
    with one_line(f"looking for index {before}"):
        if not client.indices.exists(index=before):
            raise UsageError(f"alias {alias} cannot go back to {before}: that index was deleted")
    going_back_to = described(client, before)
    release(client, going_back_to)
    move(client, alias, current.name, going_back_to.name)
    return str(before)


def written_since_live(client: Elasticsearch, index: LiveIndex) -> tuple[int, list[str]] | None:
    """How many products were written into an index since it went live, and the ids of the first SAID.

    None: not known. After `rollback` they are as they were before.
    """
    began = index.meta.get("went_live_at")
    if not began:
        return None
    count, ids = 0, []
    try:
        client.indices.refresh(index=index.name)
        for preference, newer in since(began, position(client, index.name)):
            found = client.search(
                index=index.name, preference=preference, query=newer, size=SAID, source=False, track_total_hits=True
            )["hits"]
            count += int(found["total"]["value"])
            ids += [str(hit["_id"]) for hit in found["hits"]]
    except (ApiError, TransportError):
        return None
    return count, sorted(ids)[:SAID]


def status(client: Elasticsearch, alias: str) -> dict[str, Any]:
    """What is live: index, bundle, counts, versions, and the alias's other indices, as JSON has it."""
    current = live(client, alias)
    with one_line(f"counting index {current.name}"):
        counted = client.search(
            index=current.name,
            size=0,
            track_total_hits=True,
            allow_partial_search_results=False,
            aggs={
                "status": {"terms": {"field": "shelfwise.status", "size": 100}},
                "vectors": {"filter": {"exists": {"field": "shelfwise.vector"}}},
            },
        )
    products = int(counted["hits"]["total"]["value"])
    by_status = {str(part["key"]): int(part["doc_count"]) for part in counted["aggregations"]["status"]["buckets"]}
    if without := products - sum(by_status.values()):
        by_status["none"] = without
    described = ("bundle", "dimension", "similarity", "taxonomy", "catalogue", "schema", "state", "created_at")
    indices = _indices_of(client, alias)
    return {
        "alias": alias,
        "index": current.name,
        **{name: current.meta.get(name) for name in described},
        "products": products,
        "vectors": int(counted["aggregations"]["vectors"]["doc_count"]),
        "by_status": by_status,
        "previous": current.meta.get("previous"),
        "blocks": blocks(client, current.name),
        "others": [index.name for index in indices if index.name != current.name],
        "filling": [index.name for index in indices if _is_being_filled(index)],
        "server": server_version(client),
        "client": version("elasticsearch"),
    }


def unfinished(client: Elasticsearch, alias: str, bundle: Bundle, catalogue_hash: str, run: str) -> str | None:
    """The newest index that an interrupted run of the same bundle, catalogue and mapping left, to be filled further.

    It is that run's own: what another one left, that may still be filling. One that was about to go live, or went live
    and had nothing written into it there, is being filled again from then on.

    :param run: as it was given to `create_index`.
    """
    check_alias(alias)
    wanted = {
        "run": run,
        "bundle": bundle.version,
        "catalogue": catalogue_hash,
        "mapping": mapping_hash(),
        "schema": SCHEMA,
    }
    left = [
        index
        for index in _indices_of(client, alias)
        if wanted.items() <= index.meta.items() and _is_as_filled(client, index)
    ]
    if not left:
        return None
    if left[-1].meta.get("state") != "filling":
        rewrite_meta(client, left[-1].name, {"state": "filling", "completed_at": None, "went_live_at": None})
    return left[-1].name


def _is_as_filled(client: Elasticsearch, index: LiveIndex) -> bool:
    if index.meta.get("state") == "filling":
        return True
    about_to_go_live = index.meta.get("went_live_at")
    return about_to_go_live is not None and about_to_go_live == position(client, index.name)


def being_filled(client: Elasticsearch, alias: str) -> list[str]:
    """Indices of the alias that runs fill at this moment, or that runs left which were interrupted."""
    return [index.name for index in _indices_of(client, alias) if _is_being_filled(index)]


def _is_being_filled(index: LiveIndex) -> bool:
    """Also of a clone that was not even told that it is one: what it says of itself, it has of its original."""
    return index.meta.get("state") == "filling" or index.meta.get("cloning") not in (None, True, index.name)


def superseded(client: Elasticsearch, alias: str) -> list[str]:
    """Indices of the alias that neither serve nor would after a rollback: those older than the one before the live."""
    current = live(client, alias)
    indices = _indices_of(client, alias)
    names = [index.name for index in indices]
    before = current.meta.get("previous")
    oldest_kept = before if before in names else current.name
    older = names[: names.index(oldest_kept)] if oldest_kept in names else []
    return [name for name in older if name != current.name]


def _indices_of(client: Elasticsearch, alias: str) -> list[LiveIndex]:
    """The indices that shelfwise made for the alias, oldest first."""
    with one_line(f"listing the indices of alias {alias}"):
        found = client.indices.get(
            index=f"{alias}-*", features=["mappings"], expand_wildcards="open", allow_no_indices=True
        ).body
    made = [LiveIndex(name, meta) for name, description in found.items() if (meta := meta_of(description)) is not None]
    return sorted((index for index in made if index.meta.get("alias") == alias), key=_age)


def _age(index: LiveIndex) -> tuple[str, str]:
    return str(index.meta.get("created_at")), index.name


def _whole(answer: Mapping[str, Any], name: str) -> None:
    failed = answer["_shards"].get("failed", 0)
    if failed:
        raise ServerError(f"finishing index {name}: {failed} of {answer['_shards']['total']} shards failed")
