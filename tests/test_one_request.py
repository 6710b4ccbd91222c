"""What a search costs the server: how many requests, and what travels in them."""

import uuid
from copy import deepcopy

import numpy as np
import pytest
from elastic_transport import Transport

from conftest import delete_indices
from hand_bundle import write_hand_bundle
from hand_index import add, document, fill
from shelfwise.alias import LiveAlias
from shelfwise.columns import COLUMNS
from shelfwise.order import WINDOWS
from shelfwise.search import ProductSearch
from shelfwise.search_settings import SearchSettings

CASES, KETTLES = ("Electronics", "Cases"), ("Home", "Kettles")
WORDS = {"case": (1, 0), "kettle": (0, 1), "boiler": (0.2, 0.9), "gift": (0.7, 0.7)}
FEW = 12
# More than one window, so that the graph gives all that it is asked for.
PRODUCTS = [
    *({"id": f"k{at}", "title": f"Kettle {at}", "price": at + 1, "category": KETTLES} for at in range(WINDOWS[0])),
    *({"id": f"c{at}", "title": f"Phone case {at}", "price": at + 1, "category": CASES} for at in range(FEW)),
    {"id": "b", "title": "Boiler", "brand": "Tarnholt", "description": "for ketels", "price": 500, "category": KETTLES},
    {"id": "t", "title": "Turnholt kettle", "price": 600, "category": KETTLES},
]
SETTINGS = SearchSettings(out_of_stock_last=False)

pytestmark = pytest.mark.es


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_hand_bundle(tmp_path_factory.mktemp("bundle"), WORDS, [CASES, KETTLES])


@pytest.fixture(scope="module")
def shop_alias(client, bundle):
    name = f"test-requests-{uuid.uuid4().hex[:12]}"
    fill(client, name, bundle, [document(bundle, record) for record in PRODUCTS])
    yield name
    delete_indices(client, name)


@pytest.fixture
def shop(client, bundle, shop_alias):
    """A searcher that has met no word yet, and looks at the alias once only."""
    return ProductSearch(client, shop_alias, bundle, SETTINGS, recheck=600)


@pytest.fixture
def sent(monkeypatch):
    """The path of each request of the test that really went to the server, in order."""
    paths = []
    really = Transport.perform_request

    def perform_request(self, method, target, *, body=None, **rest):
        paths.append(target)
        return really(self, method, target, body=body, **rest)

    monkeypatch.setattr(Transport, "perform_request", perform_request)
    return paths


@pytest.fixture
def searches(monkeypatch):
    """The headers and bodies of the test's `_msearch` requests, in order."""
    pairs = []
    really = Transport.perform_request

    def perform_request(self, method, target, *, body=None, **rest):
        pairs.extend(zip(body[::2], body[1::2], strict=True) if "_msearch" in target else ())
        return really(self, method, target, body=body, **rest)

    monkeypatch.setattr(Transport, "perform_request", perform_request)
    return pairs


def seen(hits):
    return [(hit.id, pytest.approx(hit.score, abs=1e-5)) for hit in hits]


@pytest.mark.parametrize("mode", ["hybrid", "lexical", "semantic"])
def test_a_search_is_one_request(shop, sent, mode):
    assert shop.search("kettle", mode=mode)
    assert [path.rpartition("/")[2] for path in sent] == ["_msearch"]


@pytest.mark.parametrize("sort", ["price", "-price"])
def test_the_cheapest_is_found_behind_the_first_window_in_one_request(shop, sent, sort):
    every = sorted((record["price"] for record in PRODUCTS if "kettle" in record["title"].casefold()), key=float)
    assert len(every) > WINDOWS[0]
    expected = every if sort == "price" else every[::-1]
    pages = [shop.search("kettle", k=40, offset=start, mode="lexical", sort=sort) for start in range(0, len(every), 40)]
    assert [hit.price for page in pages for hit in page] == expected
    assert len(sent) == len(pages)


def test_many_searches_are_one_request(shop, sent):
    shop.search_many(["kettle", "case", "gift", "boiler"])
    assert len(sent) == 1


def test_a_page_with_facets_is_one_request(shop, sent):
    assert shop.page("kettle", facets=True).total
    assert len(sent) == 1


def test_a_filter_that_leaves_less_than_a_window_is_one_request_and_finds_all_it_leaves(
    shop, sent, monkeypatch, client, bundle, shop_alias
):
    hits = shop.search("kettle", k=50, category=CASES, mode="semantic")
    assert len(sent) == 1
    assert len(hits) == FEW
    # The slow twin: the graph gives nothing, and every product that passes the filter is compared.
    nothing = {"size": 0, "_source": [], "query": {"match_none": {}}}
    monkeypatch.setattr("shelfwise.retrieval.semantic", lambda vector, k, filters: nothing)
    slow = ProductSearch(client, shop_alias, bundle, SETTINGS)
    assert seen(slow.search("kettle", k=50, category=CASES, mode="semantic")) == seen(hits)
    assert len(sent) > 2


def test_only_where_a_filter_leaves_what_no_run_has_enriched_another_request_asks_for_it(client, bundle, alias, sent):
    index = fill(client, alias, bundle, [document(bundle, record) for record in PRODUCTS])
    add(client, index, [{"id": "raw", "title": "Gift", "brand": "Rawbrand", "price": 3}])
    shop = ProductSearch(client, alias, bundle, SETTINGS, recheck=600)
    sent.clear()
    assert len(shop.search("boiler", filters=["brand=tarnholt"])) == 1
    assert len(shop.search("kettle", k=3, filters=["price=..50"])) == 3
    assert len(sent) == 2
    assert [hit.id for hit in shop.search("boiler", filters=["brand=rawbrand"])] == ["raw"]
    assert len(sent) == 4


def test_a_misspelt_word_costs_a_second_request_the_first_time_only(shop, sent):
    first = shop.search("kettel 7")
    assert len(sent) == 2
    again = shop.search("kettel 7")
    assert len(sent) == 3
    assert seen(again) == seen(first)
    assert shop.page("KETTEL 7").relaxed == ("no product has 'kettel': 'kettle' was looked for as well",)
    assert len(sent) == 4


def test_all_windows_of_a_query_are_asked_of_the_same_copies(shop, searches):
    shop.search("kettle", k=5)
    shop.search("kettle", k=5, offset=WINDOWS[0])
    of_words = [(header, body) for header, body in searches if "bool" in body.get("query", {})]
    of_vectors = [(header, body) for header, body in searches if "knn" in body and body["size"] in WINDOWS]
    for asked in (of_words, of_vectors):
        assert [body["size"] for _, body in asked] == [WINDOWS[0], *WINDOWS[:2]]
        assert len({header["preference"] for header, _ in asked}) == 1
    assert of_words[0][0] != of_vectors[0][0]


@pytest.fixture
def asked(monkeypatch):
    """Every body that searches of the test sent, in order, with its answer."""
    pairs = []
    really = LiveAlias.ask

    def ask(self, index, bodies):
        answers = really(self, index, bodies)
        pairs.extend(zip(bodies, deepcopy(answers), strict=True))
        return answers

    monkeypatch.setattr(LiveAlias, "ask", ask)
    return pairs


def test_the_server_looks_up_the_words_of_a_query_once(shop, asked):
    first = [shop.search(query) for query in ("kettle 7", "phone case")]
    assert sum("suggest" in body for body, _ in asked) == 2
    asked.clear()
    assert [seen(shop.search(query)) for query in ("kettle 7", "phone case")] == [seen(hits) for hits in first]
    shop.search("Case 7 KETTLE")  # all of its words were met
    assert not any("suggest" in body for body, _ in asked)
    asked.clear()
    shop.search("kettle 8")
    assert asked[0][0]["suggest"]["text"] == "kettle 8"


def test_a_misspelt_word_is_looked_up_each_time(shop, asked):
    for _ in range(2):
        asked.clear()
        shop.search("kettel 7")
        assert any("suggest" in body for body, _ in asked)


def test_words_behind_an_emoji_are_mended_where_they_stand(shop):
    plain, gift = shop.page("kettel 7", mode="lexical"), shop.page("🎁🎁 kettel 7", mode="lexical")
    assert gift.relaxed == plain.relaxed
    assert [hit.id for hit in gift.hits] == [hit.id for hit in plain.hits]


def test_a_word_of_a_brand_is_asked_for_once_and_not_mended(shop, sent):
    assert shop.page("tarnholt").relaxed == ()
    assert len(sent) == 2  # the search for `turnholt`, which went along on suspicion, is not the one that counts
    assert shop.page("tarnholt").relaxed == ()
    assert len(sent) == 3


def test_a_misspelt_brand_that_no_title_repeats_is_mended_and_a_title_word_near_a_brand_is_not(
    client, bundle, alias, sent
):
    cream = {"id": "n", "title": "Soft cream", "brand": "Nivea", "category": KETTLES}
    near = {"id": "e", "title": "Gift", "brand": "Cases", "category": KETTLES}
    fill(client, alias, bundle, [document(bundle, record) for record in (*PRODUCTS, cream, near)])
    shop = ProductSearch(client, alias, bundle, SETTINGS, recheck=600)
    sent.clear()
    assert shop.page("case").relaxed == ()
    assert len(sent) == 1
    page = shop.page("nivia", mode="lexical")
    assert page.relaxed == ("no product has 'nivia': 'nivea' was looked for as well",)
    assert [hit.id for hit in page.hits] == ["n"]


def test_a_word_begun_with_its_second_letter_is_mended_and_a_short_word_by_no_two_edits(client, bundle, alias, sent):
    titles = {"h": "Hole punch", "p": "Phone pouch"}
    more = [{"id": id_, "title": title, "brand": "Sony", "category": CASES} for id_, title in titles.items()]
    fill(client, alias, bundle, [document(bundle, record) for record in (*PRODUCTS, *more)])
    shop = ProductSearch(client, alias, bundle, SETTINGS, recheck=600)
    sent.clear()
    for typed, meant in [("hpone", "phone"), ("ekttle", "kettle"), ("osny", "sony")]:
        shop.search(f"{typed} pouch")
        assert len(sent) == 2  # as for other misspelt words that are met for the first time
        said = f"no product has {typed!r}: {meant!r} was looked for as well"
        assert shop.page(f"{typed} pouch", mode="lexical").relaxed == (said,)
        sent.clear()
    assert shop.page("hxle pxne pouch", mode="lexical").relaxed == (
        "no product has 'hxle': 'hole' was looked for as well",
    )


def test_another_form_of_a_word_that_titles_have_is_not_mended(client, bundle, alias):
    titles = {
        "b": "Wooden bed",
        "n": "Glass beads",
        "t": "Oak table",
        "p": "Drawing tablet",
        "m": "Red mugs",
        "h": "Hug",
    }
    fill(client, alias, bundle, [document(bundle, {"id": id_, "title": title}) for id_, title in titles.items()])
    shop = ProductSearch(client, alias, bundle, SETTINGS)
    for typed, meant in {"beds": "b", "tables": "t", "mug": "m"}.items():
        page = shop.page(typed, mode="lexical")
        assert ([hit.id for hit in page.hits], page.total, page.relaxed) == ([meant], 1, ())
    assert [hit.id for hit in shop.search("baeds", mode="lexical")] == ["n"]


def test_words_of_both_kinds_in_one_query(shop, client, bundle, shop_alias):
    shop.search("tarnholt")
    mixed = shop.page("tarnholt kettel")
    fresh = ProductSearch(client, shop_alias, bundle, SETTINGS).page("tarnholt kettel")
    assert mixed.relaxed == fresh.relaxed == ("no product has 'kettel': 'kettle' was looked for as well",)
    assert seen(mixed.hits) == seen(fresh.hits)


def test_a_remembered_word_that_a_new_product_has_is_no_longer_mended(client, bundle, alias, sent):
    index = fill(client, alias, bundle, [document(bundle, record) for record in PRODUCTS])
    shop = ProductSearch(client, alias, bundle, SETTINGS)
    assert shop.page("kettel").relaxed
    add(client, index, [document(bundle, {"id": "new", "title": "Kettel", "category": KETTLES})])
    page = shop.page("kettel")
    fresh = ProductSearch(client, alias, bundle, SETTINGS).page("kettel")
    assert page.relaxed == fresh.relaxed == ()
    assert seen(page.hits) == seen(fresh.hits)
    assert page.hits[0].id == "new"


def test_what_was_remembered_of_one_index_is_not_believed_of_the_next(client, bundle, alias):
    fill(client, alias, bundle, [document(bundle, record) for record in PRODUCTS])
    shop = ProductSearch(client, alias, bundle, SETTINGS, recheck=0)
    assert shop.page("kettel").relaxed
    described = {"id": "new", "title": "Pot", "description": "a kettel", "category": KETTLES}
    fill(client, alias, bundle, [document(bundle, record) for record in (*PRODUCTS, described)])
    assert shop.page("kettel").relaxed == ()


def test_nothing_travels_but_what_a_hit_shows(shop, bundle, asked):
    shop.search("kettle")
    [vector] = bundle.encoder.encode_queries(["kettle"]).vectors
    vectors = [body["knn"]["query_vector"] for body, _ in asked if "knn" in body]
    assert vectors
    assert all((np.asarray(given, dtype=np.float32) == vector).all() for given in vectors)
    for _, answer in asked:
        for hit in answer["hits"]["hits"]:
            assert "_source" not in hit
            assert hit["fields"].keys() <= set(COLUMNS.values())
