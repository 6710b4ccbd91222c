import uuid
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from elasticsearch import helpers

from conftest import delete_indices
from hand_bundle import write_hand_bundle
from hand_index import CATALOGUE, add, document, fill
from shelfwise import search
from shelfwise.errors import IncompatibleIndex, ServerError, UnknownCategory, UnknownRetriever, UsageError
from shelfwise.filters import Filter
from shelfwise.index import create_index, finish, rollback, swap
from shelfwise.search import ProductSearch
from shelfwise.search_settings import SearchSettings

KITCHEN, PHONES = ("Home", "Kitchen", "Kettles"), ("Electronics", "Phones", "Cases")
# Three meanings: boiling water, protecting a phone, hearing.
WORDS = {
    "kettle": (1, 0, 0),
    "boiler": (1, 0, 0),
    "壶": (1, 0, 0),
    "case": (0, 1, 0),
    "cover": (0, 1, 0),
    "phone": (0, 0.8, 0.2),
    "earbuds": (0, 0, 1),
    "headset": (0, 0, 1),
}
PRODUCTS = [
    {"id": "k1", "title": "Steel kettle 2L", "brand": "Sony", "price": 30, "category": KITCHEN, "in_stock": True},
    {"id": "k2", "title": "Glass kettle", "brand": "LG", "price": 15.5, "category": KITCHEN, "color": "clear"},
    {"id": "k3", "title": "不锈钢电热水壶", "language": "zh", "category": KITCHEN, "in_stock": False},
    {"id": "c1", "title": "Leather phone case", "brand": "Sony", "price": 9, "category": PHONES, "color": "red"},
    {"id": "c2", "title": "Phone cover", "price": 5, "category": PHONES, "variant_of": "c1"},
    {"id": "e1", "title": "Earbuds", "description": "with a charging case", "category": "Electronics > Audio"},
]

# Every product for itself: what a shop hides or puts last is tested in test_shop_habits.py.
EVERYTHING = SearchSettings(fusion="rank", collapse_variants=False, out_of_stock_last=False)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_hand_bundle(tmp_path_factory.mktemp("bundle"), WORDS, [KITCHEN, PHONES])


@pytest.fixture(scope="module")
def shop(client, bundle):
    """The six products, for tests that only read; those that change something fill an alias of their own."""
    name = f"test-shop-{uuid.uuid4().hex[:12]}"
    fill(client, name, bundle, [document(bundle, record) for record in PRODUCTS])
    yield ProductSearch(client, name, bundle, EVERYTHING)
    delete_indices(client, name)


@pytest.fixture
def own_shop(client, alias, bundle):
    fill(client, alias, bundle, [document(bundle, record) for record in PRODUCTS])
    return ProductSearch(client, alias, bundle, EVERYTHING)


def ids(hits):
    return [hit.id for hit in hits]


pytestmark = pytest.mark.es


def test_a_hit_shows_the_product_and_what_each_retriever_gave(shop):
    hit = shop.search("steel kettle", k=1)[0]
    assert hit.to_json() == {
        "id": "k1",
        "score": pytest.approx(1 / 61 + 1 / 62),
        "title": "Steel kettle 2L",
        "category": ["Home", "Kitchen", "Kettles"],
        "categories": [["Home", "Kitchen", "Kettles"]],
        "brand": "Sony",
        "price": 30.0,
        "in_stock": True,
        "variant_of": None,
        "confidence": pytest.approx(0.9),
        "status": "accepted",
        "shares": {"lexical": pytest.approx(1 / 61), "semantic": pytest.approx(1 / 62)},
    }


def test_filters_that_are_none_are_refused_or_leave_all(shop):
    assert ids(shop.search("kettle", filters=None)) == ids(shop.search("kettle"))
    assert ids(shop.search("kettle", filters=Filter.parse("brand=LG"))) == ["k2"]
    with pytest.raises(UsageError, match="such as brand=Sony, got 5"):
        shop.search("kettle", filters=[5])
    with pytest.raises(UsageError, match="expected conditions such as brand=Sony, got 5"):
        shop.search("kettle", filters=5)


def test_meaning_finds_what_words_do_not(shop):
    assert shop.search("boiler", mode="lexical") == []
    assert set(ids(shop.search("boiler", k=2, mode="semantic"))) <= {"k1", "k2", "k3"}
    assert ids(shop.search("boiler", k=3))[0] in {"k1", "k2", "k3"}


def test_a_semantic_score_is_the_cosine(shop):
    scores = {hit.id: hit.score for hit in shop.search("kettle", k=6, mode="semantic")}
    assert scores["k2"] == pytest.approx(1.0, abs=1e-5)
    assert scores["c2"] == pytest.approx(0.0, abs=1e-5)


def test_a_query_moves_towards_what_the_model_finds_alike(own_shop, client, alias, bundle, monkeypatch):
    own = bundle.encoder.encode_queries

    def alike(texts):
        return replace(own(texts), alike=np.array([[0, 1, 0]] * len(texts), np.float32))

    monkeypatch.setattr(bundle.encoder, "encode_queries", alike)

    def cosines(expansion):
        search = ProductSearch(client, alias, bundle, replace(EVERYTHING, expansion=expansion))
        return {hit.id: hit.score for hit in search.search("kettle", k=6, mode="semantic")}

    cover = 1.8 / np.hypot(1.8, 0.2)  # how far "phone cover" means protection
    moved = np.array([1, 0.5 * cover]) / np.sqrt(1.25)
    assert (cosines(0.5)["k2"], cosines(0.5)["c2"]) == pytest.approx(tuple(moved), abs=1e-3)
    assert (cosines(0.0)["k2"], cosines(0.0)["c2"]) == pytest.approx((1, 0), abs=1e-3)


@pytest.mark.parametrize("name", ["category_boost", "popularity", "expansion"])
def test_a_setting_that_cannot_be_is_refused_by_name(name):
    for value in (-0.1, 11.0, float("nan")):
        with pytest.raises(UsageError, match=f"{name} must be from 0"):
            SearchSettings(**{name: value})


def test_words_find_a_misclassified_product(client, alias, bundle):
    wrong = document(bundle, {"id": "x", "title": "Vacuum flask", "category": PHONES}, vector=[0.0, 1.0, 0.0])
    fill(client, alias, bundle, [*(document(bundle, record) for record in PRODUCTS), wrong])
    assert ids(ProductSearch(client, alias, bundle).search("vacuum flask"))[0] == "x"
    assert ids(ProductSearch(client, alias, bundle).search("flasks", mode="lexical")) == ["x"]


def test_a_query_of_two_categories_is_searched_with_a_bundle_of_several_labels(client, alias, tmp_path):
    several = write_hand_bundle(tmp_path / "several", WORDS, [KITCHEN, PHONES], label_thresholds=[0.5, 0.5])
    fill(client, alias, several, [document(several, record) for record in PRODUCTS])
    assert several.encoder.encode_queries(["kettle case"]).probabilities[0].sum() > 1
    assert {"k2", "c1"} <= set(ids(ProductSearch(client, alias, several).search("kettle case", 6)))


def test_a_chinese_query_finds_a_chinese_title(shop):
    assert ids(shop.search("热水壶", mode="lexical")) == ["k3"]
    assert ids(shop.search("水", mode="lexical")) == ["k3"]
    assert ids(shop.search("热水壶"))[0] == "k3"


def test_a_title_word_weighs_more_than_one_of_the_description(shop):
    assert ids(shop.search("case", mode="lexical")) == ["c1", "e1"]


def test_brand_and_title_words_count_together(shop):
    assert ids(shop.search("sony kettle", mode="lexical"))[0] == "k1"
    assert ids(shop.search("sony case", mode="lexical"))[0] == "c1"


@pytest.mark.parametrize("mode", ["hybrid", "semantic"])
@pytest.mark.parametrize(
    ("category", "expected"),
    [
        ("Electronics", {"c1", "c2", "e1"}),
        ("Electronics > Phones", {"c1", "c2"}),
        (("Electronics", "Phones", "Cases"), {"c1", "c2"}),
        (["Home"], {"k1", "k2", "k3"}),
    ],
)
def test_a_category_finds_everything_below_it_and_nothing_else(shop, mode, category, expected):
    assert set(ids(shop.search("kettle", category=category, mode=mode))) == expected


@pytest.mark.parametrize("query", ["ZX-90B", "zx-90b", "kettle zx-90b", "40075201"])
def test_a_product_whose_id_was_typed_comes_first(client, alias, bundle, query):
    named = ({"id": id_, "title": "Plain cover", "category": PHONES} for id_ in ("ZX-90B", "40075201"))
    fill(client, alias, bundle, [document(bundle, record) for record in (*PRODUCTS, *named)])
    first = ProductSearch(client, alias, bundle, EVERYTHING).search(query, k=1)
    assert ids(first) == ["40075201" if query.isdigit() else "ZX-90B"]


def test_a_category_that_only_the_index_has_is_known(shop):
    assert ids(shop.search("kettle", category="Electronics > Audio")) == ["e1"]


@pytest.mark.parametrize("fusion", ["rank", "score", "query"])
def test_of_words_that_the_model_does_not_know_their_products_come_first(client, alias, bundle, fusion):
    # What the model cannot read has the vector of all that it cannot read: the nearest are any products.
    products = [*PRODUCTS, *({"id": f"u{at}", "title": f"Zzyx {at}", "category": KITCHEN} for at in range(3))]
    settings = SearchSettings(fusion=fusion, out_of_stock_last=False)
    index = fill(client, alias, bundle, [document(bundle, record) for record in products])
    quince = document(bundle, {"id": "q", "title": "Quince kettle", "category": PHONES})
    add(client, index, [quince])
    shop = ProductSearch(client, alias, bundle, settings)
    hits = shop.search("quince", k=5)
    assert hits[0].id == "q"
    assert len(hits) == 5
    assert hits[1].score == 0
    assert "q" not in ids(shop.search("quince", k=3, mode="semantic"))
    assert ids(shop.search("ｑｕｉｎｃｅ", k=5)) == ids(hits)
    assert shop.search("quince kettle", k=2)[1].shares["semantic"] > 0


@pytest.fixture
def half_enriched(client, alias, bundle):
    """The six products, and four that the shop wrote into the live index and no run has enriched."""
    index = fill(client, alias, bundle, [document(bundle, record) for record in PRODUCTS])
    raw = [
        {"id": "r2", "title": "Gift box", "brand": "Rawbrand", "price": 3},
        {"id": "r1", "title": "Gift card", "brand": "Rawbrand", "price": 7},
        {"id": "r3", "title": "Paper", "brand": "Rawbrand", "price": 5, "in_stock": False},
        {"id": "r4", "title": "Kettle", "brand": "Rawbrand", "price": 9},
    ]
    add(client, index, raw)
    return partial(ProductSearch, client, alias, bundle)


@pytest.mark.parametrize("mode", ["hybrid", "semantic"])
def test_what_no_run_has_enriched_comes_last_by_its_id(half_enriched, mode):
    shop = half_enriched(EVERYTHING)
    assert ids(shop.search("boiler", filters=["brand=rawbrand"], mode=mode)) == ["r1", "r2", "r3", "r4"]
    assert ids(shop.search("boiler", filters=["brand=rawbrand"], mode=mode, k=2, offset=1)) == ["r2", "r3"]
    every = ids(shop.search("boiler", k=50, mode=mode))
    assert (len(every), every[-4:]) == (10, ["r1", "r2", "r3", "r4"])
    assert shop.search("boiler", k=50, filters=["brand=rawbrand"], mode="lexical") == []
    many = shop.search_many(["boiler", "phone case"], k=50, mode=mode)
    assert [ids(hits)[-4:] for hits in many] == [["r1", "r2", "r3", "r4"]] * 2


def test_words_that_a_catalogue_wrote_together_are_found_apart(client, alias, bundle):
    titles = {"s": "Bed sheet Material:Cotton", "d": "Duvet_cover king", "j": "Jack 3.5mm by e.l.f."}
    texts = {"s": "Great sheet.Easy to wash.<b>Breathable</b>"}
    records = [{"id": id_, "title": title, "description": texts.get(id_)} for id_, title in titles.items()]
    fill(client, alias, bundle, [document(bundle, record) for record in records])
    shop = ProductSearch(client, alias, bundle, SearchSettings(spelling=False))
    for query in ("cotton", "material:cotton", "material cotton", "wash", "breathable", "sheets"):
        assert ids(shop.search(query, mode="lexical")) == ["s"]
    for query in ("duvet cover", "duvet_cover", "DUVET"):
        assert ids(shop.search(query, mode="lexical")) == ["d"]
    for query in ("3.5mm", "e.l.f"):
        assert ids(shop.search(query, mode="lexical")) == ["j"]
    assert [shop.search(query, mode="lexical") for query in ("3", "e", "l")] == [[]] * 3
    [hit] = shop.search("easy cotton", mode="lexical", highlight=True)
    assert hit.highlight["description"] == "Great sheet.<em>Easy</em> to wash.&lt;b&gt;Breathable&lt;&#x2F;b&gt;"
    assert hit.highlight["title"] == "Bed sheet Material:<em>Cotton</em>"


@pytest.mark.parametrize("mode", ["lexical", "hybrid"])
def test_of_products_of_one_title_the_one_with_the_attribute_comes_first(client, alias, bundle, mode):
    colours = {"k1": "Grey", "k2": "matt black", "k3": ["Red", "Turquoise"], "k4": "navy", "k5": "XL"}
    plain = [{"id": id_, "title": "Tea kettle", "color": colour} for id_, colour in colours.items()]
    variants = [{"id": f"v{at}", "title": "Phone case", "color": of, "variant_of": "v"} for at, of in enumerate("ABC")]
    fill(client, alias, bundle, [document(bundle, record) for record in (*plain, *variants)])
    shop = ProductSearch(client, alias, bundle)
    for query, first in [
        ("turquoise kettle", "k3"),
        ("kettle, Matt Black", "k2"),
        ("kettle NAVY", "k4"),
        ("kettle xl", "k5"),
    ]:
        found = ids(shop.search(query, mode=mode, k=5))
        assert (found[0], set(found)) == (first, set(colours))
    assert ids(shop.search("case b", mode=mode))[0] == "v1"  # of variants the one that was asked for
    assert shop.search("turquoise", mode="lexical") == []


def test_what_no_run_has_enriched_is_found_by_its_words_before(half_enriched):
    assert ids(half_enriched(EVERYTHING).search("kettle", filters=["brand=rawbrand"])) == ["r4", "r1", "r2", "r3"]


def test_what_is_out_of_stock_comes_behind_what_no_run_has_enriched(half_enriched):
    found = ids(half_enriched().search("boiler", k=50))
    assert found[-5:] == ["r1", "r2", "r4", "k3", "r3"]


def test_no_filter_is_left_out_while_it_leaves_what_no_run_has_enriched(half_enriched):
    shop = half_enriched()
    page = shop.page("boiler", filters=["brand=rawbrand", "price=..3"], relax=True)
    assert (ids(page.hits), page.total, page.relaxed, page.next) == (["r2"], 1, (), None)
    page = shop.page("boiler", filters=["brand=rawbrand", "price=..1"], relax=True)
    assert page.relaxed == ("nothing was left: the filter on price was left out",)
    assert ids(page.hits) == ["r1", "r2", "r4", "r3"]


@pytest.mark.parametrize("sort", [None, "price"])
@pytest.mark.parametrize("size", [1, 3])
def test_pages_go_on_into_what_no_run_has_enriched(half_enriched, sort, size):
    shop = half_enriched()
    whole = ids(shop.search("gift", k=50, sort=sort))
    assert len(whole) == len(set(whole)) == 9  # c2 is a variant of c1
    pages, offset = [], 0
    while offset is not None:
        page = shop.page("gift", k=size, offset=offset, sort=sort, explain=True)
        pages += ids(page.hits)
        offset = page.next
    assert pages == whole


def test_windows_of_what_no_run_has_enriched_give_one_list(client, alias, bundle, monkeypatch):
    index = fill(client, alias, bundle, [document(bundle, PRODUCTS[0])])
    add(client, index, [{"id": f"r{at:02}", "title": "Box", "in_stock": at % 3 > 0} for at in range(30)])
    monkeypatch.setattr("shelfwise.order.WINDOWS", (4, 8, 100))
    shop = ProductSearch(client, alias, bundle)
    whole = ids(shop.search("boiler", k=100))
    assert len(whole) == 31
    assert [id_ for at in range(0, 31, 5) for id_ in ids(shop.search("boiler", k=5, offset=at))] == whole
    in_stock = [f"r{at:02}" for at in range(30) if at % 3]
    assert whole == ["k1", *in_stock, *sorted({f"r{at:02}" for at in range(30)} - set(in_stock))]


def test_an_unknown_category_is_answered_with_the_closest(shop):
    with pytest.raises(UnknownCategory) as refused:
        shop.search("kettle", category="Home > Kitchen > Ketles")
    assert str(refused.value).startswith(
        "there is no category 'Home > Kitchen > Ketles': the closest are 'Home > Kitchen > Kettles', "
    )
    with pytest.raises(UnknownCategory, match="'Electronics > Audio'"):
        shop.search("kettle", category="Audio")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["brand=sony"], {"k1", "c1"}),
        (["brand=Sony", "brand=LG"], {"k1", "k2", "c1"}),
        (["brand=Sony", "price=..10"], {"c1"}),
        (["price=9..15.5"], {"c1", "k2"}),
        (["in_stock=true"], {"k1"}),
        (["in_stock=false"], {"k3"}),
        (["language=ZH"], {"k3"}),
        (["variant_of=c1"], {"c2"}),
        (["id=e1"], {"e1"}),
        (["color=red"], {"c1"}),
        (["color=green"], set()),
        (["status=accepted"], {"k1", "k2", "k3", "c1", "c2", "e1"}),
        (["status=review"], set()),
        ("brand=LG", {"k2"}),
    ],
)
def test_filters_leave_what_they_say(shop, filters, expected):
    assert set(ids(shop.search("kettle", filters=filters, mode="semantic"))) == expected
    assert set(ids(shop.search("kettle", filters=filters))) == expected
    assert set(ids(shop.search("kettle", filters=filters, mode="lexical"))) <= expected


def test_an_attribute_that_no_product_has_is_answered_with_those_there_are(shop):
    with pytest.raises(
        UsageError, match="no product has an attribute 'colour': attributes are color; other fields are id,"
    ):
        shop.search("kettle", filters=["color=red", "colour=red"])


def test_a_filter_made_of_field_and_value_is_checked_as_its_text_is(shop):
    assert ids(shop.search("kettle", filters=[Filter("color", "red")])) == ["c1"]
    with pytest.raises(UsageError, match="no product has an attribute 'colour': attributes are color"):
        shop.search("kettle", filters=[Filter("colour", "red")])


def test_an_attribute_of_a_shop_without_any(client, alias, bundle):
    fill(client, alias, bundle, [document(bundle, {"id": "a", "title": "kettle"})])
    with pytest.raises(UsageError, match="attribute 'color': no product has any; other fields are"):
        ProductSearch(client, alias, bundle).search("kettle", filters=["color=red"])


@pytest.mark.parametrize("query", ["", "   ", "\n\t", "<b></b>", "\x00"])
def test_an_empty_query_is_refused(shop, query):
    with pytest.raises(UsageError, match="the query is empty: expected at least one word"):
        shop.search(query)


@pytest.mark.parametrize("query", ["\u200b", "\u00ad \ufeff", "\u0301"])
def test_a_query_of_which_nothing_is_seen_is_empty(shop, query):
    with pytest.raises(UsageError, match="the query is empty"):
        shop.search(query)


def test_of_many_queries_the_empty_one_is_named(shop):
    with pytest.raises(UsageError, match="query 2 of 3 is empty"):
        shop.search_many(["a", " ", "b"])


@pytest.mark.parametrize("k", [0, -1, 10_001, 1.5, True, "3"])
def test_so_many_hits_cannot_be_asked_for(shop, k):
    with pytest.raises(UsageError, match="k must be a whole number from 1 to 10,000"):
        shop.search("kettle", k=k)


def test_ten_thousand_hits_can_be_asked_for(shop):
    assert len(shop.search("kettle", k=10_000)) == len(PRODUCTS)


def test_an_unknown_mode_or_weight_is_refused(client, alias, bundle, own_shop):
    with pytest.raises(UsageError, match="expected one of hybrid, lexical, semantic"):
        own_shop.search("kettle", mode="magic")
    with pytest.raises(UnknownRetriever):
        ProductSearch(client, alias, bundle, SearchSettings(weights={"words": 1.0}))


def test_a_weight_moves_the_balance(client, alias, bundle, own_shop):
    only_words = ProductSearch(client, alias, bundle, SearchSettings(weights={"semantic": 0.0}))
    assert ids(only_words.search("case"))[:2] == ["c1", "e1"]


@pytest.mark.parametrize(
    "query",
    [
        'title:kettle OR (brand:"Sony" AND NOT *:*)',
        "kettle~2 ^5 [a TO z] {x} /.*/ \\ + - && || !",
        '{"match_all": {}}',
        "ctx._source = 1; params.x",
        "kettle\ud800",
        "a" * 10_000,
        "kettle " * 1500,
        "水壶" * 5000,
        "".join(f"w{number} " for number in range(2000)),
        "💧" * 300,
        "<" * 3000,
    ],
)
@pytest.mark.parametrize("mode", ["hybrid", "lexical"])
def test_whatever_a_shopper_types_is_only_words(shop, query, mode):
    hits = shop.search(query, mode=mode)
    assert len(hits) <= len(PRODUCTS)
    assert len(ids(hits)) == len(set(ids(hits)))


def test_many_queries_give_what_each_gives_alone(shop):
    queries = ["kettle", "boiler", "热水壶", "phone case", "nothing of this"] * 30
    together = shop.search_many(queries, k=4)
    alone = {query: shop.search(query, k=4) for query in set(queries)}
    assert [ids(hits) for hits in together] == [ids(alone[query]) for query in queries]


@pytest.mark.parametrize(("offset", "at_once"), [(0, 20), (100, 2), (1000, 1)])
def test_the_deeper_the_page_the_fewer_queries_are_searched_together(shop, monkeypatch, offset, at_once):
    together, found = [], ProductSearch._found

    def spied(self, index, asked, wanted):
        together.append(len(asked))
        return found(self, index, asked, wanted)

    monkeypatch.setattr(search, "HITS_AT_ONCE", 2000)
    monkeypatch.setattr(ProductSearch, "_found", spied)
    shop.search_many(["kettle"] * 20, k=1, offset=offset)
    assert together == [at_once] * (20 // at_once)


@pytest.mark.parametrize("queries", ["case", 5, None])
def test_one_query_where_several_are_expected_is_refused(shop, queries):
    with pytest.raises(UsageError, match=f"queries: expected a list of texts .* got {queries!r}"):
        shop.search_many(queries)


def test_no_queries_no_hits(shop):
    assert shop.search_many([]) == []


def test_vectors_never_travel(shop, client, monkeypatch):
    answered = []
    msearch = client.msearch

    def recorded(**given):
        answered.append(msearch(**given))
        return answered[-1]

    monkeypatch.setattr(client, "msearch", recorded)
    shop.search("kettle", k=3)
    assert answered
    assert not any("vector" in str(answer.body) for answer in answered)


def test_another_bundle_is_refused_at_construction(client, alias, own_shop, tmp_path):
    other = write_hand_bundle(tmp_path / "other", {"kettle": (0, 0, 1)}, [KITCHEN])
    with pytest.raises(
        IncompatibleIndex,
        match=r"re-index with this bundle, or point --bundle, in Python Bundle\.load, at the one in its _meta",
    ):
        ProductSearch(client, alias, other)
    smaller = write_hand_bundle(tmp_path / "smaller", {"kettle": (0, 1)}, [KITCHEN])
    with pytest.raises(IncompatibleIndex, match=r"was trained for 2 dimensions, index .* has 3"):
        ProductSearch(client, alias, smaller)


def test_a_swap_to_another_bundle_never_mixes_vectors(client, alias, bundle, tmp_path):
    """Before the search notices, it searches the old index, whole; afterwards it refuses."""
    old = fill(client, alias, bundle, [document(bundle, record) for record in PRODUCTS])
    slow, quick = (ProductSearch(client, alias, bundle, EVERYTHING, seconds) for seconds in (3600, 0))
    # The same words with turned meanings: of the same dimension, so the server would not notice.
    turned = {word: vector[::-1] for word, vector in WORDS.items()}
    other = write_hand_bundle(tmp_path / "other", turned, [KITCHEN, PHONES])
    fill(client, alias, other, [document(other, {"id": "new", "title": "kettle"})])
    assert set(ids(slow.search("kettle"))) == {record["id"] for record in PRODUCTS}
    with pytest.raises(IncompatibleIndex, match=f"bundle {bundle.path} is version {bundle.version}"):
        quick.search("kettle")
    client.indices.delete(index=old)
    with pytest.raises(IncompatibleIndex):
        slow.search("kettle")


def test_a_swap_within_the_same_bundle_is_followed_without_a_restart(client, alias, bundle):
    first = fill(client, alias, bundle, [document(bundle, {"id": "old", "title": "kettle"})])
    slow, quick = (ProductSearch(client, alias, bundle, EVERYTHING, seconds) for seconds in (3600, 0))
    fill(client, alias, bundle, [document(bundle, {"id": "new", "title": "kettle"})])
    assert (ids(slow.search("kettle")), ids(quick.search("kettle"))) == (["old"], ["new"])
    rollback(client, alias)
    assert ids(quick.search("kettle")) == ["old"]
    second = fill(client, alias, bundle, [document(bundle, {"id": "newer", "title": "kettle"})])
    client.indices.delete(index=first)
    assert ids(slow.search("kettle")) == ["newer"]
    client.indices.delete(index=second)
    with pytest.raises(UsageError, match=f"there is no alias {alias}"):
        slow.search("kettle")


def test_a_failed_part_of_a_request_is_raised(client, alias, bundle, own_shop, tmp_path):
    """The words would be found; the vector of another dimension fails. Half an answer must not look like one."""

    class Lying:
        path, version, dimension, taxonomy = bundle.path, bundle.version, bundle.dimension, bundle.taxonomy
        encoder = write_hand_bundle(tmp_path / "two", {"kettle": (0, 1)}, [KITCHEN, PHONES]).encoder

    with pytest.raises(ServerError, match=r"searching index .*: the server answered 400: .*dimension"):
        ProductSearch(client, alias, Lying).search("kettle")


def test_a_closed_index_is_one_line(client, alias, own_shop):
    index = next(iter(client.indices.get_alias(name=alias)))
    client.indices.close(index=index)
    with pytest.raises(ServerError, match="index_closed_exception") as refused:
        own_shop.search("kettle")
    assert "\n" not in str(refused.value)


def test_an_index_that_is_still_filled_is_not_searched(client, alias, bundle, own_shop):
    name = create_index(client, alias, bundle, CATALOGUE)
    add(client, name, [document(bundle, {"id": "unswapped", "title": "kettle"})])
    assert "unswapped" not in ids(own_shop.search("kettle"))
    finish(client, name)
    swap(client, alias, name)


def test_filtered_searches_give_k_near_ones_whatever_the_filter_leaves(client, alias, tmp_path):
    """The graph against brute force in numpy over 5,000 vectors in 50 clusters."""
    rng = np.random.default_rng(3)
    count, dimension, queries = 5000, 64, 40
    centres = rng.standard_normal((50, dimension))
    vectors = _unit(centres[rng.integers(0, 50, count)] + 0.5 * rng.standard_normal((count, dimension)))
    asked = _unit(centres[rng.integers(0, 50, queries)] + 0.5 * rng.standard_normal((queries, dimension)))
    bundle = write_hand_bundle(tmp_path, {f"q{number}": vector for number, vector in enumerate(asked.tolist())})
    price = rng.permutation(count)
    index = create_index(client, alias, bundle, CATALOGUE)
    helpers.bulk(
        client,
        (
            {
                "_index": index,
                "_id": str(number),
                "_source": {
                    "id": str(number),
                    "title": "thing",
                    "price": int(price[number]),
                    "shelfwise": {"vector": vectors[number].tolist(), "group": str(number)},
                },
            }
            for number in range(count)
        ),
    )
    finish(client, index)
    swap(client, alias, index)
    search = ProductSearch(client, alias, bundle)
    cosines = asked @ vectors.T
    for kept in (5000, 500, 50, 5):
        filters = [f"price=..{kept - 1}"] if kept < count else []
        allowed = np.flatnonzero(price < kept)
        found = search.search_many([f"q{number}" for number in range(queries)], filters=filters, mode="semantic")
        recalls = []
        for number, hits in enumerate(found):
            best = allowed[np.argsort(-cosines[number, allowed])][:10]
            assert len(hits) == min(10, kept)
            assert [hit.score for hit in hits] == pytest.approx(
                [cosines[number, int(hit.id)] for hit in hits], abs=1e-3
            )
            recalls.append(len({int(hit.id) for hit in hits} & set(best.tolist())) / len(best))
        assert np.mean(recalls) >= 0.95, f"{kept} kept: recall {np.mean(recalls)}"
        hybrid = search.search_many([f"q{number} unheard" for number in range(queries)], filters=filters)
        assert {len(hits) for hits in hybrid} == {min(10, kept)}


def _unit(vectors):
    vectors = vectors.astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
