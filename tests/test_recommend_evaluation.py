from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.history import Event
from shelfwise.hit import Hit
from shelfwise_indexer.held_out import HeldOut
from shelfwise_indexer.indexed import IndexedCatalogue
from shelfwise_indexer.recommend_evaluation import Given, asked, evaluate_recommend

IDS = "abcde"
HITS = tuple(Hit(id_, 0.0, f"Product {id_}", (), (), None, None, None, None, None, None, {}) for id_ in IDS)
VECTORS = np.array([[1, 0], [0.8, 0.6], [1, 0], [0, 1], [0, 1]], dtype=np.float32)
CATALOGUE = IndexedCatalogue(HITS, tuple(IDS), VECTORS)
PEOPLE = [
    HeldOut("u1", (Event("a"),), "b"),
    HeldOut("u\0 2", (Event("a"),), "c"),  # whatever characters an id holds
    HeldOut("水", (Event("a"),), "d"),
    HeldOut("u4", (Event("a"),), "e"),
]


def evaluated(k=3, **lists):
    """Lists of ids by system, one for each of the people."""
    systems = {
        name: {
            person.user: Given(tuple(ids), 0.001 * (place + 1))
            for place, (person, ids) in enumerate(zip(PEOPLE, given, strict=True))
        }
        for name, given in lists.items()
    }
    return evaluate_recommend(systems, PEOPLE, CATALOGUE, 10, k)


def test_measures_are_those_computed_by_hand():
    [line] = evaluated(blend=["bcd", "bc", "bce", ""]).to_json()
    ndcg = [1.0, 1 / log2(3), 0.0, 0.0]
    assert line["users"] == 4
    assert line["recall@3"] == 0.5
    assert line["mrr"] == pytest.approx((1 + 1 / 2) / 4)
    assert line["ndcg@3"] == pytest.approx(sum(ndcg) / 4, abs=1e-4)
    assert line["standard_error"]["recall@3"] == pytest.approx(np.std([1, 1, 0, 0], ddof=1) / 2, abs=1e-4)
    assert line["standard_error"]["ndcg@3"] == pytest.approx(np.std(ndcg, ddof=1) / 2, abs=1e-4)
    assert line["coverage"] == pytest.approx(4 / 10)  # b, c, d, e of ten
    assert line["short"] == pytest.approx(2 / 4)
    assert line["zero_results"] == pytest.approx(1 / 4)
    # Cosines: b-c .8, b-d .6, c-d 0; b-c .8; b-c .8, b-e .6, c-e 0.
    assert line["diversity"] == pytest.approx(np.mean([1 - 1.4 / 3, 0.2, 1 - 1.4 / 3]), abs=1e-4)
    assert line["latency_ms"] == {"p50": 2.5, "p95": pytest.approx(3.85, abs=0.051)}


def test_hits_beyond_k_count_nothing():
    [line] = evaluated(k=1, blend=["ab", "c", "a", "a"]).to_json()
    assert (line["recall@1"], line["mrr"], line["ndcg@1"]) == (0.25, 0.25, 0.25)


def test_differences_are_person_by_person_and_to_every_system_before():
    evaluation = evaluated(popularity=["a"] * 4, content=["b", "a", "a", "a"], blend=["b", "c", "d", "a"])
    lines = list(evaluation.to_json())
    assert [list(line["minus"]) for line in lines] == [[], ["popularity"], ["popularity", "content"]]
    assert lines[2]["minus"]["popularity"]["recall@3"]["mean"] == 0.75
    assert lines[2]["minus"]["content"]["mrr"]["mean"] == 0.5
    assert evaluation.minus("blend", "content", "recall@3").low >= 0
    assert not evaluation.minus("blend", "content", "recall@3").worse


def test_no_list_of_two_has_no_diversity():
    [line] = evaluated(blend=["b", "", "", ""]).to_json()
    assert line["diversity"] is None


def test_people_are_asked_one_by_one_with_their_history():
    seen = []

    def system(history, k):
        seen.append((history, k))
        return HITS[:k]

    given_ = asked(system, PEOPLE, 2)
    assert seen == [((Event("a"),), 2)] * 4
    assert given_["水"].hits == ("a", "b")
    assert given_["水"].seconds >= 0


@given(st.lists(st.permutations(IDS).map(lambda ids: ids[:4]), min_size=4, max_size=4), st.integers(1, 5))
def test_measures_are_those_of_the_rank_alone(lists, k):
    """The slow twin: one product is hidden, so that each measure is a formula of its rank."""
    system = evaluated(k=k, blend=lists).systems["blend"]
    for person, ids in zip(PEOPLE, lists, strict=True):
        rank = ids.index(person.next) + 1 if person.next in ids[:k] else None
        assert system.measures[f"recall@{k}"][person.user] == (rank is not None)
        assert system.measures["mrr"][person.user] == pytest.approx(1 / rank if rank else 0.0)
        assert system.measures[f"ndcg@{k}"][person.user] == pytest.approx(1 / log2(rank + 1) if rank else 0.0)
