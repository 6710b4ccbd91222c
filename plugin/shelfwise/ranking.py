"""The ranking: what the retrievers found becomes one list, by fusion, the query's category and the shop's habits.

A product's score is that of the fusion, times 1 + boost for its category, times 1 + boost for its popularity. Products
with the query's exact model number then come first and what is out of stock last, whatever their scores. Of a product
without a vector its words count for both: a new one is not behind all that is near to anything that was typed.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from shelfwise.belief import TRUST_DEPTH, Belief, trust
from shelfwise.exact import Exact
from shelfwise.fusion import Fused, min_max, reciprocal_rank
from shelfwise.hit import group_of
from shelfwise.query import cosine
from shelfwise.search_settings import SearchSettings
from shelfwise.source import listed, popularity_of
from shelfwise.spelling import Correction

Found = Mapping[str, Any]
_FLOORS = {"lexical": 0.0}  # of BM25: the worst that holds a word is not as far off as what holds none


@dataclass(frozen=True, slots=True)
class Reranked:
    """What the reranker made of a product."""

    rank: int
    """Its rank before, 1 = best."""
    score: float
    """The reranker's, a logit."""
    blended: float
    """With the score so far, 0 to 1: what the new order is by."""


class Candidate(NamedTuple):
    """One product that a retriever found, with all that its place depends on."""

    id: str
    found: Found
    """The entry of the server's `hits.hits`."""
    score: float
    """After the boosts."""
    fused: Fused
    ranks: Mapping[str, int]
    """Of each retriever that found it, 1 = best."""
    scores: Mapping[str, float]
    """Of each retriever that found it: BM25 of `lexical`, cosine of `semantic`."""
    category_share: float
    """How far it lies in what the query asks for, 0 to 1; see `Belief.share`."""
    category_trust: float
    """How far the retrievers bear the category out, 0 to 1; see `trust`."""
    category_boost: float
    popularity_boost: float
    exact: bool
    reranked: Reranked | None = None
    """None: it was not read."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What the retrievers gave for one query, each list best first."""

    lists: Mapping[str, Sequence[Found]]
    """`lexical`, `semantic` or both."""
    added: Sequence[Found] = ()
    """The nearest of likely categories; those that `semantic` lacks rank behind it."""
    corrections: tuple[Correction, ...] = ()
    counted: Mapping[str, Any] | None = None
    """The server's answer to `query.counted`, if it was asked."""
    not_enriched: bool = False
    """Whether there may be products that pass the filters and that no vector search finds, as they have none."""


def rank(
    retrieved: Retrieved,
    settings: SearchSettings,
    weights: Mapping[str, float] | None,
    belief: Belief | None,
    exact: Exact | None,
    explained: bool = True,
) -> list[Candidate]:
    """All products found, best first; ties break by the words that they hold, then by id.

    :param weights: retriever to weight, as the settings or the query have them.
    :param belief: None: no boost by category.
    :param exact: None: no product comes first for holding the query's very words.
    :param explained: whether to say each product's ranks and scores, which no place depends on.
    """
    lists = {name: _ordered(found) for name, found in retrieved.lists.items()}
    # Of a product that several found, the entry of `lexical` stays: it has the marked words.
    by_id = {hit["_id"]: hit for found in (retrieved.added, *reversed(lists.values())) for hit in found}
    by_rank = len(lists) > 1 and settings.fusion == "rank"
    fused_lists = _with_added(lists, retrieved.added) if by_rank else lists
    fused = _fused(fused_lists, retrieved.added, settings, weights)
    ranks = _ranks(fused_lists) if explained else {}
    scores = _scores(fused_lists) if explained else {}
    shares: Mapping[str, float] = {}
    trusted = 0.0
    if belief is not None and settings.category_boost:
        shares = _shares(belief, by_id)
        # By score, what was added stands behind the others, with 0.
        best = (fused if len(lists) > 1 and not by_rank else _by_scores(lists, weights))[:TRUST_DEPTH]
        trusted = trust([shares[one.id] for one in best], [one.score for one in best])
    if len(lists) > 1:
        fused = _with_words_for_vectors(fused, by_id, weights or {})
    popularity = _popularity(by_id.values()) if settings.popularity else {}
    first = exact.among(by_id.values()) if exact is not None else frozenset()
    candidates = []
    for one in fused:
        share = shares.get(one.id, 0.0)
        category_boost = settings.category_boost * trusted * share
        popularity_boost = settings.popularity * popularity.get(one.id, 0.0)
        candidates.append(
            Candidate(
                id=one.id,
                found=by_id[one.id],
                score=one.score * (1.0 + category_boost) * (1.0 + popularity_boost),
                fused=one,
                ranks=ranks.get(one.id, {}),
                scores=scores.get(one.id, {}),
                category_share=share,
                category_trust=trusted,
                category_boost=category_boost,
                popularity_boost=popularity_boost,
                exact=one.id in first,
            )
        )
    # Of equals, what holds a word is nearer.
    by_words = {hit["_id"]: place for place, hit in enumerate(lists.get("lexical", ()))}
    return sorted(candidates, key=lambda c: (not c.exact, -c.score, by_words.get(c.id, len(by_words)), c.id))


def unranked(found: Found) -> Candidate:
    """A product that no retriever found."""
    return Candidate(found["_id"], found, 0.0, Fused(found["_id"], 0.0, {}), {}, {}, 0.0, 0.0, 0.0, 0.0, False)


def weights_that_count(shares: Mapping[str, float], found: Found, weights: Mapping[str, float]) -> Mapping[str, float]:
    """The retrievers' weights for one product: its words have the whole where no run has given it a vector.

    :param shares: what the fusion gave for it.
    """
    lexical = weights.get("lexical", 1.0)
    if not lexical or "semantic" in shares or is_enriched(found):
        return weights
    return {"lexical": lexical + weights.get("semantic", 1.0), "semantic": 0.0}


def is_enriched(found: Found) -> bool:
    """Whether a run has given the product a vector: what the shop wrote since has none yet."""
    return (found["_source"].get("shelfwise") or {}).get("status") is not None


def nodes_of(found: Found) -> list[str]:
    """The product's `shelfwise.ancestors`."""
    return listed((found["_source"].get("shelfwise") or {}).get("ancestors"))


def with_categories(candidate: Candidate, source: Mapping[str, Any]) -> Candidate:
    """The same product with the categories of another `_source` of it."""
    own = candidate.found["_source"]
    category = (source.get("shelfwise") or {}).get("category")
    told = {**own, "shelfwise": {**own["shelfwise"], "category": category}}
    return candidate._replace(found={**candidate.found, "_source": told})


def one_of_each_group(candidates: Iterable[Candidate], seen: set[str]) -> list[Candidate]:
    """The first of each group; `seen` is what groups came before, and grows."""
    kept = []
    for candidate in candidates:
        group = group_of(candidate.found)
        if group not in seen:
            seen.add(group)
            kept.append(candidate)
    return kept


def _shares(belief: Belief, by_id: Mapping[str, Found]) -> dict[str, float]:
    """How far each product lies in what the query asks for; products of one category share one answer."""
    of_nodes: dict[tuple[str, ...], float] = {}
    shares = {}
    for id_, found in by_id.items():
        nodes = tuple(nodes_of(found))
        if nodes not in of_nodes:
            of_nodes[nodes] = belief.share(nodes)
        shares[id_] = of_nodes[nodes]
    return shares


def _fused(
    lists: Mapping[str, Sequence[Found]],
    added: Sequence[Found],
    settings: SearchSettings,
    weights: Mapping[str, float] | None,
) -> list[Fused]:
    if len(lists) == 1:
        [(name, found)] = lists.items()
        scores = ((hit["_id"], _scale(name, hit)) for hit in found)
        return [Fused(id_, score, {name: score}) for id_, score in scores]
    if settings.fusion == "rank":
        return reciprocal_rank({name: [hit["_id"] for hit in found] for name, found in lists.items()}, weights)
    # What was added does not stretch the scale of the others: it would move with every guess of the classifier.
    fused = _by_scores(lists, weights)
    known = {one.id for one in fused}
    return [*fused, *(Fused(hit["_id"], 0.0, {}) for hit in added if hit["_id"] not in known)]


def _with_words_for_vectors(
    fused: Sequence[Fused], by_id: Mapping[str, Found], weights: Mapping[str, float]
) -> list[Fused]:
    """The same, by the weights that count for each product."""
    lexical = weights.get("lexical", 1.0)
    done = []
    for one in fused:
        own = weights_that_count(one.shares, by_id[one.id], weights)
        if own is not weights:
            shares = {name: share * own["lexical"] / lexical for name, share in one.shares.items()}
            one = Fused(one.id, sum(shares.values()), shares)
        done.append(one)
    return done


def _with_added(lists: Mapping[str, Sequence[Found]], added: Sequence[Found]) -> dict[str, Sequence[Found]]:
    """The lists, with what was added behind what `semantic` has: the products there are nearer."""
    there = {hit["_id"] for hit in lists["semantic"]}
    return {**lists, "semantic": [*lists["semantic"], *(hit for hit in added if hit["_id"] not in there)]}


def _by_scores(lists: Mapping[str, Sequence[Found]], weights: Mapping[str, float] | None) -> list[Fused]:
    scores = {name: {hit["_id"]: _scale(name, hit) for hit in found} for name, found in lists.items()}
    return min_max(scores, weights, _FLOORS)


def _ordered(found: Sequence[Found]) -> list[Found]:
    return sorted(found, key=lambda hit: (-hit["_score"], hit["_id"]))


def _scale(retriever: str, hit: Found) -> float:
    return cosine(hit["_score"]) if retriever == "semantic" else float(hit["_score"])


def _ranks(lists: Mapping[str, Sequence[Found]]) -> dict[str, dict[str, int]]:
    ranks: dict[str, dict[str, int]] = {}
    for name, found in lists.items():
        for place, hit in enumerate(found, start=1):
            ranks.setdefault(hit["_id"], {})[name] = place
    return ranks


def _scores(lists: Mapping[str, Sequence[Found]]) -> dict[str, dict[str, float]]:
    scores: dict[str, dict[str, float]] = {}
    for name, found in lists.items():
        for hit in found:
            scores.setdefault(hit["_id"], {})[name] = _scale(name, hit)
    return scores


def _popularity(found: Iterable[Found]) -> dict[str, float]:
    """Popularity of each product that has any, on a logarithmic scale, 1 = the most popular of those found."""
    given = {hit["_id"]: popular for hit in found if (popular := popularity_of(hit["_source"]))}
    most = math.log1p(max(given.values(), default=0.0))
    return {id_: math.log1p(value) / most for id_, value in given.items()} if most > 0.0 else {}
