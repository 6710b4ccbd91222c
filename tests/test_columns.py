"""Hits read from doc values: the same as those read from whole documents, which is their slow twin."""

import itertools
import uuid

import pytest

from conftest import delete_indices
from hand_bundle import write_hand_bundle
from hand_index import CATALOGUE, add, document, fill
from shelfwise.alias import LiveAlias
from shelfwise.columns import COLUMNS, SORTED_BY, TITLE, has_columns, in_doubt
from shelfwise.index import create_index, finish, swap
from shelfwise.mapping import template
from shelfwise.query import SHOWN, by_ids, categories_of
from shelfwise.search import ProductSearch
from shelfwise.search_settings import SearchSettings

CASES, KETTLES, GIFTS = ("Electronics", "Cases"), ("Home", "Kettles"), ("Gifts",)
LONG = "Home > " + "Kettles " * 1200
WORDS = {"case": (1, 0), "kettle": (0, 1), "gift": (0.7, 0.7), "very": (0.5, 0.5), "steel": (0.3, 0.9)}
PRODUCTS = [
    {"id": "k1", "title": "Steel kettle", "brand": "Brabantia", "price": 30, "category": KETTLES},
    {"id": "k2", "title": "Kettle <b>1,7 l</b>", "price": 19.99, "category": KETTLES, "variant_of": "k1"},
    {"id": "k3", "title": "Steel kettle 水壶", "in_stock": False, "price": 12, "category": KETTLES},
    {"id": "c1", "title": "Phone case", "brand": "Casetify", "in_stock": True, "category": CASES},
    {"id": "c2", "title": "Case TK-1700", "price": 5, "category": CASES},
    {"id": "g1", "title": "Gift kettle", "price": 7, "categories": [KETTLES, GIFTS]},
    {"id": "g2", "title": "Gift case", "price": 8, "categories": [GIFTS, CASES]},
    {"id": "r1", "title": "Steel thing", "price": 3},
]
CREATED = {
    "k1": "2026-05-01T10:00:00.000100",
    "k2": "2026-05-01T10:00:00.000200",
    "c2": "2026-05-01T12:00:00+02:00",
    "g1": "2025-01-01",
    "g2": "2026-07",
    "k3": "2026-06-01T00:00:00",
}
QUERIES = ["kettle", "steel kettle", "gift case", "TK1700", "brabantia kettle", "ketle", "水壶", "unknown words"]
WAYS = [
    {},
    {"mode": "lexical"},
    {"mode": "semantic"},
    {"offset": 2, "k": 3},
    {"category": ["Home"]},
    {"filters": ["price=..20"]},
    {"sort": "price"},
    {"sort": "-price"},
    {"sort": "created_at"},
    {"sort": "popularity"},
]

es = pytest.mark.es


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_hand_bundle(tmp_path_factory.mktemp("bundle"), WORDS, [CASES, KETTLES, GIFTS])


def documents(bundle):
    made = [document(bundle, record) for record in PRODUCTS]
    for place, one in enumerate(made):
        one["popularity"] = float(place % 4)
        one |= {"created_at": CREATED[one["id"]]} if one["id"] in CREATED else {}
    made[-1]["shelfwise"] |= {"status": "review", "ancestors": ["Home"], "confidence": 0.12345678901}
    return made


@pytest.fixture(scope="module")
def filled(client, bundle):
    name = f"test-columns-{uuid.uuid4().hex[:12]}"
    fill(client, name, bundle, documents(bundle))
    yield name
    delete_indices(client, name)


@pytest.fixture
def bodies(monkeypatch):
    """The bodies of each request, in order."""
    given = []
    really = LiveAlias.ask

    def ask(self, index, bodies):
        given.extend([bodies] if bodies else [])
        return really(self, index, bodies)

    monkeypatch.setattr(LiveAlias, "ask", ask)
    return given


def searcher(client, alias, bundle, **settings):
    return ProductSearch(client, alias, bundle, SearchSettings(**settings), recheck=600)


def twins(client, alias, bundle, monkeypatch, **settings):
    """A searcher by columns, and one by whole documents."""
    by_columns = searcher(client, alias, bundle, **settings)
    with monkeypatch.context() as patched:
        patched.setattr("shelfwise.live_index.has_columns", lambda mappings: False)
        return by_columns, searcher(client, alias, bundle, **settings)


def columns_in(requests):
    return ["docvalue_fields" in body for bodies in requests for body in bodies if body.get("size")]


@es
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_columns_and_whole_documents_give_the_same_hits(client, filled, bundle, monkeypatch, bodies, way):
    by_columns, whole = twins(client, filled, bundle, monkeypatch)
    for query in QUERIES:
        hits = by_columns.search(query, **way)
        assert columns_in(bodies)[0] == (way != {"sort": "created_at"})
        bodies.clear()
        assert hits == whole.search(query, **way)
        assert not any(columns_in(bodies))
        bodies.clear()
        assert by_columns.page(query, facets=True, **way) == whole.page(query, facets=True, **way)
        bodies.clear()
    assert by_columns.search_many(QUERIES, **way) == [whole.search(query, **way) for query in QUERIES]


@es
@pytest.mark.parametrize("off", ["out_of_stock_last", "collapse_variants", "exact_first", "popularity"])
def test_columns_tell_all_that_a_habit_of_the_shop_looks_at(client, filled, bundle, monkeypatch, off):
    by_columns, whole = twins(client, filled, bundle, monkeypatch, **{off: 0.0 if off == "popularity" else False})
    for query, way in itertools.product(QUERIES, WAYS):
        assert by_columns.search(query, **way) == whole.search(query, **way)


@es
def test_of_several_categories_the_first_stays_the_first_for_one_more_request(client, filled, bundle, bodies):
    [hit] = [one for one in searcher(client, filled, bundle).search("gift kettle") if one.id == "g1"]
    assert (hit.category, hit.categories) == (KETTLES, (KETTLES, GIFTS))  # in the alphabet the gifts come first
    assert bodies[-1] == [categories_of(["g1", "g2"])]
    bodies.clear()
    assert searcher(client, filled, bundle).search("phone", mode="lexical")
    assert len(bodies) == 1


@es
@pytest.mark.parametrize(
    "change",
    [
        {"title": "kettle " * 1200},  # longer than a doc value
        {"brand": "Brabantia " * 120},
        {"category": LONG},
        {"category": ["Home > Kettles", LONG]},
        {"brand": ["Brabantia", "Alessi"]},
        {"brand": ["Brabantia", "Brabantia"]},
        {"price": [30, 20]},
        {"variant_of": 12},
        {"created_at": ["2026-05-01", "2026-06-01"]},
        {"shelfwise": None},
        {"price": "19.99", "in_stock": "false", "popularity": "3"},
        {"in_stock": ["true", "false"]},
        {"price": None, "brand": None},
    ],
    ids=lambda change: str(change)[:40],
)
def test_what_a_shop_wrote_itself_is_read_as_whole_documents_have_it(client, alias, bundle, monkeypatch, change):
    every = documents(bundle)
    if "category" in change:
        change = {"shelfwise": every[0]["shelfwise"] | change}
    fill(client, alias, bundle, [every[0] | change, *every[1:]])
    by_columns, whole = twins(client, alias, bundle, monkeypatch)
    for query, way in itertools.product(QUERIES, WAYS):
        assert by_columns.search(query, **way) == whole.search(query, **way)


@es
def test_of_a_product_whose_columns_do_not_tell_enough_only_its_own_document_is_read(client, alias, bundle, bodies):
    changed = [one | {"brand": ["A", "B"]} if one["id"] == "k1" else one for one in documents(bundle)]
    fill(client, alias, bundle, changed)
    assert "k1" in [hit.id for hit in searcher(client, alias, bundle, spelling=False).search("steel kettle")]
    requests = [body for asked in bodies for body in asked if body.get("_source")]
    assert requests == [by_ids(["k1"])] * 2 + [categories_of(["g1", "g2"])]  # the graph of few products is short


@es
def test_a_product_that_the_shop_wrote_without_its_id_as_a_field_is_found(client, alias, bundle, monkeypatch):
    name = fill(client, alias, bundle, documents(bundle))
    client.index(index=name, id="own", document={"title": "Steel kettle of its own"}, refresh=True)
    by_columns, whole = twins(client, alias, bundle, monkeypatch)
    hits = by_columns.search("kettle of its own")
    assert hits == whole.search("kettle of its own")
    assert hits[0].id == "own"


@es
def test_two_products_that_the_shop_gave_one_id_as_a_field_are_told_apart(client, alias, bundle, monkeypatch):
    name = fill(client, alias, bundle, documents(bundle))
    client.index(index=name, id="own", document={"id": "k1", "title": "Steel kettle of its own"}, refresh=True)
    by_columns, whole = twins(client, alias, bundle, monkeypatch, collapse_variants=False)
    for query in ("kettle of its own", "steel kettle"):
        hits = by_columns.search(query, mode="lexical")
        assert hits == whole.search(query, mode="lexical")
        assert {"own", "k1"} <= {hit.id for hit in hits}


@es
def test_an_index_made_before_titles_had_doc_values_is_searched_by_whole_documents(client, alias, bundle, monkeypatch):
    def earlier(name):
        body = template(name)
        del body["mappings"]["properties"]["title"]["fields"]["keyword"]
        return body

    with monkeypatch.context() as patched:
        patched.setattr("shelfwise.mapping.template", earlier)
        old = create_index(client, alias, bundle, CATALOGUE)
    add(client, old, documents(bundle))
    finish(client, old)
    swap(client, alias, old)
    shop = ProductSearch(client, alias, bundle, recheck=0)
    before = shop.search("steel kettle")
    assert {"k1", "g1"} <= {hit.id for hit in before}
    fill(client, alias, bundle, documents(bundle))
    assert shop.search("steel kettle") == before


@es
@pytest.mark.parametrize("wish", ["highlight", "explain"])
def test_marked_words_are_those_of_whole_documents(client, filled, bundle, bodies, wish):
    assert searcher(client, filled, bundle).search("steel kettle", **{wish: True})
    assert not any(columns_in(bodies))


def test_the_mapping_keeps_columns_of_all_that_a_hit_shows():
    mappings = template("products.json")["mappings"]
    assert has_columns(mappings)
    assert {*COLUMNS, SORTED_BY} == set(SHOWN)


@pytest.mark.parametrize(
    "change", [{"doc_values": False}, {"type": "text"}, {"normalizer": "shelfwise_folded"}, {"null_value": 1}, None]
)
@pytest.mark.parametrize("name", [name for name in COLUMNS.values() if name != TITLE])
def test_a_field_whose_doc_values_are_not_what_was_written_is_no_column(name, change):
    mappings = template("products.json")["mappings"]
    *above, last = name.split(".")
    fields = mappings["properties"]
    for part in above:
        fields = fields[part]["properties"]
    if change is None:
        del fields[last]
    else:
        fields[last] = fields[last] | change
    assert not has_columns(mappings)


def test_a_mapping_without_anything_has_no_columns():
    assert not has_columns({})


def test_one_category_leaves_no_doubt():
    assert in_doubt({"_source": {TITLE: "Gift kettle", "shelfwise": {"category": ["A", "B"]}}})
    assert not in_doubt({"_source": {TITLE: "Gift kettle", "shelfwise": {"category": ["A"]}}})
    assert not in_doubt({"_source": {"title": "Gift kettle", "shelfwise": {"category": ["A", "B"]}}})
    assert not in_doubt({"_source": {"title": "Gift kettle"}})
