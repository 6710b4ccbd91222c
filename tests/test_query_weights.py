import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.errors import UsageError
from shelfwise.query_weights import GRID, QueryWeights, learn


def lexical(query, weights=QueryWeights()):  # noqa: B008 - frozen
    return weights.of(query)["lexical"]


def test_a_short_exact_query_leans_on_words_and_a_description_on_meaning():
    assert lexical("VX20K") > 0.5 > lexical("hp 74xl ink") > lexical("hp ink") > lexical("hp ink jet")
    assert lexical("kettle") == pytest.approx(0.310, abs=0.001)
    assert lexical("kettle") > lexical("glass tea kettle") > lexical("something to keep coffee hot on my commute")
    assert lexical("something to keep coffee hot on my commute") < 0.2


def test_a_vowel_sign_makes_no_word():
    assert QueryWeights().of("लाल सूती साड़ी") == QueryWeights().of("red cotton saree")


def test_a_chinese_query_is_as_long_as_its_pairs_of_characters():
    assert lexical("保温杯") == lexical("two words")


@given(st.text(max_size=300))
def test_the_weights_of_any_query_add_up_to_one(query):
    weights = QueryWeights().of(query)
    assert weights.keys() == {"lexical", "semantic"}
    assert sum(weights.values()) == pytest.approx(1.0)
    assert all(0.0 <= weight <= 1.0 for weight in weights.values())


def test_what_was_saved_is_loaded(tmp_path):
    weights = QueryWeights(0.5, 2.0, -0.1)
    weights.save(tmp_path / "fusion.json")
    assert QueryWeights.load(tmp_path / "fusion.json") == weights


@pytest.mark.parametrize(
    "content", ["", "[]", '{"bias": 1}', '{"bias": 1, "digits": "x", "length": 0}', '{"bias": 1, "a": 2, "length": 0}']
)
def test_a_broken_file_is_named_with_what_was_expected(tmp_path, content):
    (tmp_path / "fusion.json").write_text(content)
    with pytest.raises(UsageError, match=r'fusion .*fusion.json.*expected {"bias": -1.0'):
        QueryWeights.load(tmp_path / "fusion.json")
    with pytest.raises(UsageError, match=r"none.json cannot be read \(No such file"):
        QueryWeights.load(tmp_path / "none.json")


def test_learning_finds_that_digits_want_words_and_others_meaning():
    queries = ["ink 74", "kettle 2", "warm gift", "soft thing"] * 5
    wanted = np.array([1.0 if any(map(str.isdigit, query)) else 0.0 for query in queries])
    learnt = learn(queries, 1.0 - np.abs(wanted[:, None] - np.array(GRID)[None, :]))
    assert lexical("ink 74", learnt) > 0.6
    assert lexical("warm gift", learnt) < 0.35


def test_where_judgements_do_not_care_the_default_stays():
    assert learn(["a", "b 2"], np.ones((2, len(GRID)))) == QueryWeights()


def test_gains_of_another_shape_are_refused():
    with pytest.raises(UsageError, match=r"gains must be \[queries, 21\]"):
        learn(["a"], np.ones((1, 3)))
    with pytest.raises(UsageError):
        learn([], np.ones((0, len(GRID))))
