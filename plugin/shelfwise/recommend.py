"""The recommendation: products like one that the shopper looks at."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elasticsearch import Elasticsearch

from shelfwise.alias import RECHECK_SECONDS, LiveAlias
from shelfwise.errors import UnknownProduct
from shelfwise.hit import Hit, listed
from shelfwise.index import LiveIndex
from shelfwise.query import (
    MAX_HITS,
    VECTOR,
    Body,
    by_ids,
    cosine,
    enriched_after,
    exact,
    in_any_of,
    one_a_group,
    product_with_vector,
    recommendable,
    semantic,
)
from shelfwise.search import check_k
from shelfwise.taxonomy import Path, ancestors, parse_path, path_text

SPARE = 3  # asked for this many times k: variants of one product take several places of a list


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A product that may stand beside the one looked at."""

    hit: Hit
    group: str
    steps_up: int
    """Steps from the product's leaf up to the node that both share: 0 in the same leaf."""


class SimilarProducts:
    """Recommends from the products behind an alias; needs no bundle, because the vectors are in the index.

    :param recheck: seconds after which a moved alias is noticed.
    :raises IncompatibleIndex: the alias is a plain index, or its index was not made by shelfwise.
    """

    def __init__(self, client: Elasticsearch, alias: str, recheck: float = RECHECK_SECONDS) -> None:
        self._alias = LiveAlias(client, alias, None, recheck)

    def similar(self, id_: str, k: int = 10) -> list[Hit]:
        """The k products most like this one: of the same category first, then of the one above it, and so on up.

        Never the product itself, one of its variants, or what is out of stock; of other variants of one product the
        best only. `score` is the cosine of the two vectors. They are the neighbours that the last full run stored
        (exact), together with products of the same category that arrived after it; the vectors are compared live
        when no neighbours are stored or fewer than k of them remain. So a new product is found beside old ones at
        once within its category, and beside those of other categories only once their stored neighbours run short.

        :raises UnknownProduct: the index has no such product.
        :raises UsageError: k outside 1 to 10,000.
        :raises ServerError: the server did not answer, or refused any part.
        """
        check_k(k)
        return self._alias.over(lambda index: self._similar(index, id_, k))

    def _similar(self, index: LiveIndex, id_: str, k: int) -> list[Hit]:
        [answer] = self._alias.ask(index, [product_with_vector(id_)])
        if not answer["hits"]["hits"]:
            raise UnknownProduct(f"there is no product {id_!r} in index {index.name}: check the id")
        product = answer["hits"]["hits"][0]
        enriched = product["_source"].get("shelfwise") or {}
        vector = [float(part) for part in product.get("fields", {}).get(VECTOR, [])]
        leaves = _leaves(enriched)
        allowed = recommendable(id_, _group(product))
        stored = {str(near["id"]): float(near["score"]) for near in listed(enriched.get("similar"))}

        bodies = [by_ids(list(stored)[:MAX_HITS], allowed)]
        if vector and leaves and (since := index.meta.get("completed_at")):
            arrived = [in_any_of(leaves), enriched_after(str(since))]
            bodies.append(semantic(vector, _spared(k), [*allowed, *arrived]))
        still_there, *newer = (answer["hits"]["hits"] for answer in self._alias.ask(index, bodies))
        candidates = [_candidate(found, stored[found["_id"]], "stored", leaves) for found in still_there]
        candidates += _live(newer, leaves)
        chosen = _best_of_groups(candidates, k)
        if len(chosen) == k or not vector:
            return chosen

        for bodies in (
            [semantic(vector, _spared(k), [*allowed, *within]) for within in _widening(leaves)],
            [one_a_group(exact(vector, k, allowed))],
        ):
            candidates += _live((answer["hits"]["hits"] for answer in self._alias.ask(index, bodies)), leaves)
            chosen = _best_of_groups(candidates, k)
            if len(chosen) == k:
                break
        return chosen


def _leaves(enriched: Mapping[str, Any]) -> list[Path]:
    """The product's categories; in review, the deepest node that the model is sure of."""
    if accepted := listed(enriched.get("category")):
        return [parse_path(text) for text in accepted]
    sure = [parse_path(text) for text in listed(enriched.get("ancestors"))]
    return sorted(sure, key=lambda path: (-len(path), path))[:1]


def _widening(leaves: Sequence[Path]) -> list[list[Body]]:
    """Filters that let ever more through: the leaves, the nodes above them, …, everything."""
    steps = range(max((len(leaf) for leaf in leaves), default=0))
    above = ([leaf[: len(leaf) - step] for leaf in leaves if len(leaf) > step] for step in steps)
    return [*([in_any_of(paths)] for paths in above), []]


def _candidate(found: Mapping[str, Any], score: float, source: str, leaves: Sequence[Path]) -> _Candidate:
    theirs = set(listed((found["_source"].get("shelfwise") or {}).get("ancestors")))
    steps = [len(leaf) - sum(path_text(node) in theirs for node in ancestors(leaf)) for leaf in leaves]
    return _Candidate(Hit.of(found, score, {source: score}), _group(found), min(steps, default=0))


def _live(lists: Iterable[Sequence[Mapping[str, Any]]], leaves: Sequence[Path]) -> list[_Candidate]:
    return [
        _candidate(found, cosine(found["_score"]), "live", leaves) for found_of_one in lists for found in found_of_one
    ]


def _group(found: Mapping[str, Any]) -> str:
    return str((found["_source"].get("shelfwise") or {}).get("group") or found["_id"])


def _best_of_groups(candidates: Iterable[_Candidate], k: int) -> list[Hit]:
    best: dict[str, _Candidate] = {}
    for candidate in sorted(candidates, key=lambda c: (c.steps_up, -c.hit.score, c.hit.id)):
        best.setdefault(candidate.group, candidate)
    return [candidate.hit for candidate in best.values()][:k]


def _spared(k: int) -> int:
    return min(MAX_HITS, SPARE * k)
