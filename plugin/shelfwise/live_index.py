"""The live index: the one that an alias stands for, known by its `_meta`, and whether a bundle belongs with it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from elasticsearch import Elasticsearch, NotFoundError

from shelfwise.bundle import Bundle
from shelfwise.columns import has_columns
from shelfwise.errors import IncompatibleIndex, ServerError, UsageError
from shelfwise.mapping import SCHEMA
from shelfwise.server import one_line

_ALIAS = re.compile(r'[^\s\\/*?"<>|,#:A-Z+_.-][^\s\\/*?"<>|,#:A-Z]{0,149}')


@dataclass(frozen=True, slots=True)
class LiveIndex:
    """The index behind an alias, and what its `_meta` says of it."""

    name: str
    meta: Mapping[str, Any]
    columns: bool = False
    """Whether all that a hit shows can be read without whole documents; see `columns`."""


def live(client: Elasticsearch, alias: str) -> LiveIndex:
    """The index that the alias stands for.

    :raises UsageError: there is no such alias.
    :raises IncompatibleIndex: it is a plain index, stands for several, or for one that shelfwise did not make or
        that a newer shelfwise made.
    """
    check_alias(alias)
    found = find(client, alias)
    if found is None:
        raise UsageError(
            f"there is no alias {alias}: `shelfwise index CATALOGUE --bundle BUNDLE --alias {alias}` makes it"
        )
    return found


def check_compatible(index: LiveIndex, bundle: Bundle) -> None:
    """Refuse a bundle whose vectors do not belong with those of the index.

    :raises IncompatibleIndex: dimension or version differ; the message says what to do.
    """
    theirs = str(index.meta.get("bundle"))
    if index.meta.get("dimension") != bundle.dimension:
        differs = f"was trained for {bundle.dimension} dimensions, index {index.name} has {index.meta.get('dimension')}"
    elif theirs != bundle.version:
        differs = f"is version {bundle.version}, index {index.name} was written with {theirs}"
    else:
        return
    raise IncompatibleIndex(
        f"bundle {bundle.path} {differs}: re-index with this bundle, "
        f"or point --bundle, in Python Bundle.load, at the one in its _meta ({theirs})"
    )


def check_not_migrated(client: Elasticsearch, alias: str, index: LiveIndex) -> None:
    """:raises ServerError: the live index was taken towards another bundle since it was read."""
    now = find(client, alias)
    if now is None or now.name != index.name:
        return  # `swap` refuses that
    for key in ("bundle", "migrating_to"):
        if now.meta.get(key) != index.meta.get(key):
            goal = now.meta.get("migrating_to") or now.meta.get("bundle")
            raise ServerError(
                f"`taxonomy migrate` takes index {index.name} to bundle {goal} meanwhile, or has taken it there; alias "
                f"{alias} was not moved: once the migration is done, run the same again with that bundle"
            )


def check_alias(alias: str) -> None:
    """:raises UsageError: the alias is no name that the server takes, or names several by a pattern."""
    if not _ALIAS.fullmatch(alias) or alias != alias.lower():
        raise UsageError(
            f"{alias!r} cannot be an alias: expected at most 150 small letters, digits, '-', '_' or '.', "
            "beginning with a letter or digit"
        )


def find(client: Elasticsearch, alias: str) -> LiveIndex | None:
    """The index that the alias stands for; None: the name is free.

    :raises IncompatibleIndex: as `live`.
    """
    with one_line(f"looking for alias {alias}"):
        try:
            found = client.indices.get(index=alias, features=["aliases", "mappings"]).body
        except NotFoundError:
            return None
    if alias in found:
        raise IncompatibleIndex(
            f"{alias} is a plain index, not an alias: choose another --alias, or rename it "
            f"(POST _reindex into another index, then DELETE {alias}) and index again"
        )
    if len(found) > 1:
        raise IncompatibleIndex(
            f"alias {alias} stands for {len(found)} indices ({', '.join(sorted(found))}): "
            "shelfwise needs one; remove the alias from the others, or choose another --alias"
        )
    [(name, description)] = found.items()
    return _checked(name, description)


def described(client: Elasticsearch, name: str) -> LiveIndex:
    """An index by its own name, and what its `_meta` says of it."""
    with one_line(f"reading _meta of index {name}"):
        found = client.indices.get(index=name, features=["aliases", "mappings"]).body
    return _checked(name, found[name])


def rewrite_meta(client: Elasticsearch, name: str, changes: Mapping[str, Any]) -> None:
    """Change what `_meta` says of an index; None takes a key out, the other keys stay."""
    kept = {key: value for key, value in described(client, name).meta.items() if key not in changes}
    new = {key: value for key, value in changes.items() if value is not None}
    with one_line(f"writing _meta of index {name}"):
        client.indices.put_mapping(index=name, meta={"shelfwise": kept | new})


def _checked(name: str, description: Mapping[str, Any]) -> LiveIndex:
    meta = meta_of(description)
    if meta is None:
        raise IncompatibleIndex(
            f"index {name} was not made by shelfwise (no _meta.shelfwise): "
            "`shelfwise index CATALOGUE` into an alias of its own makes one"
        )
    schema = meta.get("schema")
    if not isinstance(schema, int) or schema > SCHEMA:
        raise IncompatibleIndex(
            f"index {name} has schema {schema}, this shelfwise knows {SCHEMA}: "
            "pip install --upgrade shelfwise, or index into another alias"
        )
    return LiveIndex(name, meta, has_columns(description["mappings"]))


def meta_of(description: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What `_meta` says of an index, from its description; None where shelfwise did not make it."""
    meta = description.get("mappings", {}).get("_meta", {}).get("shelfwise")
    return meta if isinstance(meta, Mapping) else None
