"""The reranking: pure on candidates, and through a search on the real server."""

import uuid

import numpy as np
import pytest

from conftest import delete_indices
from hand_bundle import write_hand_bundle
from hand_index import document, fill
from hand_reranker import write_hand_reranker
from shelfwise.errors import UsageError
from shelfwise.order import WINDOWS
from shelfwise.rerank import reordered
from shelfwise.search import ProductSearch
from shelfwise.search_settings import MAX_RERANK, SearchSettings
from test_cli import refused_in_one_line, runner
from test_order import candidate

es = pytest.mark.es


def scores(*values):
    return np.array(values, dtype=np.float32)


def names(candidates):
    return [one.id for one in candidates]


def test_the_order_is_by_the_rerankers_score():
    given = [candidate("a", 3.0), candidate("b", 2.0), candidate("c", 1.0)]
    reread = reordered(given, scores(-2, 5, 1), blend=1.0)
    assert names(reread) == ["b", "c", "a"]
    assert [(one.reranked.rank, one.reranked.score) for one in reread] == [(2, 5), (3, 1), (1, -2)]
    assert [one.score for one in reread] == [2.0, 1.0, 3.0]


def test_blended_both_scores_are_stretched_and_weighted():
    given = [candidate("a", 3.0), candidate("b", 2.0), candidate("c", 1.0)]
    # Fused: 1, .5, 0. Reranker: 0, 1, .4. With .25 on the reranker: .75, .625, .1.
    reread = reordered(given, scores(0, 10, 4), blend=0.25)
    assert names(reread) == ["a", "b", "c"]
    assert [one.reranked.blended for one in reread] == pytest.approx([0.75, 0.625, 0.1])
    assert names(reordered(given, scores(0, 10, 4), blend=0.5)) == ["b", "a", "c"]


def test_ties_keep_the_order_they_had():
    given = [candidate("z", 3.0), candidate("b", 2.0), candidate("a", 1.0)]
    assert names(reordered(given, scores(1, 1, 1), blend=1.0)) == ["z", "b", "a"]


def test_the_products_with_the_querys_exact_words_stay_first():
    given = [candidate("a", 1.0)._replace(exact=True), candidate("b", 3.0), candidate("c", 2.0)]
    assert names(reordered(given, scores(0, 1, 2), blend=1.0)) == ["a", "c", "b"]


def test_nothing_is_reordered_into_nothing():
    assert reordered([], scores(), blend=1.0) == []


def test_as_many_as_may_be_reranked_are_known_from_the_first_window():
    assert WINDOWS[0] >= MAX_RERANK


@pytest.fixture(scope="module")
def reranker(tmp_path_factory):
    # To the query `kettle`, the more boilers the better; the colour counts too.
    words = {"kettle": (1,), "boiler": (2,), "glass": (0.5,), "red": (4,)}
    return write_hand_reranker(tmp_path_factory.mktemp("reranker") / "r", words, ["title", "color"])


@pytest.mark.parametrize("count", [0, -1, 101, 2.5, True, "5"])
def test_so_many_cannot_be_reranked(reranker, count):
    with pytest.raises(UsageError, match="rerank must be a whole number of hits from 1 to 100"):
        SearchSettings(rerank=count, reranker=reranker)


def test_a_number_needs_a_reranker_and_a_reranker_a_number(reranker):
    for half in ({"rerank": 5}, {"reranker": reranker}):
        with pytest.raises(UsageError, match="give both of them, or neither"):
            SearchSettings(**half)


MANY = 130
PRODUCTS = [
    {"id": "k1", "title": "Kettle", "price": 3, "category": "Kettles"},
    {"id": "k2", "title": "Kettle boiler", "price": 2, "category": "Kettles"},
    {"id": "k3", "title": "Kettle glass", "price": 1, "category": "Kettles", "color": "red"},
    {"id": "k4", "title": "Kettle boiler boiler", "in_stock": False, "category": "Kettles"},
    {"id": "v2", "title": "Kettle boiler boiler boiler", "variant_of": "k1", "category": "Kettles"},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_hand_bundle(tmp_path_factory.mktemp("model") / "m", {"kettle": (1, 0), "boiler": (0, 1)})


@pytest.fixture(scope="module")
def shop(client, model):
    name = f"test-{uuid.uuid4().hex[:12]}"
    fill(client, name, model, [document(model, record) for record in PRODUCTS])
    yield name
    delete_indices(client, name)


@pytest.fixture(scope="module")
def large(client, model):
    """More kettles than one window, each with another number of boilers in its title."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    titles = {f"p{n:03}": " ".join(["kettle", *["boiler"] * (n * 7 % 23)]) for n in range(MANY)}
    fill(client, name, model, [document(model, {"id": id_, "title": title}) for id_, title in titles.items()])
    yield name
    delete_indices(client, name)


@es
def test_without_a_reranker_a_search_is_what_it_was(client, shop, model):
    hits = ProductSearch(client, shop, model).search("kettle", explain=True)
    assert hits[0].id == "k1"
    assert all(hit.explanation["reranked"] is None for hit in hits)


@es
def test_the_first_are_in_the_rerankers_order_and_stock_and_variants_stay_as_they_were(client, shop, model, reranker):
    search = ProductSearch(client, shop, model, SearchSettings(rerank=10, reranker=reranker))
    hits = search.search("kettle", explain=True)
    # The colour lies in the attributes, and only the reranker asks for it; k4 is not in stock, v2 a variant of k1.
    assert [hit.id for hit in hits] == ["k3", "k2", "k1", "k4"]
    assert [hit.explanation["reranked"] and hit.explanation["reranked"]["score"] for hit in hits] == [5.5, 3, 1, None]
    assert hits[2].explanation["reranked"]["rank"] == 1
    assert [hit.id for hit in search.search("kettle", category="Kettles", filters=["price=..2"])] == ["k3", "k2"]


@es
def test_a_sorted_search_is_not_reranked(client, shop, model, reranker):
    plain, search = (
        ProductSearch(client, shop, model, settings)
        for settings in (SearchSettings(), SearchSettings(rerank=10, reranker=reranker))
    )
    for sort in ("price", "-price"):
        hits = search.search("kettle", sort=sort, explain=True)
        assert [hit.id for hit in hits] == [hit.id for hit in plain.search("kettle", sort=sort)]
        assert [hit.explanation["reranked"] for hit in hits] == [None] * len(hits)


@es
@pytest.mark.parametrize("mode", ["hybrid", "lexical", "semantic"])
def test_what_lies_behind_the_reranked_stays_below_in_its_order(client, large, model, reranker, mode):
    before = [hit.id for hit in ProductSearch(client, large, model).search("kettle", MANY, mode=mode)]
    search = ProductSearch(client, large, model, SearchSettings(rerank=20, reranker=reranker))
    hits = search.search("kettle", MANY, mode=mode, explain=True)
    after = [hit.id for hit in hits]
    assert len(after) == MANY
    assert set(after[:20]) == set(before[:20])
    assert after[20:] == before[20:]
    given = [hit.explanation["reranked"] for hit in hits]
    assert [one is not None for one in given] == [True] * 20 + [False] * (MANY - 20)
    assert [one["score"] for one in given[:20]] == sorted((one["score"] for one in given[:20]), reverse=True)
    assert [before[one["rank"] - 1] for one in given[:20]] == after[:20]


@es
def test_pages_follow_one_another_within_the_reranked_and_beyond(client, large, model, reranker):
    search = ProductSearch(client, large, model, SearchSettings(rerank=50, reranker=reranker))
    whole = [hit.id for hit in search.search("kettle", MANY)]
    assert len(set(whole)) == MANY
    for size in (7, 30):
        pages = [search.search("kettle", size, offset=start) for start in range(0, MANY, size)]
        assert [hit.id for page in pages for hit in page] == whole
    page = search.page("kettle", 10, facets=True)
    plain = ProductSearch(client, large, model).page("kettle", 10, facets=True)
    assert (page.total, page.next, page.facets) == (plain.total, plain.next, plain.facets)


@es
def test_many_queries_are_each_as_alone(client, large, model, reranker):
    search = ProductSearch(client, large, model, SearchSettings(rerank=50, reranker=reranker))
    together = search.search_many(["kettle", "boiler", "kettle boiler"], 30)
    alone = [search.search(query, 30) for query in ("kettle", "boiler", "kettle boiler")]
    assert together == alone


@es
def test_the_command_line_reranks_and_explains(shop, model, reranker, tmp_path, elasticsearch_url):
    run = runner(tmp_path)
    where = ["--alias", shop, "--bundle", model.path, "--url", elasticsearch_url]
    ran = run("search", "kettle", *where, "--rerank", 50, "--reranker", reranker.path, "--explain")
    assert (ran.status, ran.err) == (0, "")
    assert ran.ids == ["k3", "k2", "k1", "k4"]
    assert ran.lines[0]["explanation"]["reranked"] == {"rank": 2, "score": 5.5, "blended": 1.0}


def test_the_command_line_refuses_halves_and_folders_that_are_none(model, reranker, tmp_path):
    def run(*more):
        return runner(tmp_path)("search", "kettle", "--alias", "a", "--bundle", model.path, *more)

    assert refused_in_one_line(run("--rerank", 5), "--rerank 5 needs --reranker FOLDER")
    assert refused_in_one_line(run("--reranker", reranker.path), "such as --rerank 50")
    assert refused_in_one_line(run("--rerank", 0, "--reranker", reranker.path), "from 1 to 100, got 0")
    assert refused_in_one_line(run("--rerank", 5, "--reranker", "none"), "none is not a reranker", "rerank export")
