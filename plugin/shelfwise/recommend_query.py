"""Query bodies of the recommendations, from values to dictionaries; pure, as those of `query`."""

from collections.abc import Iterable, Sequence

from shelfwise.query import SHOWN, VECTOR, Body, brute_force, in_any_of, parts
from shelfwise.taxonomy import Path

LIKENESS_TERMS = 25  # of a product, the words that say most (tf-idf)
LIKENESS_SHARE = "10%"  # of those words a product must hold, so that the long tail is not scored
VARIANTS = 1000  # of one product, whose titles are looked at
LIKENESS_FIELDS = ("title", "brand")  # descriptions are alike in their boilerplate


def history_products(ids: Sequence[str]) -> Body:
    """Products of a history: what a hit shows, the leaves considered, and whether the shop says they are consumable."""
    return {
        "size": len(ids),
        "_source": [*SHOWN, "shelfwise.candidates.category", "attributes.consumable"],
        "track_total_hits": False,
        "query": {"ids": {"values": list(ids)}},
    }


def vectors_of(ids: Sequence[str]) -> Body:
    """The vectors of products."""
    return {**history_products(ids), "_source": False, "fields": [VECTOR]}


def titles_of(group: str) -> Body:
    """Titles and brands of the products of a variant group."""
    return {
        "size": VARIANTS,
        "_source": ["title", "brand"],
        "fields": [],
        "track_total_hits": False,
        "query": {"term": {"shelfwise.group": {"value": group}}},
    }


def like_words(id_: str, title: str, k: int) -> Body:
    """The k products that share most words with one, itself among them: its score says how much can be shared (BM25).

    :param title: of the product; it decides whether words or pairs of Chinese characters are compared.
    """
    language = "english" if title.isascii() else "cjk"
    return {
        "size": k,
        "_source": False,
        "track_total_hits": False,
        "query": {
            "more_like_this": {
                "fields": [f"{field}.{language}" for field in LIKENESS_FIELDS],
                "like": [{"_id": id_}],
                "include": True,
                "min_term_freq": 1,
                "min_doc_freq": 1,
                "max_query_terms": LIKENESS_TERMS,
                "minimum_should_match": LIKENESS_SHARE,
            }
        },
    }


def vector_scores(vector: Sequence[float], ids: Sequence[str]) -> Body:
    """The score of `query.brute_force` for the products of these ids.

    :param vector: float32 [dimension], L2-normalised.
    """
    return {**brute_force(vector, len(ids), [{"ids": {"values": list(ids)}}]), "_source": False}


def none_of(ids: Iterable[str], groups: Iterable[str]) -> Body:
    """In stock as far as is known, none of these products and of none of these variant groups."""
    return {
        "bool": {
            "must_not": [
                {"term": {"in_stock": {"value": False}}},
                *({"ids": {"values": part}} for part in parts(ids)),
                *({"terms": {"shelfwise.group": part}} for part in parts(groups)),
            ]
        }
    }


def outside(paths: Sequence[Path]) -> Body:
    """Products of none of these nodes."""
    return {"bool": {"must_not": [in_any_of(paths)]}}
