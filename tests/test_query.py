import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from shelfwise.query import (
    SHOWN,
    any_of,
    attributes_of_some,
    brute_force,
    by_ids,
    by_own_ids,
    cosine,
    counted,
    enriched_after,
    holds,
    how_many,
    in_any_of,
    lexical,
    nodes,
    not_enriched,
    one_a_group,
    product_with_vector,
    recommendable,
    semantic,
    shortest,
    with_corrections,
    with_highlights,
)

STOCKED = {"term": {"in_stock": {"value": True}}}
SHOWN_FIELDS = [
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


def is_attribute(*written):
    return {"dis_max": {"queries": [{"term": {"attributes": {"value": text}}} for text in written]}}


def test_a_lexical_search_looks_for_english_and_chinese_words_and_filters():
    assert lexical("red kettle", 3, [STOCKED]) == {
        "size": 3,
        "_source": SHOWN_FIELDS,
        "track_total_hits": False,
        "query": {
            "bool": {
                "must": [
                    {
                        "dis_max": {
                            "queries": [
                                {
                                    "combined_fields": {
                                        "query": "red kettle",
                                        "fields": ["title.english^5", "brand.english^3", "description.english^1"],
                                    }
                                },
                                {
                                    "combined_fields": {
                                        "query": "red kettle",
                                        "fields": ["title.cjk^5", "brand.cjk^3", "description.cjk^1"],
                                    }
                                },
                                {"match": {"title": {"query": "red kettle", "operator": "and"}}},
                                {"terms": {"id": ["red kettle", "RED KETTLE"], "boost": 50.0}},
                            ],
                        }
                    }
                ],
                "should": [
                    {"match_phrase": {"title.english": {"query": "red kettle", "slop": 3}}},
                    is_attribute("red", "RED", "Red"),
                    is_attribute("kettle", "KETTLE", "Kettle"),
                    is_attribute("red kettle", "RED KETTLE", "Red kettle", "Red Kettle"),
                ],
                "filter": [STOCKED],
            }
        },
    }


def test_other_readings_of_the_words_are_further_ways_to_match_that_weigh_less():
    ways = lexical("tv", 3, others=["television"])["query"]["bool"]["must"][0]["dis_max"]["queries"]
    assert len(ways) == 7
    assert ways[:3] == lexical("tv", 3)["query"]["bool"]["must"][0]["dis_max"]["queries"][:3]
    assert ways[3] == {
        "combined_fields": {
            "query": "television",
            "fields": ["title.english^5", "brand.english^3", "description.english^1"],
            "boost": 0.8,
        }
    }
    assert ways[5] == {"match": {"title": {"query": "television", "operator": "and", "boost": 0.8}}}


def test_words_and_pairs_of_them_may_be_attributes_in_any_reading_and_are_so_many_at_most():
    def asked(words, others=()):
        clauses = lexical(words, 3, others=others)["query"]["bool"]["should"]
        ways = [clause["dis_max"]["queries"] for clause in clauses if "dis_max" in clause]
        return [first["term"]["attributes"]["value"] for first, *_ in ways]

    assert asked('Mug, "red"') == ["Mug", "red", "Mug red"]
    assert asked("gray mug", ["grey mug"]) == ["gray", "mug", "gray mug", "grey", "grey mug"]
    assert asked("iphone 5 case") == ["iphone", "case", "iphone 5", "5 case"]  # not 5, which any attribute may be
    assert asked("...") == []
    assert len(asked(" ".join(f"w{chr(97 + n)}" for n in range(26)))) == 24


def test_an_id_is_looked_for_as_typed_and_in_other_letters():
    *_, way = lexical("kettle zsu-04 2m", 3)["query"]["bool"]["must"][0]["dis_max"]["queries"]
    written = ["zsu 04", "zsu04", "zsu_04", "zsu.04", "zsu/04"]
    forms = [form for text in ("kettle zsu-04 2m", "zsu-04", *written) for form in (text, text.upper())]
    assert sorted(way["terms"]["id"]) == sorted(forms)
    assert way["terms"]["id"][:4] == ["kettle zsu-04 2m", "KETTLE ZSU-04 2M", "zsu-04", "ZSU-04"]


def test_an_id_is_looked_for_in_other_writing():
    *_, way = lexical("CS7731", 3)["query"]["bool"]["must"][0]["dis_max"]["queries"]
    assert {"CS-7731", "cs-7731", "CS_7731", "CS.7731", "CS 7731", "CS/7731"} <= set(way["terms"]["id"])
    assert len(lexical(" ".join(f"ab{number}cd" for number in range(100)), 3)["query"]["bool"]["should"]) <= 49


def test_a_title_may_write_letters_and_digits_apart_or_together():
    query = lexical("TK1700 kettle", 3)["query"]["bool"]
    phrase = {"match_phrase": {"title.english": {"query": "tk 1700"}}}
    assert phrase in query["must"][0]["dis_max"]["queries"]
    assert phrase in query["should"]


def test_spelling_and_highlights_are_asked_for_beside_the_same_search():
    plain = lexical("ketel", 3)
    begun = {"suggest_mode": "missing", "prefix_length": 0, "size": 10, "max_edits": 1}
    assert with_corrections(plain, "ketel") == plain | {
        "suggest": {
            "text": "ketel",
            "spelling": {"term": {"field": "title", "suggest_mode": "missing", "prefix_length": 1, "size": 1}},
            "brands": {"term": {"field": "brand.cjk", "suggest_mode": "missing", "prefix_length": 1, "size": 1}},
            "swapped": {"term": {"field": "title", **begun}},
            "swapped_brands": {"term": {"field": "brand.cjk", **begun}},
        }
    }
    highlight = with_highlights(plain)["highlight"]
    assert highlight["encoder"] == "html"
    assert highlight["highlight_query"] == plain["query"]["bool"]["must"][0]
    assert highlight["fields"]["title.english"] == {"number_of_fragments": 0}


def test_what_is_counted_holds_the_words_or_passes_the_filters():
    assert counted([STOCKED], "kettle")["query"] == lexical("kettle", 0, [STOCKED])["query"]
    assert counted([STOCKED])["query"] == {"bool": {"filter": [STOCKED]}}
    assert counted([])["size"] == 0
    assert holds("sony")["multi_match"]["query"] == "sony"


def test_words_beyond_the_bound_are_not_sent():
    assert "x" * 513 not in str(lexical("x" * 10_000, 3))


def test_a_semantic_search_filters_within_the_graph_and_rescores_with_floats():
    assert semantic([0.6, 0.8], 3, [STOCKED]) == {
        "size": 3,
        "_source": SHOWN_FIELDS,
        "track_total_hits": False,
        "knn": {
            "field": "shelfwise.vector",
            "query_vector": [0.6, 0.8],
            "k": 3,
            "num_candidates": 500,
            "filter": [STOCKED],
            "rescore_vector": {"oversample": 3.0},
        },
    }


def test_more_hits_take_more_candidates_up_to_the_bound_of_the_server():
    assert [semantic([1.0], k)["knn"]["num_candidates"] for k in (100, 500, 10_000)] == [500, 1000, 10_000]


def test_an_exact_search_compares_all_that_pass_the_filter():
    assert brute_force([0.6, 0.8], 3, [STOCKED]) == {
        "size": 3,
        "_source": SHOWN_FIELDS,
        "track_total_hits": False,
        "query": {
            "script_score": {
                "query": {"bool": {"filter": [STOCKED, {"exists": {"field": "shelfwise.vector"}}]}},
                "script": {
                    "source": "Math.max(0.0, (1.0 + dotProduct(params.vector, 'shelfwise.vector')) / 2.0)",
                    "params": {"vector": [0.6, 0.8]},
                },
            }
        },
    }


def test_the_script_never_holds_the_vector_so_that_it_is_compiled_once():
    sources = {
        brute_force(vector, 1)["query"]["script_score"]["script"]["source"] for vector in ([1.0, 0.0], [0.0, 1.0])
    }
    assert len(sources) == 1


def test_a_score_of_one_is_a_cosine_of_one_and_a_score_of_zero_its_opposite():
    assert [cosine(score) for score in (1.0, 0.5, 0.0)] == [1.0, 0.0, -1.0]


def test_products_are_fetched_by_id():
    assert by_ids(["a", "b"], [STOCKED]) == {
        "size": 2,
        "_source": SHOWN_FIELDS,
        "track_total_hits": False,
        "query": {"bool": {"filter": [{"ids": {"values": ["a", "b"]}}, STOCKED]}},
    }


def test_a_product_comes_with_its_vector_as_a_field():
    assert product_with_vector("a") == {
        "size": 1,
        "_source": [*SHOWN_FIELDS, "shelfwise.similar"],
        "fields": ["shelfwise.vector"],
        "query": {"term": {"id": {"value": "a"}}},
    }


def test_what_is_recommended_is_not_the_product_nor_a_variant_nor_out_of_stock():
    assert recommendable("a", "g") == [
        {
            "bool": {
                "must_not": [
                    {"term": {"in_stock": {"value": False}}},
                    {"term": {"shelfwise.group": {"value": "g"}}},
                    {"ids": {"values": ["a"]}},
                ]
            }
        }
    ]


def test_small_conditions():
    assert in_any_of([("A", "B"), ("C",)]) == {"terms": {"shelfwise.ancestors": ["A > B", "C"]}}
    assert enriched_after("2026-01-01") == {"range": {"shelfwise.enriched_at": {"gt": "2026-01-01"}}}
    assert any_of(STOCKED) == {
        "size": 0,
        "track_total_hits": 1,
        "terminate_after": 1,
        "query": {"bool": {"filter": [STOCKED]}},
    }
    assert one_a_group({"size": 1}) == {"size": 1, "collapse": {"field": "shelfwise.group"}}
    assert nodes()["aggs"] == {"nodes": {"terms": {"field": "shelfwise.ancestors", "size": 10_000}}}
    assert attributes_of_some()["_source"] == ["attributes"]


def test_no_search_asks_for_vectors_in_the_source():
    assert not any("vector" in name for name in SHOWN)


@given(arrays.arrays(np.float32, (2, 3), elements=st.floats(-1, 1, width=32)))
def test_a_vector_travels_in_few_digits_and_arrives_as_it_was(vectors):
    sent = shortest(vectors)
    assert (np.asarray(sent, dtype=np.float32) == vectors).all()
    assert len(orjson.dumps(sent)) <= len(orjson.dumps(vectors.tolist()))


def test_few_digits_are_half_of_them():
    vectors = np.random.default_rng(1).normal(size=(1, 384)).astype(np.float32) / 20
    assert len(orjson.dumps(shortest(vectors))) < 0.6 * len(orjson.dumps(vectors.tolist()))


def test_what_has_no_vector_is_given_by_its_id():
    lacking = {"bool": {"filter": [STOCKED], "must_not": [{"exists": {"field": "shelfwise.vector"}}]}}
    assert by_own_ids(not_enriched([STOCKED]), 7) == {
        "size": 7,
        "_source": SHOWN_FIELDS,
        "track_total_hits": False,
        "query": lacking,
        "sort": [{"id": "asc"}],
    }


def test_products_are_counted_as_far_as_a_window():
    assert how_many([STOCKED], 100) == {
        "size": 0,
        "track_total_hits": 100,
        "query": {"bool": {"filter": [STOCKED, {"exists": {"field": "shelfwise.vector"}}]}},
    }
