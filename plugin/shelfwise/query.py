"""Query bodies: what is sent to Elasticsearch, from values to dictionaries.

No text of a user ever becomes query syntax: it stands as a value of `match`, `combined_fields` or `term` only.
"""

from collections.abc import Sequence
from typing import Any

from shelfwise.taxonomy import Path, path_text

Body = dict[str, Any]

VECTOR = "shelfwise.vector"
# What a hit shows, by name: so the vector never travels, on 8.x, where `_source` holds it, as on 9.2 and later.
SHOWN = [
    "id",
    "title",
    "brand",
    "price",
    "in_stock",
    "popularity",
    "created_at",
    "variant_of",
    "shelfwise.category",
    "shelfwise.ancestors",
    "shelfwise.confidence",
    "shelfwise.status",
    "shelfwise.group",
]
MAX_HITS = 10_000  # `max_result_window` of the mapping, and the server's limit of num_candidates
LEAST_CANDIDATES = 500
CANDIDATES_PER_HIT = 2
OVERSAMPLE = 3.0
MAX_WORDS_LENGTH = 512  # characters; every word is a clause per field, and the server bounds clauses
PHRASE_SLOP = 3  # words that may stand between those of the query for its title to count as near

# The words of one language count together over title, brand and description (BM25F); title words matter most.
_WEIGHTED = (("title", 5), ("brand", 3), ("description", 1))


def lexical(words: str, k: int, filters: Sequence[Body] = ()) -> Body:
    """The k best by their words (BM25), English or Chinese; only the first 512 characters are read."""
    words = words[:MAX_WORDS_LENGTH]
    ways = [
        *({"combined_fields": {"query": words, "fields": _fields(language)}} for language in ("english", "cjk")),
        {"match": {"title": {"query": words, "operator": "and"}}},
    ]
    return {
        "size": k,
        "_source": SHOWN,
        "track_total_hits": False,
        "query": {
            "bool": {
                "must": [{"dis_max": {"queries": ways}}],
                "should": [{"match_phrase": {"title.english": {"query": words, "slop": PHRASE_SLOP}}}],
                "filter": list(filters),
            }
        },
    }


def semantic(vector: Sequence[float], k: int, filters: Sequence[Body] = ()) -> Body:
    """The k nearest to a vector, approximately; the filter is applied within the search, so k remain.

    :param vector: float32 [dimension], L2-normalised.
    """
    candidates = min(MAX_HITS, max(LEAST_CANDIDATES, CANDIDATES_PER_HIT * k))
    return {
        "size": k,
        "_source": SHOWN,
        "track_total_hits": False,
        "knn": {
            "field": VECTOR,
            "query_vector": list(vector),
            "k": k,
            "num_candidates": candidates,
            "filter": list(filters),
            # The graph compares one-byte vectors; the best are compared again with the floats.
            "rescore_vector": {"oversample": OVERSAMPLE},
        },
    }


def exact(vector: Sequence[float], k: int, filters: Sequence[Body] = ()) -> Body:
    """The k nearest among all that pass the filter, each compared: `semantic`'s slow twin, with its scores."""
    return {
        "size": k,
        "_source": SHOWN,
        "track_total_hits": False,
        "query": {
            "script_score": {
                "query": {"bool": {"filter": [*filters, {"exists": {"field": VECTOR}}]}},
                "script": {
                    # Rounding can put a product of unit vectors below -1, and the server refuses scores below 0.
                    "source": f"Math.max(0.0, (1.0 + dotProduct(params.vector, '{VECTOR}')) / 2.0)",
                    "params": {"vector": list(vector)},
                },
            }
        },
    }


def cosine(score: float) -> float:
    """The cosine behind a score of `semantic` or `exact`."""
    return 2.0 * score - 1.0


def by_ids(ids: Sequence[str], filters: Sequence[Body] = ()) -> Body:
    """The products of these ids that pass the filter, in no order."""
    return {
        "size": len(ids),
        "_source": SHOWN,
        "track_total_hits": False,
        "query": {"bool": {"filter": [{"ids": {"values": list(ids)}}, *filters]}},
    }


def product_with_vector(id_: str) -> Body:
    """One product with its vector and stored neighbours. Asked for as a field, a vector comes on 8.x and 9.x alike."""
    return {
        "size": 1,
        "_source": [*SHOWN, "shelfwise.similar"],
        "fields": [VECTOR],
        "query": {"term": {"id": {"value": id_}}},
    }


def recommendable(own_id: str, own_group: str) -> list[Body]:
    """What may stand beside a product: not itself, none of its variants, nothing out of stock."""
    return [
        {
            "bool": {
                "must_not": [
                    {"term": {"in_stock": {"value": False}}},
                    {"term": {"shelfwise.group": {"value": own_group}}},
                    {"ids": {"values": [own_id]}},
                ]
            }
        }
    ]


def in_any_of(paths: Sequence[Path]) -> Body:
    """Products of any of these nodes or of what lies below them."""
    return {"terms": {"shelfwise.ancestors": [path_text(path) for path in paths]}}


def enriched_after(moment: str) -> Body:
    """Products that were enriched after a moment (ISO 8601)."""
    return {"range": {"shelfwise.enriched_at": {"gt": moment}}}


def one_a_group(body: Body) -> Body:
    """The same search with the best product of each variant group only."""
    return {**body, "collapse": {"field": "shelfwise.group"}}


def any_of(condition: Body) -> Body:
    """Whether any product fulfils a condition, without counting them."""
    return {"size": 0, "track_total_hits": 1, "terminate_after": 1, "query": {"bool": {"filter": [condition]}}}


def attributes_of_some() -> Body:
    """The attributes of some products, to name them in an error: the server keeps no list of their names."""
    return {
        "size": 1000,
        "_source": ["attributes"],
        "track_total_hits": False,
        "query": {"bool": {"filter": [{"exists": {"field": "attributes"}}]}},
    }


def nodes() -> Body:
    """The nodes of all categories that products carry."""
    return {
        "size": 0,
        "track_total_hits": False,
        "aggs": {"nodes": {"terms": {"field": "shelfwise.ancestors", "size": MAX_HITS}}},
    }


def _fields(language: str) -> list[str]:
    return [f"{name}.{language}^{weight}" for name, weight in _WEIGHTED]
