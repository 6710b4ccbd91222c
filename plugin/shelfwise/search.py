"""The search: a shopper's words in, products out, by words and by meaning, within what the caller filters."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, get_args

from elasticsearch import Elasticsearch

from shelfwise.alias import RECHECK_SECONDS, LiveAlias
from shelfwise.bundle import Bundle
from shelfwise.errors import UnknownCategory, UsageError
from shelfwise.filters import Body, Filter, filter_bodies, has_attribute, in_category, unknown_attribute
from shelfwise.fusion import reciprocal_rank
from shelfwise.hit import Hit, listed
from shelfwise.index import LiveIndex
from shelfwise.product import plain
from shelfwise.query import (
    MAX_HITS,
    any_of,
    attributes_of_some,
    cosine,
    exact,
    lexical,
    nodes,
    semantic,
)
from shelfwise.taxonomy import Path, Taxonomy, parse_path, path_text

Mode = Literal["hybrid", "lexical", "semantic"]
WINDOW = 50  # hits of each retriever that are fused, at least
MAX_QUERY_CHARACTERS = 10_000  # of these the words read query.MAX_WORDS_LENGTH, the model its max_tokens
QUERIES_AT_ONCE = 1000  # encoded in one batch

Found = Mapping[str, Any]


class ProductSearch:
    """Searches the products behind an alias with the bundle that enriched them.

    :param weights: of `lexical` and `semantic` in a hybrid search (default 1.0 each).
    :param recheck: seconds after which a moved alias is noticed; until then the index before is searched, whole.
    :raises IncompatibleIndex: the index was written with another bundle.
    :raises UnknownRetriever: a weight names another retriever.
    """

    def __init__(
        self,
        client: Elasticsearch,
        alias: str,
        bundle: Bundle,
        weights: Mapping[str, float] | None = None,
        recheck: float = RECHECK_SECONDS,
    ) -> None:
        reciprocal_rank({"lexical": [], "semantic": []}, weights)
        self._alias = LiveAlias(client, alias, bundle, recheck)
        self._bundle = bundle
        self._weights = dict(weights or {})
        self._attributes: tuple[str, frozenset[str]] = ("", frozenset())

    def search(
        self,
        query: str,
        k: int = 10,
        category: str | Sequence[str] | None = None,
        filters: Iterable[Filter | str] = (),
        mode: Mode = "hybrid",
    ) -> list[Hit]:
        """The k best products, best first; k whenever the filters leave k (in mode `lexical`: k that hold a word).

        :param category: a path (`"A > B"` or names, root first); finds everything below it too.
        :param filters: conditions as `Filter` or as its text, `brand=Sony`.
        :raises UsageError: an empty query, k outside 1 to 10,000, a filter that cannot be.
        :raises UnknownCategory: neither the bundle's taxonomy nor the index has the category.
        :raises IncompatibleIndex: the alias was moved to an index of another bundle.
        :raises ServerError: the server did not answer, or refused any part.
        """
        return self.search_many([query], k, category, filters, mode)[0]

    def search_many(
        self,
        queries: Sequence[str],
        k: int = 10,
        category: str | Sequence[str] | None = None,
        filters: Iterable[Filter | str] = (),
        mode: Mode = "hybrid",
    ) -> list[list[Hit]]:
        """As `search` for many queries, in their order: one batch of the encoder, few requests."""
        words = [_words(query, place, len(queries)) for place, query in enumerate(queries, start=1)]
        check_k(k)
        if mode not in get_args(Mode):
            raise UsageError(f"mode {mode!r}: expected one of {', '.join(get_args(Mode))}")
        path = _path(category)
        filters = (filters,) if isinstance(filters, str) else filters
        conditions = [Filter.parse(given) if isinstance(given, str) else given for given in filters]
        hits: list[list[Hit]] = []
        for start in range(0, len(words), QUERIES_AT_ONCE):
            part = words[start : start + QUERIES_AT_ONCE]
            vectors = [] if mode == "lexical" else self._bundle.encoder.encode_queries(part).vectors.tolist()
            found = partial(
                self._found, words=part, vectors=vectors, k=k, category=path, conditions=conditions, mode=mode
            )
            hits.extend(self._alias.over(found))
        return hits

    def _found(
        self,
        index: LiveIndex,
        words: Sequence[str],
        vectors: Sequence[Sequence[float]],
        k: int,
        category: Path | None,
        conditions: Sequence[Filter],
        mode: Mode,
    ) -> list[list[Hit]]:
        self._check_known(index, category, conditions)
        filters = filter_bodies(conditions, category)
        depth = k if mode != "hybrid" else max(k, WINDOW)
        by_words = [] if mode == "semantic" else [lexical(text, depth, filters) for text in words]
        by_meaning = [semantic(vector, depth, filters) for vector in vectors]
        # A query's two bodies side by side, so that they travel in one request.
        answers = self._alias.ask(index, _alternating(by_words, by_meaning))
        lists = [answer["hits"]["hits"] for answer in answers]
        if mode == "lexical":
            return [_single("lexical", found, k, float) for found in lists]
        nearest = lists if mode == "semantic" else lists[1::2]
        self._complete(index, nearest, vectors, depth, filters)
        if mode == "semantic":
            return [_single("semantic", found, k, cosine) for found in nearest]
        return [self._fused(*both, k) for both in zip(lists[0::2], nearest, strict=True)]

    def _complete(
        self,
        index: LiveIndex,
        nearest: list[Sequence[Found]],
        vectors: Sequence[Sequence[float]],
        depth: int,
        filters: Sequence[Body],
    ) -> None:
        """Where the graph gave fewer than were asked for, compare with every product that passes the filters."""
        short = [place for place, found in enumerate(nearest) if len(found) < depth]
        answers = self._alias.ask(index, [exact(vectors[place], depth, filters) for place in short])
        for place, answer in zip(short, answers, strict=True):
            nearest[place] = answer["hits"]["hits"]

    def _fused(self, by_words: Sequence[Found], by_meaning: Sequence[Found], k: int) -> list[Hit]:
        found = {hit["_id"]: hit for hit in (*by_words, *by_meaning)}
        lists = {"lexical": [hit["_id"] for hit in by_words], "semantic": [hit["_id"] for hit in by_meaning]}
        return [Hit.of(found[one.id], one.score, one.shares) for one in reciprocal_rank(lists, self._weights)[:k]]

    def _check_known(self, index: LiveIndex, category: Path | None, conditions: Sequence[Filter]) -> None:
        """A mistyped category or attribute is an error, not an empty result."""
        seen = self._attributes[1] if self._attributes[0] == index.name else frozenset()
        named = {condition.attribute for condition in conditions if condition.attribute is not None}
        unseen = sorted(named - seen)
        asked = [has_attribute(name) for name in unseen]
        if category is not None and category not in self._bundle.taxonomy.node_number:
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
        known = Taxonomy.of([*self._bundle.taxonomy.leaves, *carried])
        closest = ", ".join(repr(path_text(path)) for path in known.closest(category))
        return UnknownCategory(f"there is no category {path_text(category)!r}: the closest are {closest}")


def check_k(k: int) -> None:
    """:raises UsageError: so many hits cannot be asked for."""
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= MAX_HITS:
        raise UsageError(f"k must be a whole number from 1 to {MAX_HITS:,}, got {k!r}")


def _words(query: str, place: int, of: int) -> str:
    # What a terminal could not decode arrives as half surrogates, which no request can carry.
    words = plain(query[:MAX_QUERY_CHARACTERS].encode("utf-8", "replace").decode()) if isinstance(query, str) else ""
    if not words:
        which = "the query" if of == 1 else f"query {place} of {of}"
        raise UsageError(f"{which} is empty: expected at least one word, got {str(query)[:60]!r}")
    return words


def _path(category: str | Sequence[str] | None) -> Path | None:
    if category is None:
        return None
    try:
        return parse_path(category)
    except ValueError as error:
        raise UsageError(f"category {str(category)[:60]!r}: {error}") from None


def _alternating(first: Sequence[Body], second: Sequence[Body]) -> list[Body]:
    if not first or not second:
        return [*first, *second]
    return [body for both in zip(first, second, strict=True) for body in both]


def _single(retriever: str, found: Sequence[Found], k: int, scale: Any) -> list[Hit]:
    ranked = sorted(found, key=lambda hit: (-hit["_score"], hit["_id"]))[:k]
    return [Hit.of(hit, score := scale(hit["_score"]), {retriever: score}) for hit in ranked]


def _leaves(attributes: Mapping[str, Any], above: str = "") -> Iterable[str]:
    for name, value in attributes.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield above + name
