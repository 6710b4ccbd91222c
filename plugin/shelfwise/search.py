"""The search: a shopper's words in, products out, by words and by meaning, within what the caller filters."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, get_args

from elasticsearch import Elasticsearch

from shelfwise.alias import RECHECK_SECONDS, LiveAlias
from shelfwise.belief import Belief, believe, believe_paths
from shelfwise.bundle import Bundle
from shelfwise.errors import UnknownCategory, UsageError
from shelfwise.exact import Exact
from shelfwise.filters import Filter, filter_bodies, has_attribute, in_category, unknown_attribute
from shelfwise.hit import Hit, listed
from shelfwise.index import LiveIndex
from shelfwise.order import WINDOWS, Order
from shelfwise.product import plain
from shelfwise.query import MAX_HITS, any_of, attributes_of_some, nodes
from shelfwise.ranking import rank
from shelfwise.retrieval import Asked, retrieve
from shelfwise.search_settings import Mode, SearchSettings, Sort
from shelfwise.taxonomy import Path, Taxonomy, parse_path, path_text

MAX_QUERY_CHARACTERS = 10_000  # of these the words read query.MAX_WORDS_LENGTH, the model its max_tokens
QUERIES_AT_ONCE = 1000  # encoded in one batch

Probabilities = Mapping[Path, float]


class ProductSearch:
    """Searches the products behind an alias with the bundle that enriched them.

    :param settings: how the retrievers are weighed, and the habits of the shop; default `SearchSettings()`.
    :param recheck: seconds after which a moved alias is noticed; until then the index before is searched, whole.
    :param weights: short for settings with these `weights`.
    :raises IncompatibleIndex: the index was written with another bundle.
    :raises UnknownRetriever: a weight names another retriever.
    """

    def __init__(
        self,
        client: Elasticsearch,
        alias: str,
        bundle: Bundle,
        settings: SearchSettings | None = None,
        recheck: float = RECHECK_SECONDS,
        *,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        settings = settings or SearchSettings()
        self._settings = settings if weights is None else replace(settings, weights=dict(weights))
        self._alias = LiveAlias(client, alias, bundle, recheck)
        self._bundle = bundle
        self._attributes: tuple[str, frozenset[str]] = ("", frozenset())

    def search(
        self,
        query: str,
        k: int = 10,
        category: str | Sequence[str] | None = None,
        filters: Iterable[Filter | str] = (),
        mode: Mode = "hybrid",
        *,
        offset: int = 0,
        sort: Sort | None = None,
        category_probabilities: Probabilities | None = None,
    ) -> list[Hit]:
        """The k best products, best first; k whenever the filters leave k (in mode `lexical`: k that hold a word).

        The order is that of the list: `score` is the retrievers' and boosts', and knows neither stock nor exact words.

        :param category: a path (`"A > B"` or names, root first); finds everything below it too.
        :param filters: conditions as `Filter` or as its text, `brand=Sony`.
        :param offset: hits to pass over: pages of any size follow one another without a gap or a repetition.
        :param sort: the products to the point by `price`, `-price`, `created_at` (newest first) or `popularity`.
        :param category_probabilities: P(category | query), instead of the classifier's.
        :raises UsageError: an empty query, k outside 1 to 10,000, a filter that cannot be.
        :raises UnknownCategory: neither the bundle's taxonomy nor the index has the category.
        :raises IncompatibleIndex: the alias was moved to an index of another bundle.
        :raises ServerError: the server did not answer, or refused any part.
        """
        given = None if category_probabilities is None else [category_probabilities]
        return self.search_many(
            [query], k, category, filters, mode, offset=offset, sort=sort, category_probabilities=given
        )[0]

    def search_many(
        self,
        queries: Sequence[str],
        k: int = 10,
        category: str | Sequence[str] | None = None,
        filters: Iterable[Filter | str] = (),
        mode: Mode = "hybrid",
        *,
        offset: int = 0,
        sort: Sort | None = None,
        category_probabilities: Sequence[Probabilities] | None = None,
    ) -> list[list[Hit]]:
        """As `search` for many queries, in their order: one batch of the encoder, few requests.

        :param category_probabilities: of each query, in their order.
        """
        words = [_words(query, place, len(queries)) for place, query in enumerate(queries, start=1)]
        check_k(k)
        _check_page(k, offset)
        _check_one_of("mode", mode, get_args(Mode))
        if sort is not None:
            _check_one_of("sort", sort, get_args(Sort))
        if category_probabilities is not None and len(category_probabilities) != len(words):
            raise UsageError(f"{len(words)} queries, but {len(category_probabilities)} category probabilities")
        path = _path(category)
        filters = (filters,) if isinstance(filters, str) else filters
        conditions = [Filter.parse(given) if isinstance(given, str) else given for given in filters]
        hits: list[list[Hit]] = []
        for start in range(0, len(words), QUERIES_AT_ONCE):
            end = start + QUERIES_AT_ONCE
            asked = self._asked(words[start:end], mode, (category_probabilities or ())[start:end])
            found = partial(
                self._found,
                asked=asked,
                until=offset + k,
                category=path,
                conditions=conditions,
                mode=mode,
                sort=sort,
            )
            orders = self._alias.over(found)
            hits.extend(
                [Hit.of(c.found, c.score, c.fused.shares) for c in order.all()[offset : offset + k]] for order in orders
            )
        return hits

    def _asked(self, words: Sequence[str], mode: Mode, probabilities: Sequence[Probabilities]) -> list[Asked]:
        """The queries, read and encoded: one pass of the model gives vectors and categories."""
        exact = [Exact.of(text) if self._settings.exact_first and mode != "semantic" else None for text in words]
        if mode == "lexical":
            return [Asked(text, None, None, ones) for text, ones in zip(words, exact, strict=True)]
        encoded = self._bundle.encoder.encode_queries(words)
        beliefs: list[Belief | None] = [None] * len(words)
        taxonomy = self._bundle.taxonomy
        if mode == "hybrid" and self._settings.category_boost:
            if probabilities:
                beliefs = [believe_paths(taxonomy, given) for given in probabilities]
            else:
                beliefs = [believe(taxonomy, row) for row in encoded.probabilities]
        return [Asked(*parts) for parts in zip(words, encoded.vectors.tolist(), beliefs, exact, strict=True)]

    def _found(
        self,
        index: LiveIndex,
        asked: Sequence[Asked],
        until: int,
        category: Path | None,
        conditions: Sequence[Filter],
        mode: Mode,
        sort: Sort | None,
    ) -> list[Order]:
        self._check_known(index, category, conditions)
        filters = filter_bodies(conditions, category)
        by_name = any(condition.field in ("id", "variant_of") for condition in conditions)
        collapse = self._settings.collapse_variants and not by_name  # whoever names variants wants to see them
        orders = [Order(self._settings.out_of_stock_last, collapse, sort) for _ in asked]
        for depth in WINDOWS:
            open_ = [place for place, order in enumerate(orders) if not order.has(until)]
            found = retrieve(self._alias, index, [asked[place] for place in open_], depth, filters, mode)
            for place, retrieved in zip(open_, found, strict=True):
                query = asked[place]
                ranked = rank(retrieved, self._settings, self._settings.weights, query.belief, query.exact)
                orders[place].extend(ranked, all(len(given) < depth for given in retrieved.lists.values()))
        return orders

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


def _check_page(k: int, offset: int) -> None:
    if isinstance(offset, bool) or not isinstance(offset, int) or not 0 <= offset <= MAX_HITS - k:
        raise UsageError(f"offset must be a whole number, and with k at most {MAX_HITS:,}; got {offset!r} and k {k:,}")


def _check_one_of(name: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise UsageError(f"{name} {given!r}: expected one of {', '.join(known)}")


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


def _leaves(attributes: Mapping[str, Any], above: str = "") -> Iterable[str]:
    for name, value in attributes.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield above + name
