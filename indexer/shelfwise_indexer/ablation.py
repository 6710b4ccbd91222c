"""The ablation: the same search with one part more at a time, so that each part has to prove its worth."""

from collections.abc import Callable, Sequence

from shelfwise.hit import Hit
from shelfwise.search import Mode, ProductSearch
from shelfwise_indexer.judgements import JudgedQuery
from shelfwise_indexer.search_evaluation import System

BM25, SEMANTIC, HYBRID = "BM25", "semantic", "hybrid"
SHOWN = HYBRID  # what `shelfwise search` does unless it is told otherwise


def ablation(searcher: ProductSearch) -> dict[str, System]:
    """The systems, from the least to the most; all with the same settings of the shop."""
    return {BM25: _in(searcher, "lexical"), SEMANTIC: _in(searcher, "semantic"), HYBRID: _in(searcher, "hybrid")}


def _in(searcher: ProductSearch, mode: Mode) -> Callable[[JudgedQuery, int], Sequence[Hit]]:
    return lambda query, k: searcher.search(query.text, k, mode=mode)
