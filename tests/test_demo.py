import io
import math
from pathlib import Path

import pytest
from rich.console import Console

from shelfwise_indexer.demo import _show_next, _without_login, demo_folder, read_queries
from shelfwise_indexer.evaluate import ndcg

pytestmark = pytest.mark.model  # the demo imports what trains


def test_ndcg_of_two_graded_products_in_the_wrong_order():
    gains = (2**3 - 1, 2**1 - 1)
    ideal = gains[0] + gains[1] / math.log2(3)
    assert ndcg(["a", "b"], {"a": 3, "b": 1}) == pytest.approx(1.0)
    assert ndcg(["b", "a"], {"a": 3, "b": 1}) == pytest.approx((gains[1] + gains[0] / math.log2(3)) / ideal)


def test_ndcg_counts_unjudged_products_and_missing_ones_as_nothing():
    assert ndcg(["x", "a"], {"a": 3}) == pytest.approx(1 / math.log2(3))
    assert ndcg([], {"a": 3}) == 0
    assert ndcg(["a"], {"a": 0}) == 0


def test_the_demo_finds_its_queries_and_each_has_judgements():
    queries = read_queries(demo_folder())
    assert len(queries) == 40
    assert all(3 in query.grades.values() for query in queries)


def test_the_address_that_the_demo_shows_holds_no_login():
    assert _without_login("https://elastic:geheim@search.example.com:9243/x") == "https://search.example.com:9243/x"
    assert _without_login("http://127.0.0.1:9200") == "http://127.0.0.1:9200"


@pytest.mark.parametrize(("clients", "said"), [(None, False), ("/shop/.venv/client-8", True)])
def test_what_to_try_next_is_tried_with_the_client_that_the_demo_ran_with(clients, said, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if clients:
        monkeypatch.setenv("PYTHONPATH", clients)
    shown = io.StringIO()
    _show_next(Console(file=shown, width=140), "http://127.0.0.1:9200", Path("bundles/demo"))
    assert ("export PYTHONPATH=/shop/.venv/client-8\n" in shown.getvalue()) is said
