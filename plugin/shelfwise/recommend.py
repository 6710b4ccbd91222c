"""The recommendation: products like one that the shopper looks at."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from elasticsearch import Elasticsearch

from shelfwise.alias import RECHECK_SECONDS, LiveAlias
from shelfwise.bundle import Bundle
from shelfwise.clone import neighbours_at
from shelfwise.diversify import check_diversity, maximal_marginal_relevance
from shelfwise.errors import UnknownProduct, UsageError
from shelfwise.filing import Filing
from shelfwise.hit import Hit, Listing, distinct, group_of, known_categories, listing_of
from shelfwise.letters import word_pattern
from shelfwise.live_index import LiveIndex
from shelfwise.product import is_number, plain
from shelfwise.query import (
    MAX_HITS,
    VECTOR,
    Body,
    brute_force,
    by_ids,
    cosine,
    enriched_after,
    in_any_of,
    not_enriched_after,
    one_a_group,
    product_with_vector,
    recommendable,
    semantic,
)
from shelfwise.recommend_query import none_of, titles_of
from shelfwise.source import listed, price_of
from shelfwise.taxonomy import Path, ancestors, path_text
from shelfwise.wanted import check_k

_WORD = re.compile(word_pattern())
SHARED_WORDS = 3  # that a reason names
DIVERSE = 100  # candidates that hits are chosen from, at least, where they are to differ from each other
GROWTH = (1, 8, 64)  # times as many are asked for, in turn, while one listing over and over takes the places
SPARE = 3  # asked for this many times k: variants of one product take several places of a list


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A product that may stand beside the one looked at."""

    hit: Hit
    group: str
    listing: Listing
    steps_up: int
    """Steps from the product's leaf up to the node that both share: 0 in the same leaf."""
    vector: npt.NDArray[np.float32]
    """float32 [dimension]; empty where hits are not compared with each other."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """The product looked at: title, leaves, vector, what may stand beside it, and the listings that may not."""

    title: str
    leaves: Sequence[Path]
    vector: Sequence[float]
    allowed: Sequence[Body]
    listings: frozenset[Listing] = frozenset()


class SimilarProducts:
    """Recommends from the products behind an alias; needs no bundle, because the vectors are in the index.

    :param recheck: seconds after which a moved alias is noticed.
    :raises IncompatibleIndex: the alias is a plain index, or its index was not made by shelfwise.
    """

    def __init__(self, client: Elasticsearch, alias: str, recheck: float = RECHECK_SECONDS) -> None:
        self._alias_with = partial(LiveAlias, client, alias, recheck=recheck)
        self._alias = self._alias_with(None)

    def similar(self, id_: str, k: int = 10, *, diversity: float = 0.0, price_band: float | None = None) -> list[Hit]:
        """The k products most like this one: of the same category first, then of the one above it, and so on up.

        Never the product itself, one of its variants, a listing of the title and brand of any of these with its own
        variants, or what is out of stock; of other variants of one product, and of other listings of the same title and
        brand, the best only. Titles that differ in a word stay two products, however near their vectors: it may be a
        size, a model or "Pro" (`shelfwise duplicates` shows such pairs to a person). `score` is the cosine of the two
        vectors, `reason` says in words what they share.

        They are the neighbours that the last full run stored (exact), together with products of the same category that
        arrived after it; the vectors are compared live when fewer than k of them remain, or some of the k are of
        another category. So a new product is found beside old ones at once within its category, and beside those of
        other categories only where that has too few.

        :param diversity: 0 to 1, how much the hits of one category are to differ from each other; see `diversify`.
        :param price_band: .3 keeps to 70 to 130 % of the product's price; products without a price then do not count.
        :raises UnknownProduct: the index has no such product.
        :raises UsageError: k outside 1 to 10,000, diversity outside 0 to 1, a price band for a product without price.
        :raises ServerError: the server did not answer, or refused any part.
        """
        check_k(k)
        check_diversity(diversity)
        return self._alias.over(lambda index: self._similar(index, id_, k, diversity, price_band))

    def similar_to_text(self, text: str, bundle: Bundle, k: int = 10, *, diversity: float = 0.0) -> list[Hit]:
        """The k products most like a product that is only described: of its category first.

        Its category is filed as that of an indexed product is: the predicted leaf where the bundle accepts it, else the
        deepest node that is sure, which may be none. With none, or a text that the model can hardly read, closeness
        alone counts.

        :param bundle: the one that enriched the index; it reads the text.
        :raises IncompatibleIndex: the index was written with another bundle.
        :raises UsageError: a text without a word that the model knows, k outside 1 to 10,000, diversity outside 0 to 1.
        """
        check_k(k)
        check_diversity(diversity)
        words = plain(text)
        if not words:
            raise UsageError("the text is empty: expected a title, or a title and a description")
        if not bundle.encoder.knows(words):
            raise UsageError(f"the bundle's model knows no word of the text {words[:60]!r}: expected its own language")
        encoded = bundle.encoder.encode_documents([words])
        unread = encoded.unread is not None and bool(encoded.unread[0])
        leaves = Filing.of(bundle).categories(encoded.probabilities[0], unread)
        seen = _Seen(words, leaves, encoded.vectors[0].tolist(), [none_of((), ())])
        alias = self._alias_with(bundle)
        return alias.over(lambda index: _widened(alias, index, seen, [], k, diversity))

    def _similar(self, index: LiveIndex, id_: str, k: int, diversity: float, price_band: float | None) -> list[Hit]:
        [answer] = self._alias.ask(index, [product_with_vector(id_)])
        if not answer["hits"]["hits"]:
            raise UnknownProduct(f"there is no product {id_!r} in index {index.name}: check the id")
        product = answer["hits"]["hits"][0]
        source = product["_source"]
        enriched = source.get("shelfwise") or {}
        allowed = recommendable(id_, group_of(product))
        if price_band is not None:
            allowed.append(_priced(id_, price_of(source), price_band))
        vector = [float(part) for part in product.get("fields", {}).get(VECTOR, [])]
        seen = _Seen(
            str(source.get("title", "")),
            tuple(known_categories(product)),
            vector,
            allowed,
            frozenset({listing_of(product)}),
        )
        stored = {str(near["id"]): float(near["score"]) for near in listed(enriched.get("similar"))}

        since = neighbours_at(index)
        as_stored = [] if since is None else [not_enriched_after(since)]
        bodies = [by_ids(list(stored)[:MAX_HITS], [*allowed, *as_stored])]
        if vector and seen.leaves and since:
            arrived = [in_any_of(seen.leaves), enriched_after(since)]
            bodies.append(semantic(vector, _spared(k, diversity), [*allowed, *arrived]))
        if vector and seen.leaves and diversity > 0:
            bodies.append(semantic(vector, _spared(k, diversity), [*allowed, in_any_of(seen.leaves)]))
        group = titles_of(group_of(product))
        variants, still_there, *newer = _found(self._alias, index, [group, *bodies], diversity)
        seen = replace(seen, listings=seen.listings.union(map(listing_of, variants)))
        candidates = [_candidate(found, stored[found["_id"]], "stored", seen) for found in still_there]
        candidates += _live(newer, seen)
        chosen = _chosen(candidates, seen, k, diversity)
        # A leaf that had too few products when the neighbours were stored may have more by now.
        if not vector or (len(chosen) == k and all(one.steps_up == 0 for one in chosen)):
            return [one.hit for one in chosen]
        return _widened(self._alias, index, seen, candidates, k, diversity)


def _widened(
    alias: LiveAlias, index: LiveIndex, seen: _Seen, candidates: list[_Candidate], k: int, diversity: float
) -> list[Hit]:
    """The candidates and what is found live in the leaf, above it, and everywhere, until k are there.

    Variants of one product, or one listing over and over, may take all the places of a search. Then the leaf has more
    than it gave, and is asked for one of each group, and for more, before anything further away is taken.
    """
    chosen: list[_Candidate] = []
    left = list(enumerate(_widening(seen.leaves)))  # steps up, and the filter of what lies within them
    sizes = dict.fromkeys(min(MAX_HITS, growth * _spared(k, diversity)) for growth in GROWTH)
    for nearest, size in ((semantic, next(iter(sizes))), *((_one_of_each_group, size) for size in sizes)):
        bodies = [nearest(seen.vector, size, [*seen.allowed, *within]) for _, within in left]
        found = _found(alias, index, bodies, diversity)
        candidates = candidates + _live(found, seen)
        chosen = _chosen(candidates, seen, k, diversity)
        furthest = chosen[-1].steps_up if len(chosen) == k else math.inf
        left = [
            (steps, within)
            for (steps, within), hits in zip(left, found, strict=True)
            # A graph may miss some: what it finds of all products is not taken for all that there are.
            if steps < furthest and (len(hits) == size or (nearest is semantic and not within))
        ]
        if not left:
            break
    return [one.hit for one in chosen]


def _one_of_each_group(vector: Sequence[float], k: int, filters: Sequence[Body]) -> Body:
    return one_a_group(brute_force(vector, k, filters))


def _found(
    alias: LiveAlias, index: LiveIndex, bodies: Sequence[Body], diversity: float
) -> list[Sequence[Mapping[str, Any]]]:
    """What each search finds; vectors travel only where hits are compared with each other."""
    asked = [{"fields": [VECTOR], **body} for body in bodies] if diversity > 0 else bodies
    return [answer["hits"]["hits"] for answer in alias.ask(index, asked)]


def _priced(id_: str, price: float | None, band: float) -> Body:
    if not is_number(band) or not band > 0:
        raise UsageError(f"price band must be above 0, as .3 for 70 to 130 % of the product's price, got {band!r}")
    if not price:
        lacks = "has no price" if price is None else "has the price 0, around which there is no band"
        raise UsageError(f"product {id_!r} {lacks}: leave the price band out")
    return {"range": {"price": {"gte": price * (1 - min(band, 1.0)), "lte": price * (1 + band)}}}


def _widening(leaves: Sequence[Path]) -> list[list[Body]]:
    """Filters that let ever more through: the leaves, the nodes above them, …, everything."""
    steps = range(max((len(leaf) for leaf in leaves), default=0))
    above = ([leaf[: len(leaf) - step] for leaf in leaves if len(leaf) > step] for step in steps)
    return [*([in_any_of(paths)] for paths in above), []]


def _candidate(found: Mapping[str, Any], score: float, source: str, seen: _Seen) -> _Candidate:
    theirs = set(listed((found["_source"].get("shelfwise") or {}).get("ancestors")))
    steps = min(
        (len(leaf) - sum(path_text(node) in theirs for node in ancestors(leaf)) for leaf in seen.leaves), default=0
    )
    hit = Hit.of(found, score, {source: score})
    depth = min((len(leaf) for leaf in seen.leaves), default=0)
    vector = np.asarray(found.get("fields", {}).get(VECTOR, []), dtype=np.float32)
    hit = replace(hit, reason=_reason(hit.title, seen, steps, depth))
    return _Candidate(hit, group_of(found), listing_of(found), steps, vector)


def _reason(title: str, seen: _Seen, steps: int, depth: int) -> str:
    """What they share, in words: the category, and the first words that both titles have."""
    if not seen.leaves:
        kind = "like it"
    else:
        kind = "same category" if steps == 0 else "related category" if steps < depth else "another category"
    theirs = {word.casefold() for word in _WORD.findall(title)}
    shared = [word for word in dict.fromkeys(_WORD.findall(seen.title.casefold())) if word in theirs and len(word) > 1]
    return f"{kind}, both {' '.join(shared[:SHARED_WORDS])!r}" if shared else kind


def _live(lists: Iterable[Sequence[Mapping[str, Any]]], seen: _Seen) -> list[_Candidate]:
    return [
        _candidate(found, cosine(found["_score"]), "live", seen) for found_of_one in lists for found in found_of_one
    ]


def _chosen(candidates: Iterable[_Candidate], seen: _Seen, k: int, diversity: float) -> list[_Candidate]:
    """The best k, nearest category first: one of each variant group, one of each listing; within a category diverse."""
    tiers: dict[int, list[_Candidate]] = {}
    best = sorted(candidates, key=lambda c: (c.steps_up, -c.hit.score, c.hit.id))
    same = {candidate.group for candidate in best if candidate.listing in seen.listings}
    others = (candidate for candidate in best if candidate.group not in same)
    for candidate in distinct(others, lambda c: (c.group, c.listing)):
        tiers.setdefault(candidate.steps_up, []).append(candidate)
    chosen: list[_Candidate] = []
    for _, tier in sorted(tiers.items()):
        wanted = k - len(chosen)
        if diversity > 0 and all(len(candidate.vector) for candidate in tier):
            relevance = np.array([candidate.hit.score for candidate in tier], dtype=np.float32)
            vectors = np.stack([candidate.vector for candidate in tier])
            tier = [tier[at] for at in maximal_marginal_relevance(relevance, vectors, wanted, diversity)]
        chosen += tier[:wanted]
    return chosen


def _spared(k: int, diversity: float) -> int:
    return min(MAX_HITS, max(SPARE * k, DIVERSE if diversity > 0 else 0))
