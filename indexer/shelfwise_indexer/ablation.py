"""The ablation: the same search with one part more at a time, so that each part has to prove its worth."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from elasticsearch import Elasticsearch

from shelfwise.bundle import Bundle
from shelfwise.hit import Hit
from shelfwise.search import Probabilities, ProductSearch
from shelfwise.search_settings import Mode, SearchSettings
from shelfwise_indexer.judgements import JudgedQuery
from shelfwise_indexer.search_evaluation import System

BM25, SEMANTIC, HYBRID = "BM25", "semantic", "hybrid"
CATEGORY = "hybrid + category"
SHUFFLED = "hybrid + shuffled category"
ORACLE = "hybrid + oracle category"
RERANK = "hybrid + category + rerank"
SHOWN = CATEGORY  # what `shelfwise search` does unless it is told otherwise
STEPS = (
    (HYBRID, BM25),
    (HYBRID, SEMANTIC),
    (CATEGORY, HYBRID),
    (SHUFFLED, HYBRID),
    (ORACLE, HYBRID),
    (RERANK, CATEGORY),
)
"""New and old: what each part has to add; the shuffled category only has to do no harm."""
SEED = 0


def ablation(
    client: Elasticsearch, alias: str, bundle: Bundle, settings: SearchSettings, queries: Sequence[JudgedQuery]
) -> dict[str, System]:
    """The systems, from the least to the most; all with the same settings of the shop.

    `shuffled` is the guard against harm: each query's probabilities go to leaves drawn at random (fixed seed). `oracle`
    is what a perfect classifier would give: only there when queries name a category of the bundle's; a query that does
    not keeps the predicted one. `rerank` is there when the settings have a reranker.

    :param settings: of the whole search; its category boost and its reranker are left out where a system does without.
    """
    as_fused = replace(settings, rerank=None, reranker=None)
    whole = ProductSearch(client, alias, bundle, as_fused)
    plain = ProductSearch(client, alias, bundle, replace(as_fused, category_boost=0.0))
    systems = {
        BM25: in_mode(plain, "lexical"),
        SEMANTIC: in_mode(plain, "semantic"),
        HYBRID: in_mode(plain, "hybrid"),
        CATEGORY: in_mode(whole, "hybrid"),
        SHUFFLED: _believing(whole, shuffled(bundle, queries)),
    }
    nodes = bundle.taxonomy.node_number
    known: dict[str, Probabilities] = {
        query.id: {query.category: 1.0} for query in queries if query.category and query.category in nodes
    }
    systems |= {ORACLE: _believing(whole, known)} if known else {}
    if settings.reranker is not None:
        systems[RERANK] = in_mode(ProductSearch(client, alias, bundle, settings), "hybrid")
    return systems


def in_mode(searcher: ProductSearch, mode: Mode) -> System:
    """The search as it is set up, in one mode."""

    def search(query: JudgedQuery, k: int) -> Sequence[Hit]:
        return searcher.search(query.text, k, mode=mode)

    return search


def shuffled(bundle: Bundle, queries: Sequence[JudgedQuery]) -> dict[str, Probabilities]:
    """The classifier's probabilities of each query, each at a leaf drawn at random: as sure as before, but of nothing.

    :returns: query id to leaf to probability.
    """
    random = np.random.default_rng(SEED)
    rows = bundle.encoder.encode_queries([query.text for query in queries]).probabilities
    rows = rows / np.maximum(rows.sum(axis=1, keepdims=True), 1)  # of several labels they may add up to more
    mixed = random.permuted(rows, axis=1)
    leaves = bundle.taxonomy.leaves
    return {
        query.id: {leaf: p for leaf, p in zip(leaves, row.tolist(), strict=True) if p > 0.0}
        for query, row in zip(queries, mixed, strict=True)
    }


def _believing(searcher: ProductSearch, probabilities: Mapping[str, Probabilities]) -> System:
    def search(query: JudgedQuery, k: int) -> Sequence[Hit]:
        return searcher.search(query.text, k, category_probabilities=probabilities.get(query.id))

    return search
