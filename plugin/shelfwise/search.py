"""The search: a shopper's words in, products out, by words and by meaning, within what the caller filters."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from elasticsearch import Elasticsearch

from shelfwise.alias import RECHECK_SECONDS, LiveAlias
from shelfwise.belief import Belief, believe, believe_paths
from shelfwise.bundle import Bundle
from shelfwise.columns import SORTED_BY, in_doubt
from shelfwise.errors import UsageError
from shelfwise.exact import Exact
from shelfwise.explain import explain as explanation_of
from shelfwise.facets import Facets
from shelfwise.filters import Filter, filter_bodies
from shelfwise.hit import Hit
from shelfwise.known import Known
from shelfwise.live_index import LiveIndex
from shelfwise.order import Order, windows_of
from shelfwise.page import Page
from shelfwise.query import MAX_HITS, categories_of, parts, shortest
from shelfwise.ranking import rank, unranked, with_categories
from shelfwise.rerank import rerank
from shelfwise.retrieval import Asked, Request, count_all, retrieve, retrieve_not_enriched
from shelfwise.search_settings import Mode, SearchSettings, Sort
from shelfwise.spelling import said
from shelfwise.taxonomy import Path
from shelfwise.wanted import Wanted, queries_of, words_of

QUERIES_AT_ONCE = 1000  # at most
HITS_AT_ONCE = 100_000  # of each retriever, in all windows of queries that are searched together: some 300 MB

Probabilities = Mapping[Path, float]


class ProductSearch:
    """Searches the products behind an alias with the bundle that enriched them.

    :param settings: how the retrievers are weighed, and the habits of the shop; default `SearchSettings()`.
    :param recheck: seconds after which a moved alias is noticed; until then the index before is searched, whole.
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
    ) -> None:
        self._settings = settings or SearchSettings()
        self._alias = LiveAlias(client, alias, bundle, recheck)
        self._known = Known(self._alias, bundle.taxonomy)
        self._bundle = bundle

    def search(
        self,
        query: str,
        k: int = 10,
        category: str | Sequence[str] | None = None,
        filters: Iterable[Filter | str] | None = (),
        mode: Mode = "hybrid",
        *,
        offset: int = 0,
        sort: Sort | None = None,
        category_probabilities: Probabilities | None = None,
        highlight: bool = False,
        explain: bool = False,
    ) -> list[Hit]:
        """The k best products, best first; k whenever the filters leave k (in mode `lexical`: k that hold a word).

        Products that the shop wrote into the index and no run has enriched yet are found by their words; those of them
        that are not come last, by their ids.

        The order is that of the list: `score` is the retrievers' and boosts', and knows neither stock, exact words nor
        what a reranker made of it.

        :param category: a path (`"A > B"` or names, root first); finds everything below it too.
        :param filters: conditions as `Filter` or as its text, `brand=Sony`.
        :param offset: hits to pass over: pages of any size follow one another without a gap or a repetition, up to the
            10,000th hit.
        :param sort: the products to the point by `price`, `-price`, `created_at` (newest first) or `popularity`, among
            the 1,000 best of each retriever (in mode `semantic` the 100 best); deeper ones are sorted behind them.
        :param category_probabilities: P(category | query), instead of the classifier's.
        :param highlight: give each hit that words found its texts with these words marked.
        :param explain: give each hit its `Explanation`.
        :raises UsageError: an empty query, k outside 1 to 10,000, an offset of 10,000, a filter that cannot be.
        :raises UnknownCategory: neither the bundle's taxonomy nor the index has the category, or the taxonomy lacks
            one of the probabilities'.
        :raises IncompatibleIndex: the alias was moved to an index of another bundle.
        :raises ServerError: the server did not answer, or refused any part.
        """
        given = None if category_probabilities is None else [category_probabilities]
        return self.search_many(
            [query],
            k,
            category,
            filters,
            mode,
            offset=offset,
            sort=sort,
            category_probabilities=given,
            highlight=highlight,
            explain=explain,
        )[0]

    def search_many(
        self,
        queries: Sequence[str],
        k: int = 10,
        category: str | Sequence[str] | None = None,
        filters: Iterable[Filter | str] | None = (),
        mode: Mode = "hybrid",
        *,
        offset: int = 0,
        sort: Sort | None = None,
        category_probabilities: Sequence[Probabilities] | None = None,
        highlight: bool = False,
        explain: bool = False,
    ) -> list[list[Hit]]:
        """As `search` for many queries, in their order: one batch of the encoder, few requests.

        :param category_probabilities: of each query, in their order.
        """
        words = queries_of(queries)
        if category_probabilities is not None and len(category_probabilities) != len(words):
            raise UsageError(f"{len(words)} queries, but {len(category_probabilities)} category probabilities")
        wanted = Wanted.of(
            k=k,
            category=category,
            filters=filters,
            mode=mode,
            offset=offset,
            sort=sort,
            highlight=highlight,
            explain=explain,
        )
        hits: list[list[Hit]] = []
        depth = next((depth for depth in windows_of(mode, wanted.sort) if depth > offset + k), MAX_HITS)
        at_once = max(1, min(QUERIES_AT_ONCE, HITS_AT_ONCE // depth))
        for start in range(0, len(words), at_once):
            end = start + at_once
            asked = self._asked(words[start:end], mode, (category_probabilities or ())[start:end])
            orders = self._alias.over(partial(self._found, asked=asked, wanted=wanted))
            hits.extend(self._hits(*pair, wanted) for pair in zip(asked, orders, strict=True))
        return hits

    def page(
        self,
        query: str,
        k: int = 10,
        category: str | Sequence[str] | None = None,
        filters: Iterable[Filter | str] | None = (),
        mode: Mode = "hybrid",
        *,
        offset: int = 0,
        sort: Sort | None = None,
        highlight: bool = False,
        explain: bool = False,
        facets: bool = False,
        relax: bool = False,
    ) -> Page:
        """As `search`, with what a shop shows around the hits: facets, counts, what was searched for instead.

        :param relax: where the filters leave nothing, leave out the last given, and so on, the category at the end;
            `relaxed` of the page names them.
        """
        wanted = Wanted.of(
            k=k,
            category=category,
            filters=filters,
            mode=mode,
            offset=offset,
            sort=sort,
            highlight=highlight,
            explain=explain,
            count=True,
        )
        [asked] = self._asked([words_of(query)], mode, ())
        [order] = self._alias.over(partial(self._found, asked=[asked], wanted=wanted))
        relaxed: list[str] = []
        loosened = wanted
        while relax and not order.all() and (loosened.conditions or loosened.category):
            loosened, dropped = loosened.less()
            relaxed.append(f"nothing was left: {dropped} was left out")
            [order] = self._alias.over(partial(self._found, asked=[asked], wanted=loosened))
        relaxed = relaxed if order.all() else []  # the filters were not to blame
        end = wanted.offset + wanted.k
        return Page(
            hits=tuple(self._hits(asked, order, wanted)),
            total=order.total,
            facets=order.facets if facets else None,
            relaxed=(*relaxed, *said(order.corrections)),
            next=end if len(order.all()) > end and end < MAX_HITS else None,
        )

    def _asked(self, words: Sequence[str], mode: Mode, probabilities: Sequence[Probabilities]) -> list[Asked]:
        """The queries, read and encoded: one pass of the model gives vectors and categories."""
        synonyms = self._settings.synonyms
        read_as = _as_it_is if synonyms is None else synonyms.readings
        readings = [read_as(text) for text in words]
        first = [given[0] for given in readings]
        others = [given[1:] for given in readings]
        exact = [Exact.of(text) if self._settings.exact_first and mode != "semantic" else None for text in first]
        known = [True] * len(words)
        vectors: list[Sequence[float] | None] = [None] * len(words)
        beliefs: list[Belief | None] = [None] * len(words)
        if mode != "lexical":
            encoder = self._bundle.encoder
            # Of a query that may be read in several ways the mean: what either means is near.
            understood = [[one for one in given if encoder.knows(one)] or given for given in readings]
            encoded = encoder.encode_queries([one for given in understood for one in given])
            encoded = encoded.together([len(given) for given in understood])
            vectors = [*shortest(encoded.expanded(self._settings.expansion))]
            known = [encoder.knows(given[0]) for given in understood]
            taxonomy = self._bundle.taxonomy
            if mode == "hybrid" and self._settings.category_boost:
                if probabilities:
                    beliefs = [believe_paths(taxonomy, given) for given in probabilities]
                else:
                    rows = zip(known, encoded.probabilities, strict=True)
                    beliefs = [believe(taxonomy, row) if its else None for its, row in rows]
        right = frozenset[str]() if synonyms is None else synonyms.words()
        asked = partial(Asked, right=right, read_as=read_as)
        return [asked(*parts) for parts in zip(first, others, vectors, beliefs, exact, known, strict=True)]

    def _weights(self, asked: Asked) -> Mapping[str, float] | None:
        """Of the retrievers; of words that the model does not know, what holds them comes before what is nearest."""
        weights = self._settings.weights_of(asked.words)
        return weights if asked.known else {**(weights or {}), "semantic": 0.0}

    def _found(self, index: LiveIndex, asked: Sequence[Asked], wanted: Wanted) -> list[Order]:
        self._known.check(index, wanted.category, wanted.conditions)
        highlight = wanted.highlight or wanted.explain
        fields = () if self._settings.reranker is None else self._settings.reranker.sources
        request = Request(
            mode=wanted.mode,
            filters=filter_bodies(wanted.conditions, wanted.category),
            misspelt=self._known.misspelt(index) if self._settings.spelling else None,
            highlight=highlight,
            count=wanted.count,
            fields=fields,
            columns=index.columns and not (highlight or fields or wanted.sort == SORTED_BY),
        )
        by_name = any(condition.field in ("id", "variant_of") for condition in wanted.conditions)
        collapse = self._settings.collapse_variants and not by_name  # whoever names variants wants to see them
        orders = [Order(self._settings.out_of_stock_last, collapse, wanted.sort) for _ in asked]
        windows = windows_of(wanted.mode, wanted.sort)
        count = wanted.offset + wanted.k + 1  # one more than is shown: whether another page follows
        lacking = False
        for depth in windows:
            open_ = [place for place, order in enumerate(orders) if not order.has(count)]
            if not open_:
                break
            found = retrieve(self._alias, index, [asked[place] for place in open_], depth, request)
            for place, retrieved in zip(open_, found, strict=True):
                query = asked[place]
                weights = self._weights(query)
                ranked = rank(retrieved, self._settings, weights, query.belief, query.exact, wanted.explain)
                orders[place].extend(ranked, all(len(given) < depth for given in retrieved.lists.values()))
                if depth == windows[0]:
                    orders[place].corrections = retrieved.corrections
                    self._rerank(orders[place], query.words, wanted)
                    self._count(index, orders[place], retrieved.counted, request)
            lacking = any(retrieved.not_enriched for retrieved in found)
            request = replace(request, count=False)
        if lacking:
            self._add_not_enriched(index, orders, count, windows, request)
        for order in orders:
            order.show(wanted.offset, wanted.k)
        if request.columns:
            self._name_categories(index, orders)
        return orders

    def _add_not_enriched(
        self, index: LiveIndex, orders: Sequence[Order], count: int, windows: Sequence[int], request: Request
    ) -> None:
        """Where fewer than `count` were found, put behind them what passes the filters and has no vector."""
        for depth in windows:
            short = [order for order in orders if len(order.first(count)) < count]
            if not short:
                break
            found = retrieve_not_enriched(self._alias, index, depth, request)
            for order in short:
                order.extend(map(unranked, found), exhausted=len(found) < depth)
            if len(found) < depth:
                break

    def _name_categories(self, index: LiveIndex, orders: Sequence[Order]) -> None:
        """Read which category comes first, of products to be shown that are in several."""
        ids = {one.id for order in orders for one in order.shown if in_doubt(one.found)}
        answers = self._alias.ask(index, [*map(categories_of, parts(ids))])
        found = {hit["_id"]: hit["_source"] for answer in answers for hit in answer["hits"]["hits"]}
        for order in orders:
            order.shown = [with_categories(one, found[one.id]) if one.id in found else one for one in order.shown]

    def _rerank(self, order: Order, words: str, wanted: Wanted) -> None:
        if self._settings.reranker is not None and self._settings.rerank is not None and wanted.sort is None:
            rerank(order, words, self._settings.reranker, self._settings.rerank)

    def _count(self, index: LiveIndex, order: Order, counted: Mapping[str, Any] | None, request: Request) -> None:
        if counted is not None and not counted["hits"]["total"]["value"] and request.mode == "hybrid":
            counted = count_all(self._alias, index, request)
        if counted is not None:
            order.total = int(counted["hits"]["total"]["value"])
            order.facets = Facets.of(counted["aggregations"])

    def _hits(self, asked: Asked, order: Order, wanted: Wanted) -> list[Hit]:
        weights = (self._weights(asked) or {"lexical": 1.0, "semantic": 1.0}) if wanted.mode == "hybrid" else {}
        hits = []
        for candidate in order.shown:
            hit = Hit.of(candidate.found, candidate.score, candidate.fused.shares)
            if wanted.explain:
                why = explanation_of(candidate, self._settings.fusion, weights, asked.belief)
                hit = replace(hit, explanation=why.to_json())
            if hit.highlight and not wanted.highlight:
                hit = replace(hit, highlight={})
            hits.append(hit)
        return hits


def _as_it_is(words: str) -> list[str]:
    return [words]
