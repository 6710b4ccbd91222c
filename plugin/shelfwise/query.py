"""Query bodies: what is sent to Elasticsearch, from values to dictionaries.

No text of a user ever becomes query syntax: it stands as a value of `match`, `combined_fields` or `term` only.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from string import capwords
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from shelfwise.exact import ids_in, written_otherwise
from shelfwise.facets import facet_bodies
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
OTHER_READING = 0.8  # of the score: what a shopper typed counts more than its synonym or its corrected spelling
ID_SCORE = 50.0  # of a product whose id was typed: more than its words give another, so that it is among those found
MAX_MARKED = 1_000_000  # characters of a field; of a longer one the server, not told so, refuses the whole search
BEGUN_OTHERWISE = 10  # words one edit away, among which is the one whose first two letters were swapped
PHRASE_SLOP = 3  # words that may stand between those of the query for its title to count as near
MOST_VALUES = 24  # words and pairs of words of a query that may be the value of an attribute, each a few clauses

_PUNCTUATION = ".,;:!?\"'()[]"

# The words of one language count together over title, brand and description (BM25F); title words matter most.
_WEIGHTED = (("title", 5), ("brand", 3), ("description", 1))


def shortest(vectors: npt.NDArray[np.float32]) -> list[list[float]]:
    """The numbers of vectors in as few digits as give the same float32 again: half of what `tolist` has a body hold.

    :param vectors: float32 [n, dimension].
    """
    numbers: list[list[float]] = orjson.loads(
        orjson.dumps(np.ascontiguousarray(vectors), option=orjson.OPT_SERIALIZE_NUMPY)
    )
    return numbers


def lexical(words: str, k: int, filters: Sequence[Body] = (), others: Sequence[str] = ()) -> Body:
    """The k best by their words (BM25), English or Chinese, or by their id; only the first 512 characters are read.

    Of products that hold a word, those rise that have another as an attribute: the red one to `red mug`.

    :param others: readings of the words, by synonyms or spelling, any of which may be meant as well.
    """
    words = words[:MAX_WORDS_LENGTH]
    ways = _ways(words)
    for other in others:
        ways += [_weaker(way) for way in _ways(other[:MAX_WORDS_LENGTH])]
    values = dict.fromkeys(value for text in (words, *others) for value in _values(text))
    written = [{"match_phrase": {"title.english": {"query": phrase}}} for phrase in written_otherwise(words)]
    ways += [*written, {"terms": {"id": ids_in(words), "boost": ID_SCORE}}]
    return {
        "size": k,
        "_source": SHOWN,
        "track_total_hits": False,
        "query": {
            "bool": {
                "must": [{"dis_max": {"queries": ways}}],
                "should": [
                    {"match_phrase": {"title.english": {"query": words, "slop": PHRASE_SLOP}}},
                    *written,
                    *map(_has_value, islice(values, MOST_VALUES)),
                ],
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


def brute_force(vector: Sequence[float], k: int, filters: Sequence[Body] = ()) -> Body:
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


def parts(values: Iterable[str]) -> Iterator[list[str]]:
    """So many at a time as the server takes in one clause: of ids as many as hits, of terms 65,536."""
    ordered = sorted(values)
    for start in range(0, len(ordered), MAX_HITS):
        yield ordered[start : start + MAX_HITS]


def categories_of(ids: Sequence[str]) -> Body:
    """The accepted categories of these products, in the order in which they were accepted."""
    return {**by_ids(ids), "_source": ["shelfwise.category"]}


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


def not_enriched_after(moment: str) -> Body:
    """Products that were not enriched after a moment (ISO 8601)."""
    return {"bool": {"must_not": [enriched_after(moment)]}}


def one_a_group(body: Body) -> Body:
    """The same search with the best product of each variant group only."""
    return {**body, "collapse": {"field": "shelfwise.group"}}


def any_of(condition: Body) -> Body:
    """Whether any product fulfils a condition, without counting them."""
    return {"size": 0, "track_total_hits": 1, "terminate_after": 1, "query": {"bool": {"filter": [condition]}}}


def how_many(filters: Sequence[Body], most: int) -> Body:
    """How many products with a vector pass the filters; from `most` on they are not counted."""
    condition = {"bool": {"filter": [*filters, {"exists": {"field": VECTOR}}]}}
    return {"size": 0, "track_total_hits": most, "query": condition}


def not_enriched(filters: Sequence[Body] = ()) -> Body:
    """Products without a vector that pass the filters: the shop wrote them, and no run has enriched them yet."""
    return {"bool": {"filter": list(filters), "must_not": [{"exists": {"field": VECTOR}}]}}


def by_own_ids(condition: Body, k: int) -> Body:
    """The first k products that fulfil a condition, in the order of their ids."""
    return {"size": k, "_source": SHOWN, "track_total_hits": False, "query": condition, "sort": [{"id": "asc"}]}


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


def with_corrections(body: Body, words: str) -> Body:
    """The same search, and the nearest that titles and brands have to each word that they lack; see `spelling`."""
    near = {"suggest_mode": "missing", "prefix_length": 1, "size": 1}
    begun = {"suggest_mode": "missing", "prefix_length": 0, "size": BEGUN_OTHERWISE, "max_edits": 1}
    asked = {
        "spelling": {"field": "title", **near},  # neither field holds stems
        "brands": {"field": "brand.cjk", **near},
        "swapped": {"field": "title", **begun},
        "swapped_brands": {"field": "brand.cjk", **begun},
    }
    suggest = {name: {"term": term} for name, term in asked.items()}
    return {**body, "suggest": {"text": words[:MAX_WORDS_LENGTH], **suggest}}


def holds(word: str) -> Body:
    """Products whose title, brand or description has the word, or another form of it: of `beds`, `bed`."""
    fields = ["title", "title.english", "brand.cjk", "brand.english", "description", "description.english"]
    return {"multi_match": {"query": word, "fields": fields}}


def with_fields(body: Body, names: Sequence[str]) -> Body:
    """The same search, with further fields of each hit."""
    return {**body, "_source": list(dict.fromkeys([*body["_source"], *names]))}


def with_highlights(body: Body) -> Body:
    """The same search, and for each hit its title and its description with the words marked `<em>`.

    What the shop wrote is escaped, so that it can stand in a page as it is.
    """
    # A field is marked by its own analyzer: stems and pairs of characters each mark what they matched.
    names = [f"{name}.{language}" for name in ("title", "brand", "description") for language in ("english", "cjk")]
    fields: Body = {name: {"number_of_fragments": 0} for name in names}
    words = body["query"]["bool"]["must"][0]  # not the phrase beside it, which would be marked with all that is within
    marked = {"encoder": "html", "max_analyzed_offset": MAX_MARKED, "highlight_query": words, "fields": fields}
    return {**body, "highlight": marked}


def counted(filters: Sequence[Body], words: str | None = None, others: Sequence[str] = ()) -> Body:
    """How many products a search is about, and how they spread over categories, brands and prices.

    :param words: those that hold one of them; None: all that pass the filters.
    """
    query = lexical(words, 0, filters, others)["query"] if words is not None else {"bool": {"filter": list(filters)}}
    return {"size": 0, "track_total_hits": True, "query": query, "aggs": facet_bodies()}


def _values(words: str) -> Iterator[str]:
    """The words of a query, and each two beside each other: what may be a colour, a material or a size.

    A number alone is none: any attribute may count as much, from ratings to packs.
    """
    single = [stripped for word in words.split() if (stripped := word.strip(_PUNCTUATION))]
    for value in (*single, *map(" ".join, pairwise(single))):
        if any(map(str.isalpha, value)):
            yield value


def _has_value(value: str) -> Body:
    """Products that have it as the value of any attribute: as it was typed, or in capitals as catalogues write it.

    Attributes are stored as they are, without an analysis that would make capitals small.
    """
    written = dict.fromkeys([value, value.lower(), value.upper(), value.capitalize(), capwords(value)])
    return {"dis_max": {"queries": [{"term": {"attributes": {"value": text}}} for text in written]}}


def _ways(words: str) -> list[Body]:
    return [
        *({"combined_fields": {"query": words, "fields": _fields(language)}} for language in ("english", "cjk")),
        {"match": {"title": {"query": words, "operator": "and"}}},
    ]


def _weaker(way: Body) -> Body:
    if "combined_fields" in way:
        return {"combined_fields": {**way["combined_fields"], "boost": OTHER_READING}}
    return {"match": {"title": {**way["match"]["title"], "boost": OTHER_READING}}}


def _fields(language: str) -> list[str]:
    return [f"{name}.{language}^{weight}" for name, weight in _WEIGHTED]
