"""What is known: a mistyped category or attribute is an error that names what is there, not an empty result."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from shelfwise.alias import LiveAlias
from shelfwise.errors import UnknownCategory
from shelfwise.filters import Filter, has_attribute, in_category, unknown_attribute
from shelfwise.live_index import LiveIndex
from shelfwise.misspelt import Misspelt
from shelfwise.query import any_of, attributes_of_some, nodes
from shelfwise.source import listed
from shelfwise.taxonomy import Path, Taxonomy, parse_path, path_text


class Known:
    """What searches know of the live index: the categories and attributes they may name, and its misspelt words."""

    def __init__(self, alias: LiveAlias, taxonomy: Taxonomy | None = None) -> None:
        """:param taxonomy: of the bundle, where there is one: its categories may be named before a product has them."""
        self._alias = alias
        self._learnt: Collection[Path] = taxonomy.node_number if taxonomy is not None else ()
        self._attributes: tuple[str, frozenset[str]] = ("", frozenset())
        self._misspelt = ("", Misspelt())

    def misspelt(self, index: LiveIndex) -> Misspelt:
        """What earlier searches of this index found out of misspelt words."""
        found = self._misspelt
        if found[0] != index.name:
            self._misspelt = found = (index.name, Misspelt())
        return found[1]

    def check(self, index: LiveIndex, category: Path | None, conditions: Sequence[Filter]) -> None:
        """:raises UnknownCategory, UsageError: the index has no such category or attribute."""
        seen = self._attributes[1] if self._attributes[0] == index.name else frozenset()
        named = {condition.attribute for condition in conditions if condition.attribute is not None}
        unseen = sorted(named - seen)
        asked = [has_attribute(name) for name in unseen]
        if category is not None and category not in self._learnt:
            asked.append(in_category(category))
        if not asked:
            return
        answers = self._alias.ask(index, [any_of(condition) for condition in asked])
        exists = [answer["hits"]["total"]["value"] > 0 for answer in answers]
        for name, known in zip(unseen, exists, strict=False):
            if not known:
                raise unknown_attribute(name, self._attribute_names(index))
        if category is not None and len(exists) > len(unseen) and not exists[-1]:
            raise self._unknown_category(index, category)
        self._attributes = (index.name, seen | named)

    def _attribute_names(self, index: LiveIndex) -> list[str]:
        [answer] = self._alias.ask(index, [attributes_of_some()])
        given = (hit["_source"].get("attributes") for hit in answer["hits"]["hits"])
        return sorted({name for attributes in given for part in listed(attributes) for name in _leaves(part)})

    def _unknown_category(self, index: LiveIndex, category: Path) -> UnknownCategory:
        [answer] = self._alias.ask(index, [nodes()])
        carried = [parse_path(bucket["key"]) for bucket in answer["aggregations"]["nodes"]["buckets"]]
        known = Taxonomy.of([*self._learnt, *carried])
        closest = ", ".join(repr(path_text(path)) for path in known.closest(category))
        return UnknownCategory(f"there is no category {path_text(category)!r}: the closest are {closest}")


def _leaves(attributes: Mapping[str, Any], above: str = "") -> Iterable[str]:
    for name, value in attributes.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield above + name
