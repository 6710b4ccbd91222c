"""The columns: what a product's place depends on and what a hit shows, read without reading whole documents.

A search looks at some 250 candidates to show ten. Of `_source` the server unpacks and parses all that a document holds,
for each of them; of doc values it reads the fields that are asked for. Of products whose columns do not tell all (a
title longer than they take, a list where there is one value) `_source` is read after all; see `retrieval`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from shelfwise.query import SHOWN, Body
from shelfwise.source import Source

TITLE = "title.keyword"  # text itself has no doc values
IGNORED = "_ignored"  # names the fields of a product that were too long for theirs
SORTED_BY = "created_at"  # doc values cut a moment to milliseconds: what is sorted by it reads whole documents
# Each field that a hit shows, and what is read for it.
COLUMNS = {name: TITLE if name == "title" else name for name in SHOWN if name != SORTED_BY}
_TYPES = {"price": "double", "popularity": "double", "in_stock": "boolean", "shelfwise.confidence": "float"}
_CHANGES = frozenset({"normalizer", "null_value", "script"})  # doc values are then other than what was written
_READ = [*COLUMNS.values(), IGNORED]
_TOO_LONG = frozenset(COLUMNS.values())


def has_columns(mappings: Mapping[str, Any]) -> bool:
    """Whether an index keeps doc values of all that a hit shows.

    :param mappings: of the index, as the server has it
    """
    return all(_keeps(mappings, name) for name in COLUMNS.values())


def in_columns(body: Body) -> Body:
    """The same search, whose hits are doc values; of one without hits, itself."""
    if not body.get("_source"):
        return body
    rest = {name: value for name, value in body.items() if name != "_source"}
    return {**rest, "stored_fields": "_none_", "docvalue_fields": _READ}


def as_source(hits: Sequence[dict[str, Any]], known: dict[str, Source]) -> list[str] | None:
    """Give entries of `hits.hits` their `_id`, and in place of the columns the `_source` that these tell.

    A product's categories come in alphabetical order, whatever theirs was: see `in_doubt`.

    :param known: the sources of products that were read before, by id; it grows.
    :returns: the ids of products whose columns do not tell enough: they are left without a `_source`. None: products
        that the shop wrote lack an id of their own, so that the whole search has to be asked for again.
    """
    odd = []
    ids = set()
    for hit in hits:
        values: Mapping[str, list[Any]] = hit.pop("fields", {})
        named = values.get("id", ())
        if len(named) != 1 or named[0] in ids:
            return None
        id_ = hit["_id"] = named[0]
        ids.add(id_)
        source = known.get(id_) or _source(values)
        if source is None:
            odd.append(id_)
        else:
            hit["_source"] = known[id_] = source
    return odd


def _source(values: Mapping[str, list[Any]]) -> Source | None:
    """One product's; None: its columns do not tell enough. Plainly written: a search does this some 150 times."""
    ancestors, category = values.get("shelfwise.ancestors", []), values.get("shelfwise.category", [])
    ignored = values.get(IGNORED, ())
    several = sum(len(given) - 1 for given in (ancestors, category, ignored) if given)
    if TITLE not in values or sum(map(len, values.values())) != len(values) + several:
        return None
    if ignored and not _TOO_LONG.isdisjoint(ignored):
        return None
    source: dict[str, Any] = {column: given[0] for column, given in values.items()}
    source["title"] = source[TITLE]
    source["shelfwise"] = {
        "ancestors": ancestors,
        "category": category,
        "confidence": source.get("shelfwise.confidence"),
        "status": source.get("shelfwise.status"),
        "group": source.get("shelfwise.group"),
    }
    return source


def in_doubt(found: Mapping[str, Any]) -> bool:
    """Whether a product was read by columns that do not tell which of its categories comes first."""
    source = found["_source"]
    return TITLE in source and len(source["shelfwise"]["category"]) > 1


def _keeps(mappings: Mapping[str, Any], name: str) -> bool:
    field: Mapping[str, Any] = {"properties": mappings.get("properties", {})}
    for part in name.split("."):
        field = field.get("properties", field.get("fields", {})).get(part, {})
    kept = field.get("doc_values", True) is not False and _CHANGES.isdisjoint(field)
    return kept and field.get("type") == _TYPES.get(name, "keyword")
