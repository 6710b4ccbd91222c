"""What shop search is expected to do, asked of a real server with the settings a shop starts with."""

import uuid

import pytest

from conftest import delete_indices
from hand_bundle import write_hand_bundle
from hand_index import document, fill
from shelfwise.errors import UsageError
from shelfwise.query import MAX_HITS
from shelfwise.search import ProductSearch
from shelfwise.search_settings import SearchSettings
from shelfwise.synonyms import Synonyms

CASES, KETTLES = ("Electronics", "Phones", "Cases"), ("Home", "Kitchen", "Kettles")
# Two meanings, and leaves in alphabetical order: whoever says "kettle" asks for Kettles.
WORDS = {"case": (1, 0), "cover": (1, 0), "kettle": (0, 1), "boiler": (0, 1), "gift": (0.7, 0.7)}
PRODUCTS = [
    {"id": "k1", "title": "Steel kettle 2L", "brand": "Sony", "price": 30, "category": KETTLES, "in_stock": True},
    {"id": "k2", "title": "Glass kettle", "brand": "LG", "price": 15.5, "category": KETTLES, "color": "clear"},
    {"id": "k3", "title": "Kettle", "price": 12, "category": KETTLES, "in_stock": False},
    {"id": "k4", "title": "Tarnholt TK-1700 kettle", "brand": "Tarnholt", "price": 60, "category": KETTLES},
    {"id": "ke-4", "title": "Descaler", "price": 3, "category": KETTLES},
    {"id": "f1", "title": "Filter for kettle", "price": 4, "category": KETTLES, "description": "fits TK-1700"},
    {"id": "c1", "title": "Leather <b>case</b>", "brand": "Sony", "price": 9, "category": CASES, "color": "red"},
    {"id": "c2", "title": "Leather case black", "brand": "Sony", "price": 9, "category": CASES, "variant_of": "c1"},
    {"id": "c3", "title": "Silicone cover", "price": 5, "category": CASES},
    {"id": "wrong", "title": "Travel kettle", "price": 20, "category": CASES},
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_hand_bundle(tmp_path_factory.mktemp("bundle"), WORDS, [CASES, KETTLES])


@pytest.fixture(scope="module")
def alias(client, bundle):
    name = f"test-habits-{uuid.uuid4().hex[:12]}"
    fill(client, name, bundle, [document(bundle, record) for record in PRODUCTS])
    yield name
    delete_indices(client, name)


@pytest.fixture(scope="module")
def shop(client, alias, bundle):
    return ProductSearch(client, alias, bundle)


def ids(hits):
    return [hit.id for hit in hits]


pytestmark = pytest.mark.es


def test_of_variants_one_is_shown_and_what_is_out_of_stock_comes_last(shop):
    found = ids(shop.search("leather case", k=20))
    assert len({"c1", "c2"} & set(found)) == 1
    assert found[-1] == "k3"
    assert set(ids(shop.search("case", filters=["id=c1", "id=c2"]))) == {"c1", "c2"}


def test_the_query_category_lifts_its_products_and_removes_none(client, alias, bundle, shop):
    plain = ProductSearch(client, alias, bundle, SearchSettings(category_boost=0.0))
    assert set(ids(shop.search("boiler", k=20))) == set(ids(plain.search("boiler", k=20)))
    boosted = {hit.id: hit.score for hit in shop.search("kettle", k=20)}
    without = {hit.id: hit.score for hit in plain.search("kettle", k=20)}
    assert boosted["k2"] > 1.25 * without["k2"]
    assert boosted["wrong"] == pytest.approx(without["wrong"])


def test_a_misclassified_product_is_found_by_its_words(shop):
    assert ids(shop.search("travel kettle"))[0] == "wrong"


def test_a_caller_may_know_the_category_better(shop):
    told = shop.search("gift", k=20, category_probabilities={CASES: 1.0}, explain=True)
    boosts = {hit.id: hit.explanation["category_boost"] for hit in told}
    assert boosts["c3"] > boosts["k2"] == 0.0
    [cover] = [hit for hit in told if hit.id == "c3"]
    assert [node["probability"] for node in cover.explanation["categories"]] == [1.0, 1.0, 1.0]
    with pytest.raises(UsageError, match="add up to at most 1"):
        shop.search("gift", category_probabilities={CASES: 2.0})


@pytest.mark.parametrize("query", ["tk-1700", "TK1700", "tarnholt tk-1700"])
def test_the_exact_model_number_comes_first(shop, query):
    assert ids(shop.search(query))[0] == "k4"


@pytest.mark.parametrize("size", ["2xl", "52qq"])
def test_a_size_does_not_bring_an_unrelated_product_first(client, bundle, alias, size):
    titles = {"dress": "Red summer dress floral", "other": f"Black trousers men {size}", "k": "Kettle"}
    records = [{"id": id_, "title": title, "category": CASES} for id_, title in titles.items()]
    fill(client, f"{alias}-{size}", bundle, [document(bundle, record) for record in records])
    shop = ProductSearch(client, f"{alias}-{size}", bundle)
    assert ids(shop.search(f"red dress {size}"))[0] == "dress"
    assert ids(shop.search(f"trousers {size}"))[0] == "other"


@pytest.mark.parametrize("query", ["TK1700", "tk 1700", "TK.1700", "kettle 2 l", "KE4", "ke_4"])
def test_letters_and_digits_are_found_apart_and_together_by_words_alone(client, alias, bundle, query):
    words = ProductSearch(client, alias, bundle, SearchSettings(spelling=False))
    first = {"2": "k1", "4": "ke-4"}.get(next(digit for digit in query if digit.isdigit()), "k4")
    assert ids(words.search(query, mode="lexical"))[0] == first


def test_a_misspelt_word_is_found_and_the_page_says_so(client, alias, bundle, shop):
    page = shop.page("kettel", mode="lexical")
    assert {"k1", "k2"} <= set(ids(page.hits))
    assert page.relaxed == ("no product has 'kettel': 'kettle' was looked for as well",)
    strict = ProductSearch(client, alias, bundle, SearchSettings(spelling=False))
    assert strict.page("kettel", mode="lexical").hits == ()
    assert shop.page("tarnholt kettle").relaxed == ()


def test_synonyms_count_at_the_next_query(client, alias, bundle, tmp_path):
    file = tmp_path / "synonyms.txt"
    file.write_text("pouch => case")
    search = ProductSearch(client, alias, bundle, SearchSettings(synonyms=Synonyms(file)))
    assert set(ids(search.search("pouch", mode="lexical"))) <= {"c1", "c2"}
    file.write_text("pouch, kettle, teapot")
    assert "k2" in ids(search.search("pouch", mode="lexical"))
    file.write_text("pouch")
    assert "k2" in ids(search.search("pouch", mode="lexical"))
    with pytest.raises(UsageError, match="line 1: expected"):
        Synonyms(file)


def test_either_word_of_a_synonym_finds_what_the_other_finds_by_meaning_too(client, alias, bundle, tmp_path):
    file = tmp_path / "synonyms.txt"
    file.write_text("gift, boiler\npouch, case")
    plain = ProductSearch(client, alias, bundle)
    search = ProductSearch(client, alias, bundle, SearchSettings(synonyms=Synonyms(file)))
    # The model does not know `pouch`: the other word alone says what is near.
    assert ids(search.search("pouch", mode="semantic")) == ids(plain.search("case", mode="semantic"))
    # A gift lies between both meanings, a boiler is nearly a kettle: together they are nearer to kettles.
    between = {hit.id: hit.score for hit in search.search("gift", mode="semantic")}
    assert between["k3"] > between["c3"]
    unconcerned = [(hit.id, hit.score) for hit in plain.search("steel kettle")]
    assert [(hit.id, hit.score) for hit in search.search_many(["gift", "steel kettle"])[1]] == unconcerned


def test_a_mended_word_has_its_synonyms(client, alias, bundle, tmp_path):
    file = tmp_path / "synonyms.txt"
    file.write_text("kettle, descaler\n")
    search = ProductSearch(client, alias, bundle, SearchSettings(synonyms=Synonyms(file)))
    right, wrong = (search.page(query, k=20, mode="lexical") for query in ("kettle", "kettel"))
    assert "ke-4" in ids(right.hits)
    assert set(ids(wrong.hits)) == set(ids(right.hits))
    assert wrong.total == right.total


def test_a_word_of_the_synonyms_is_not_mended(client, alias, bundle, tmp_path):
    file = tmp_path / "synonyms.txt"
    file.write_text("coser, case")  # a title has `cover`
    search = ProductSearch(client, alias, bundle, SearchSettings(synonyms=Synonyms(file)))
    for _ in range(2):
        page = search.page("Coser", mode="lexical")
        assert page.relaxed == ()
        assert {hit.title for hit in page.hits} <= {"Leather case black", "Leather <b>case</b>"}
    assert search.page("kettel").relaxed


@pytest.mark.parametrize("sort", [None, "price"])
@pytest.mark.parametrize("size", [1, 3])
def test_pages_of_any_size_are_the_whole_list_cut(shop, sort, size):
    whole = ids(shop.search("kettle case", k=50, sort=sort))
    assert len(whole) == 9
    pages, offset = [], 0
    while offset is not None:
        page = shop.page("kettle case", k=size, offset=offset, sort=sort)
        pages += ids(page.hits)
        offset = page.next
    assert pages == whole


def test_the_last_page_that_the_server_gives_is_shorter_and_named_by_none(client, bundle, alias):
    records = ({"id": f"k{n}", "title": f"kettle {n}"} for n in range(MAX_HITS + 100))
    fill(client, f"{alias}-many", bundle, [document(bundle, record, vector=[0.0, 1.0]) for record in records])
    shop = ProductSearch(client, f"{alias}-many", bundle)
    sizes, offset = [], MAX_HITS - 40
    while offset is not None:
        page = shop.page("kettle", k=30, offset=offset)
        sizes.append(len(page.hits))
        offset = page.next
    assert sizes == [30, 10]


def test_sorted_by_price(shop):
    prices = [hit.price for hit in shop.search("kettle", k=7, sort="-price", category="Home", filters=["price=5.."])]
    assert prices == [60.0, 30.0, 15.5, 12.0]  # the last is out of stock


def test_what_a_shops_own_update_sent_is_read_as_the_index_reads_it(client, bundle, alias):
    name = f"{alias}-updated"
    index = fill(client, name, bundle, [document(bundle, {**record, "popularity": 2}) for record in PRODUCTS])
    updates = {"k1": {"price": "19.99", "in_stock": "true"}, "k2": {"in_stock": "false"}, "k4": {"in_stock": ""}}
    updates |= {"wrong": {"brand": ["Sony", "LG"], "popularity": "-1"}, "c3": {"popularity": "7"}}
    for id_, doc in updates.items():
        client.update(index=index, id=id_, doc=doc, refresh=True)
    shop = ProductSearch(client, name, bundle)
    hits = {hit.id: hit for hit in shop.search("kettle", k=20, sort="price")}
    assert (hits["k1"].price, hits["k1"].in_stock, hits["wrong"].brand) == (19.99, True, "Sony")
    assert list(hits)[-3:] == ["k3", "k2", "k4"]
    out = shop.search("kettle", k=20, filters=["in_stock=false"])
    assert {hit.id for hit in out} == {hit.id for hit in hits.values() if hit.in_stock is False}


def test_facets_count_what_holds_the_words_within_the_filters(shop):
    page = shop.page("kettle", k=2, facets=True)
    assert page.total == 6
    [home, electronics] = page.facets.categories
    assert (home.path, home.count, home.children[0].children[0].path) == (("Home",), 5, KETTLES)
    assert (electronics.path, electronics.count) == (("Electronics",), 1)
    assert {(brand.brand, brand.count) for brand in page.facets.brands} == {("Sony", 1), ("LG", 1), ("Tarnholt", 1)}
    assert [(p.least, p.most, p.count) for p in page.facets.prices] == [
        (0.0, 5.0, 1),
        (10.0, 20.0, 2),
        (20.0, 50.0, 2),
        (50.0, 100.0, 1),
    ]
    assert shop.page("kettle", facets=True, filters=["brand=LG"]).facets.brands[0].count == 1
    assert shop.page("boiler", facets=True).total == len(PRODUCTS)  # no word finds any: meaning finds all
    assert shop.page("kettle").facets is None


@pytest.mark.parametrize("mode", ["hybrid", "lexical"])
def test_facets_count_what_holds_a_misspelt_word_in_its_nearest_spelling(client, alias, bundle, mode):
    shop = ProductSearch(client, alias, bundle)
    right = shop.page("kettle", mode=mode, facets=True)
    for _ in range(2):  # met for the first time, and remembered
        page = shop.page("kettel", mode=mode, facets=True)
        assert (page.total, page.facets) == (right.total, right.facets)


def test_words_are_marked_and_what_the_shop_wrote_is_escaped(shop):
    [hit] = shop.search("leather cases", k=1, highlight=True, filters=["color=red"])
    assert hit.highlight["title"].startswith("<em>Leather</em> &lt;b&gt;<em>case")
    assert "<b>" not in hit.highlight["title"]
    assert "highlight" not in shop.search("leather case", k=1)[0].to_json()


def test_what_stands_between_the_words_is_not_marked(client, bundle, alias):
    record = {"id": "w", "title": "Leather phone wallet case", "category": CASES}
    fill(client, f"{alias}-between", bundle, [document(bundle, record)])
    [hit] = ProductSearch(client, f"{alias}-between", bundle).search("leather case", highlight=True, explain=True)
    assert hit.highlight["title"] == "<em>Leather</em> phone wallet <em>case</em>"
    assert hit.explanation["words"] == ("case", "leather")


def test_a_description_longer_than_the_server_marks_is_marked_as_far_as_it_goes(client, bundle, alias):
    record = {"id": "long", "title": "Kettle", "category": KETTLES}
    long = document(bundle, record) | {"description": "steel " + "word " * 200_000 + "steel"}
    fill(client, f"{alias}-long", bundle, [long])
    shop = ProductSearch(client, f"{alias}-long", bundle)
    [hit] = shop.search("steel kettle", mode="lexical", highlight=True, explain=True)
    assert hit.highlight["title"] == "<em>Kettle</em>"
    assert hit.highlight["description"].startswith("<em>steel</em> word")
    assert hit.highlight["description"].endswith("word steel")


@pytest.mark.parametrize("mode", ["lexical", "semantic"])
def test_a_retriever_that_is_asked_alone_has_the_weight_one(shop, mode):
    for hit in shop.search("steel kettle", mode=mode, explain=True):
        own = hit.explanation["retrievers"][mode]
        assert own["weight"] == 1
        assert own["share"] == pytest.approx(own["score"]) == pytest.approx(hit.explanation["fused"])


def test_an_explanation_adds_up(shop):
    for hit in shop.search("steel kettle", k=5, explain=True):
        why = hit.explanation
        shares = [retriever["share"] for retriever in why["retrievers"].values()]
        assert sum(shares) == pytest.approx(why["fused"])
        boosts = (1 + why["category_boost"]) * (1 + why["popularity_boost"])
        assert why["fused"] * boosts == pytest.approx(why["score"]) == pytest.approx(hit.score)
    [first, *_] = shop.search("steel kettle", k=5, explain=True)
    assert first.id == "k1"
    assert first.explanation["words"] == ("kettle", "steel")
    assert first.explanation["retrievers"]["lexical"]["rank"] == 1
    assert [node["path"] for node in first.explanation["categories"]] == [KETTLES[:1], KETTLES[:2], KETTLES]
    assert first.explanation["categories"][2]["probability"] > 0.9
    assert first.explanation["category_boost"] > 0.25


def test_a_brand_is_one_facet_whatever_its_capitals_and_counts_what_its_filter_finds(client, bundle, alias):
    brands = ["SONY", "Sony", "sony", "Sony", "Bäro", "BARO", "LG", " LG", "LG "]
    records = [{"id": str(n), "title": "kettle", "brand": brand} for n, brand in enumerate(brands)]
    fill(client, f"{alias}-brands", bundle, [document(bundle, record) for record in records])
    shop = ProductSearch(client, f"{alias}-brands", bundle)
    facets = {facet.brand: facet.count for facet in shop.page("kettle", facets=True).facets.brands}
    assert (len(facets), facets["Sony"], facets["LG"]) == (3, 4, 3)
    for brand, count in facets.items():
        assert shop.page("kettle", filters=[f"brand={brand}"]).total == count


def test_filters_that_leave_nothing_are_only_left_out_when_asked_and_said(shop):
    options = {"category": "Home", "filters": ["brand=Sony", "color=red"]}
    assert shop.page("kettle", **options).hits == ()
    page = shop.page("kettle", relax=True, **options)
    assert ids(page.hits) == ["k1"]
    assert page.relaxed == ("nothing was left: the filter on color was left out",)
    page = shop.page("kettle", relax=True, filters=["color=red", "brand=Nobody"])
    assert page.relaxed[0] == "nothing was left: the filter on brand was left out"
    page = shop.page("zzzqqq", relax=True, filters=["color=red", "brand=Sony"], mode="lexical")
    assert (page.hits, page.relaxed) == ((), ())  # the words are to blame


def test_the_filter_of_a_price_facet_finds_what_the_facet_counts(client, bundle, alias):
    prices = [0, 4.99, 5, 5.0, 9.999, 10, 19.5, 20, 12_000]
    records = [{"id": str(n), "title": "kettle", "price": price} for n, price in enumerate(prices)]
    fill(client, f"{alias}-prices", bundle, [document(bundle, record) for record in records])
    shop = ProductSearch(client, f"{alias}-prices", bundle)
    facets = shop.page("kettle", facets=True).facets.prices
    assert sum(facet.count for facet in facets) == len(prices)
    for facet in facets:
        end = "" if facet.most is None else f"<{facet.most}"
        assert shop.page("kettle", filters=[f"price={facet.least}..{end}"]).total == facet.count


@pytest.mark.parametrize("query", ["the of and", "💧🫖", "the", "?!", "x" * 10_000, "kettle " * 1400])
@pytest.mark.parametrize("mode", ["hybrid", "lexical"])
def test_a_query_of_no_use_is_answered(shop, query, mode):
    page = shop.page(query, mode=mode, facets=True, highlight=True, explain=True)
    assert len(page.hits) <= len(PRODUCTS)


@pytest.mark.parametrize(("k", "offset"), [(0, 0), (100_000, 0), (10, -1), (10, 10_000), (10, 1.5)])
def test_a_page_that_cannot_be_is_refused(shop, k, offset):
    with pytest.raises(UsageError, match="must be a whole number"):
        shop.search("kettle", k=k, offset=offset)


def test_an_unknown_sort_or_setting_is_refused(shop):
    with pytest.raises(UsageError, match="expected one of price, -price, created_at, popularity"):
        shop.search("kettle", sort="colour")
    for wrong in ({"fusion": "magic"}, {"category_boost": -1.0}, {"popularity": 99.0}, {"weights": {"lexical": -1.0}}):
        with pytest.raises(UsageError):
            SearchSettings(**wrong)
