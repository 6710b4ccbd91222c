"""Learning the fusion: the weights a query, from queries whose products were judged."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from shelfwise.query_weights import GRID, QueryWeights, learn
from shelfwise.search import ProductSearch
from shelfwise.search_settings import SearchSettings
from shelfwise_indexer.evaluate import ndcg

DEPTH = 10


def learn_fusion(
    search_with: Callable[[SearchSettings], ProductSearch],
    judged: Mapping[str, Mapping[str, int]],
    settings: SearchSettings | None = None,
    queries: Sequence[str] | None = None,
) -> QueryWeights:
    """The weights a query with the highest mean nDCG@10 on judged queries; `save` them for `search --fusion`.

    Every query is searched for with each weight of the grid. Stock and variants are left aside, as by whoever judged.

    :param search_with: gives a search with these settings, such as `partial(ProductSearch, client, alias, bundle)`.
    :param judged: query text to the grade of each judged product, by id.
    :param settings: of the search that will use the weights; default `SearchSettings()`.
    :param queries: those to learn from; default all. Leave some out to measure on.
    :raises UsageError: no query.
    """
    settings = replace(settings or SearchSettings(), fusion="score", collapse_variants=False, out_of_stock_last=False)
    texts = list(judged if queries is None else queries)
    gains = np.zeros((len(texts), len(GRID)))
    for place, weight in enumerate(GRID if texts else ()):
        tried = replace(settings, weights={"lexical": weight, "semantic": 1.0 - weight})
        found = search_with(tried).search_many(texts, DEPTH)
        gains[:, place] = [
            ndcg([hit.id for hit in hits], judged[text], DEPTH) for text, hits in zip(texts, found, strict=True)
        ]
    return learn(texts, gains)
