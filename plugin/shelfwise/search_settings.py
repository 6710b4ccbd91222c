"""The settings of a search: how the retrievers are weighed, and the habits of the shop."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from shelfwise.errors import UnknownRetriever, UsageError
from shelfwise.query_weights import QueryWeights

if TYPE_CHECKING:
    from shelfwise.reranker import Reranker
    from shelfwise.synonyms import Synonyms

Mode = Literal["hybrid", "lexical", "semantic"]
Fusion = Literal["rank", "score", "query"]
Sort = Literal["price", "-price", "created_at", "popularity"]
RETRIEVERS = ("lexical", "semantic")
MAX_BOOST = 10.0
MAX_RERANK = 100  # hits: so many are known from the first window, whatever the page


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How a search ranks; every setting can be turned off, none removes a product of its own.

    :raises UsageError: a setting is outside what it may be.
    :raises UnknownRetriever: a weight names another retriever.
    """

    fusion: Fusion = "query"
    """`rank`: reciprocal ranks; `score`: min-max scores; `query`: min-max scores, weights chosen for each query."""
    weights: Mapping[str, float] | None = None
    """Of `lexical` and `semantic`, where the fusion does not choose them; default 1.0 each; with `query` they stand."""
    query_weights: QueryWeights = field(default_factory=QueryWeights)
    """How the fusion `query` chooses them."""
    category_boost: float = 0.5
    """Largest gain by the query's predicted category: a score grows by at most this share; 0 turns it off."""
    expansion: float = 0.2
    """How far a query's vector moves towards the products that the model remembers as most like it; 0 turns it off."""
    popularity: float = 0.05
    """Largest gain by popularity, as a share of the score; 0 turns it off."""
    out_of_stock_last: bool = True
    collapse_variants: bool = True
    """Of the variants of one product, the best only."""
    exact_first: bool = True
    """Products that hold the query's brand and model number come before others."""
    spelling: bool = True
    """A word that no title has is looked for in its nearest spelling as well."""
    synonyms: "Synonyms | None" = None
    rerank: int | None = None
    """So many of the first hits are put in order by the reranker; those behind them stay, as does a sorted search."""
    reranker: "Reranker | None" = None

    def __post_init__(self) -> None:
        if self.fusion not in get_args(Fusion):
            raise UsageError(f"fusion {self.fusion!r}: expected one of {', '.join(get_args(Fusion))}")
        for name in ("category_boost", "popularity"):
            if not 0.0 <= getattr(self, name) <= MAX_BOOST:
                raise UsageError(f"{name} must be from 0 (off) to {MAX_BOOST:g}, got {getattr(self, name)!r}")
        if not 0.0 <= self.expansion <= 1.0:
            raise UsageError(f"expansion must be from 0 (off) to 1, got {self.expansion!r}")
        if (self.rerank is None) != (self.reranker is None):
            raise UsageError("rerank says how many hits the reranker puts in order: give both of them, or neither")
        if self.rerank is not None and (isinstance(self.rerank, bool) or self.rerank not in range(1, MAX_RERANK + 1)):
            raise UsageError(f"rerank must be a whole number of hits from 1 to {MAX_RERANK}, got {self.rerank!r}")
        weights = self.weights or {}
        if unknown := sorted(weights.keys() - set(RETRIEVERS)):
            raise UnknownRetriever(f"no retriever is named {', '.join(unknown)}: there are {', '.join(RETRIEVERS)}")
        for name, weight in weights.items():
            if not 0.0 <= weight < float("inf"):
                raise UsageError(f"the weight of {name} must be a number of at least 0, got {weight!r}")

    def weights_of(self, query: str) -> Mapping[str, float] | None:
        """The weights of one query; those that were given stand."""
        if self.weights is None and self.fusion == "query":
            return self.query_weights.of(query)
        return self.weights
