"""The explanation: why a hit stands where it stands."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import unescape
from typing import Any

from shelfwise.belief import Belief
from shelfwise.letters import word_pattern
from shelfwise.product import plain
from shelfwise.ranking import Candidate, Reranked, nodes_of, weights_that_count
from shelfwise.search_settings import Fusion
from shelfwise.taxonomy import Path, parse_path

_WORD = re.compile(word_pattern())
_MARKED = re.compile(r"<em>(.*?)</em>")


@dataclass(frozen=True, slots=True)
class RetrieverShare:
    """What one retriever made of a product."""

    rank: int | None
    """1 = best; None: it was not among those this retriever found."""
    score: float | None
    """BM25 of `lexical`, cosine of `semantic`."""
    weight: float
    share: float
    """What the fusion gave for it, weight included."""


@dataclass(frozen=True, slots=True)
class NodeProbability:
    """A category of the product and P(category | query), the sum over its leaves."""

    path: Path
    probability: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """score = fused * (1 + category_boost) * (1 + popularity_boost)."""

    retrievers: Mapping[str, RetrieverShare]
    fusion: Fusion
    fused: float
    words: tuple[str, ...]
    """Words of the product that the query's words matched, when `lexical` found it."""
    categories: tuple[NodeProbability, ...]
    """Root first; empty when the search did not look at categories."""
    category_share: float
    """How far the product lies in what the query asks for, beyond a guess."""
    category_trust: float
    """How far the retrievers bear the category out: category_boost = setting * trust * share."""
    category_boost: float
    popularity_boost: float
    exact: bool
    """It came first for the query's model number or brand."""
    score: float
    reranked: Reranked | None
    """What the reranker made of it; None: it was not among those read."""

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it."""
        return asdict(self)


def explain(candidate: Candidate, fusion: Fusion, weights: Mapping[str, float], belief: Belief | None) -> Explanation:
    """Everything that a product's place depends on, stock, variants and sorting aside.

    :param weights: of the retrievers, 1 where none is said; empty where one is asked alone.
    """
    if weights:
        weights = weights_that_count(candidate.fused.shares, candidate.found, weights)
    retrievers = {
        name: RetrieverShare(
            rank=candidate.ranks.get(name),
            score=candidate.scores.get(name),
            weight=weights.get(name, 1.0),
            share=candidate.fused.shares.get(name, 0.0),
        )
        for name in ("lexical", "semantic")
    }
    probability = belief.probability if belief is not None else {}
    nodes = sorted((node for node in nodes_of(candidate.found) if node in probability), key=lambda n: (n.count(">"), n))
    return Explanation(
        retrievers=retrievers,
        fusion=fusion,
        fused=candidate.fused.score,
        words=marked_words(candidate.found),
        categories=tuple(NodeProbability(parse_path(node), round(min(1.0, probability[node]), 4)) for node in nodes),
        category_share=candidate.category_share,
        category_trust=candidate.category_trust,
        category_boost=candidate.category_boost,
        popularity_boost=candidate.popularity_boost,
        exact=candidate.exact,
        score=candidate.score,
        reranked=candidate.reranked,
    )


def marked_words(found: Mapping[str, Any]) -> tuple[str, ...]:
    """The words that the server marked, in small letters, in alphabetical order."""
    texts = (text for parts in (found.get("highlight") or {}).values() for text in parts)
    # A mark may span a whole phrase, and the markup around a word.
    marked = " ".join(plain(unescape(part)) for text in texts for part in _MARKED.findall(text))
    return tuple(sorted(set(_WORD.findall(marked.casefold()))))
