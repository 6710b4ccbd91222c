import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.hit import Hit
from shelfwise_indexer.evaluate import ndcg
from shelfwise_indexer.judgements import JudgementError, Judgements
from shelfwise_indexer.search_evaluation import evaluate_search, ndcg_of

JUDGEMENTS = Judgements.from_json(
    [
        {"id": "q1", "query": "kettle", "category": None, "grades": {"a": 3, "b": 1, "c": 0}},
        {"id": "q2", "query": "mug", "category": None, "grades": {"b": 2}},
        {"id": "q3", "query": "nothing fits", "category": None, "grades": {"a": 0}},
    ]
)
PRODUCTS = st.sampled_from("abcdefgh")


def hit(id_):
    return Hit(id_, 1.0, f"title of {id_}", (), (), None, None, None, None, None, None, {})


def system(**answers):
    """A search that knows its answers by heart: query id to the letters of its hits."""
    return lambda query, k: [hit(id_) for id_ in answers.get(query.id, "")][:k]


def evaluated(products=8, k=10, relevant=1, **systems):
    return evaluate_search(systems, JUDGEMENTS, products, k, relevant)


def test_measures_are_those_computed_by_hand():
    [line] = evaluated(bm25=system(q1="xba", q2="")).to_json()
    # q1: (1 / log2(3) + 7 / 2) / (7 + 1 / log2(3)) = .5412, both found, the first at rank 2; q2 has no hit.
    assert line["ndcg@10"] == pytest.approx(0.5412 / 2, abs=1e-4)
    assert (line["recall@10"], line["mrr"], line["zero_results"]) == (0.5, 0.25, 0.5)
    assert (line["queries"], line["hits"], line["unjudged"], line["coverage"]) == (2, 3, 1, 3 / 8)
    assert set(line["latency_ms"]) == {"p50", "p95"}


def test_diversity_is_of_the_lists_of_two_and_more_whose_products_have_vectors():
    vectors = {
        id_: np.array(vector, dtype=np.float32) for id_, vector in zip("abc", [(1, 0), (0.6, 0.8), (0, 1)], strict=True)
    }
    asked = []
    systems = {"bm25": system(q1="abc", q2="bx"), "empty": system(q1="a")}
    evaluation = evaluate_search(systems, JUDGEMENTS, 8, vectors_of=lambda ids: asked.append(set(ids)) or vectors)
    bm25, empty = evaluation.to_json()
    assert bm25["diversity"] == pytest.approx(1 - (0.6 + 0.0 + 0.8) / 3, abs=1e-4)
    assert empty["diversity"] is None
    assert asked == [set("abcx")]
    assert next(evaluated(bm25=system(q1="abc")).to_json())["diversity"] is None


def test_recall_and_mrr_count_grades_from_the_given_one():
    [line] = evaluated(bm25=system(q1="ba", q2="b"), relevant=2).to_json()
    assert (line["recall@10"], line["mrr"]) == (1.0, 0.75)


def test_hits_past_k_do_not_count():
    [line] = evaluated(bm25=system(q1="xya", q2="b"), k=2).to_json()
    assert (line["ndcg@2"], line["recall@2"], line["hits"]) == (0.5, 0.5, 3)


def test_each_system_is_compared_with_those_before_it():
    bm25, hybrid = evaluated(bm25=system(q1="a", q2="x"), hybrid=system(q1="a", q2="b")).to_json()
    assert bm25["minus"] == {}
    assert hybrid["minus"]["bm25"] == {"queries": 2, "mean": 0.5, "low": 0.0, "high": 1.0}


def test_a_query_without_a_relevant_product_is_left_out_and_none_at_all_is_an_error():
    assert [query.id for query in evaluated(bm25=system()).queries] == ["q1", "q2"]
    with pytest.raises(JudgementError, match="no query has a product of grade 4 or more"):
        evaluated(bm25=system(), relevant=4)


def test_saved_figures_hold_what_another_run_is_compared_with():
    saved = evaluated(bm25=system(q1="a", q2="b")).figures()
    assert saved["systems"]["bm25"]["ndcg_of"] == {"q1": pytest.approx(7 / (7 + 0.63093), abs=1e-4), "q2": 1.0}
    assert Judgements.from_json(saved["judgements"]["queries"]).sha256 == JUDGEMENTS.sha256


@given(
    st.dictionaries(PRODUCTS, st.integers(0, 5), min_size=1).filter(lambda grades: any(grades.values())),
    st.lists(PRODUCTS, unique=True),
    st.integers(1, 10),
)
def test_the_librarys_ndcg_with_our_gains_is_the_formula(grades, ranked, k):
    assert ndcg_of({"q": grades}, {"q": ranked}, k)["q"] == pytest.approx(ndcg(ranked, grades, k), abs=1e-6)
