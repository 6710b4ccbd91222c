from math import cos, radians, sin

import pytest

from hand_bundle import write_hand_bundle
from hand_index import add, document, fill
from shelfwise.alias import LiveAlias
from shelfwise.errors import IncompatibleIndex, UnknownProduct, UsageError
from shelfwise.recommend import SimilarProducts

pytestmark = pytest.mark.es

KETTLES, PANS, AUDIO = ("Home", "Kitchen", "Kettles"), ("Home", "Kitchen", "Pans"), ("Electronics", "Audio")
LATER = "2999-01-01T00:00:00+00:00"  # than the full run


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_hand_bundle(tmp_path_factory.mktemp("bundle"), {"kettle": (1.0, 0.0)}, [KETTLES, PANS, AUDIO])


def at(degrees, bundle, id_, category=KETTLES, **given):
    """A product whose vector points in this direction: neighbours are near in degrees."""
    enriched = {name: given.pop(name) for name in ("similar", "enriched_at", "group") if name in given}
    vector = given.pop("vector", [cos(radians(degrees)), sin(radians(degrees))])
    record = {"id": id_, "title": f"product {id_}", "category": category, **given}
    return document(bundle, record, vector=vector, **enriched)


@pytest.fixture
def recommend(client, alias, bundle):
    def over(*documents, k=10):
        fill(client, alias, bundle, documents)
        return [hit.id for hit in SimilarProducts(client, alias).similar("a", k)]

    return over


def test_the_same_category_comes_first_then_its_parent_then_the_rest(recommend, bundle):
    assert recommend(
        at(0, bundle, "a"),
        at(1, bundle, "far category", AUDIO),
        at(2, bundle, "pan", PANS),
        at(40, bundle, "kettle 40"),
        at(20, bundle, "kettle 20"),
    ) == ["kettle 20", "kettle 40", "pan", "far category"]


def test_never_the_product_itself_its_variants_or_what_is_out_of_stock(recommend, bundle):
    assert recommend(
        at(0, bundle, "a", variant_of="parent"),
        at(1, bundle, "sibling", variant_of="parent"),
        at(2, bundle, "parent"),
        at(3, bundle, "sold out", in_stock=False),
        at(4, bundle, "in stock", in_stock=True),
        at(5, bundle, "unknown stock"),
    ) == ["in stock", "unknown stock"]


def test_the_same_holds_for_stored_neighbours(recommend, bundle):
    names = ["a", "sibling", "parent", "sold out", "gone", "good"]
    near = [{"id": name, "score": 0.99 - 0.01 * number} for number, name in enumerate(names)]
    assert recommend(
        at(0, bundle, "a", variant_of="parent", similar=near),
        at(1, bundle, "sibling", variant_of="parent"),
        at(2, bundle, "parent"),
        at(3, bundle, "sold out", in_stock=False),
        at(4, bundle, "good"),
    ) == ["good"]


def test_of_other_variants_only_the_best_is_shown_and_k_are_still_found(recommend, bundle):
    variants = [at(1 + number / 100, bundle, f"v{number:02}", variant_of="v") for number in range(60)]
    assert recommend(at(0, bundle, "a"), *variants, at(30, bundle, "b"), at(40, bundle, "c", PANS), k=3) == [
        "v00",
        "b",
        "c",
    ]


def test_stored_neighbours_come_first_with_their_stored_score(client, alias, bundle):
    similar = [{"id": "second", "score": 0.5}, {"id": "first", "score": 0.8}]
    fill(
        client,
        alias,
        bundle,
        [
            at(0, bundle, "a", similar=similar),
            at(10, bundle, "second"),
            at(20, bundle, "first"),
            at(1, bundle, "not stored"),
        ],
    )
    hits = SimilarProducts(client, alias).similar("a", 2)
    assert [(hit.id, hit.score, hit.shares) for hit in hits] == [
        ("first", 0.8, {"stored": 0.8}),
        ("second", 0.5, {"stored": 0.5}),
    ]


def test_a_live_neighbour_has_its_cosine_as_score(client, alias, bundle):
    fill(client, alias, bundle, [at(0, bundle, "a"), at(60, bundle, "b")])
    [hit] = SimilarProducts(client, alias).similar("a")
    assert (hit.id, hit.score) == ("b", pytest.approx(0.5, abs=1e-4))
    assert hit.shares == {"live": hit.score}


def test_when_stored_neighbours_run_short_live_ones_fill_up_to_k(recommend, bundle):
    assert recommend(
        at(0, bundle, "a", similar=[{"id": "stored", "score": 0.9}]),
        at(25, bundle, "stored"),
        at(50, bundle, "live"),
        at(5, bundle, "pan", PANS),
        k=3,
    ) == ["stored", "live", "pan"]


def stored(*ids):
    return [{"id": id_, "score": round(0.99 - 0.01 * place, 2)} for place, id_ in enumerate(ids)]


def test_stored_neighbours_of_another_category_wait_for_those_that_the_own_one_has_by_now(recommend, bundle):
    assert recommend(
        at(0, bundle, "a", similar=stored("pan", "radio", "stored kettle")),
        at(2, bundle, "pan", PANS),
        at(1, bundle, "radio", AUDIO),
        at(30, bundle, "stored kettle"),
        at(10, bundle, "restocked kettle"),
        k=3,
    ) == ["restocked kettle", "stored kettle", "pan"]


@pytest.mark.parametrize(
    ("category", "requests"),
    [(KETTLES, 1), (None, 1), (PANS, 2)],
)
def test_the_vectors_are_compared_only_where_stored_neighbours_are_of_another_category(
    client, alias, bundle, monkeypatch, category, requests
):
    kettles = [at(10 + number, bundle, f"k{number}") for number in range(3)]
    fill(client, alias, bundle, [at(0, bundle, "a", category, similar=stored("k0", "k1", "k2")), *kettles])
    asked = []
    really = LiveAlias.ask
    monkeypatch.setattr(LiveAlias, "ask", lambda *given: asked.append(given) or really(*given))
    assert [hit.id for hit in SimilarProducts(client, alias).similar("a", 3)] == ["k0", "k1", "k2"]
    _, *compared = asked
    assert len(compared) == requests


def test_a_product_that_arrived_after_the_full_run_stands_among_stored_neighbours(client, alias, bundle):
    near = [{"id": "old near", "score": 0.98}, {"id": "old far", "score": 0.5}]
    old = [at(0, bundle, "a", similar=near), at(10, bundle, "old near"), at(80, bundle, "old far")]
    index = fill(client, alias, bundle, old)
    add(client, index, [at(30, bundle, "new", enriched_at=LATER)])
    recommender = SimilarProducts(client, alias)
    assert [hit.id for hit in recommender.similar("a", 2)] == ["old near", "new"]
    assert [hit.id for hit in recommender.similar("new", 2)] == ["old near", "a"]


def test_what_may_not_be_recommended_may_not_when_it_arrived_after_the_full_run_either(client, alias, bundle):
    old = [at(0, bundle, "a", similar=stored("old near"), price=10.0), at(10, bundle, "old near", price=10.0)]
    index = fill(client, alias, bundle, old)
    new = {
        "sold out": {"price": 10.0, "in_stock": False},
        "variant": {"price": 10.0, "variant_of": "a"},
        "dear": {"price": 99.0},
        "new": {"price": 10.0},
    }
    add(client, index, [at(20 + n, bundle, id_, enriched_at=LATER, **new[id_]) for n, id_ in enumerate(new)])
    hits = SimilarProducts(client, alias).similar("a", 2, price_band=0.5)
    assert [hit.id for hit in hits] == ["old near", "new"]


def test_a_neighbour_that_was_encoded_anew_since_it_was_stored_is_as_near_as_it_is_now(client, alias, bundle):
    index = fill(client, alias, bundle, [at(0, bundle, "a", similar=stored("changed", "old")), at(20, bundle, "old")])
    add(client, index, [at(60, bundle, "changed", enriched_at=LATER)])
    hits = SimilarProducts(client, alias).similar("a", 2)
    assert [(hit.id, hit.score) for hit in hits] == [("old", 0.98), ("changed", pytest.approx(0.5, abs=1e-4))]


def test_a_product_in_two_categories_has_neighbours_from_both(recommend, bundle):
    assert recommend(
        at(0, bundle, "a", None, categories=[list(KETTLES), list(AUDIO)]),
        at(10, bundle, "kettle"),
        at(20, bundle, "audio", AUDIO),
        at(5, bundle, "pan", PANS),
    ) == ["kettle", "audio", "pan"]


def test_a_product_without_a_category_has_the_nearest_of_all(recommend, bundle):
    assert recommend(at(0, bundle, "a", None), at(20, bundle, "b"), at(10, bundle, "c", AUDIO)) == ["c", "b"]


def test_an_id_is_never_syntax(client, alias, bundle):
    fill(client, alias, bundle, [at(0, bundle, 'x" OR *:*'), at(1, bundle, "b")])
    assert [hit.id for hit in SimilarProducts(client, alias).similar('x" OR *:*')] == ["b"]


def test_an_unknown_id_is_an_error(client, alias, bundle):
    fill(client, alias, bundle, [at(0, bundle, "a")])
    recommender = SimilarProducts(client, alias)
    for id_ in ("nowhere", "", "*", "x" * 600):
        with pytest.raises(UnknownProduct, match=r"there is no product .* in index"):
            recommender.similar(id_)


def test_a_product_alone_has_none(recommend, bundle):
    assert recommend(at(0, bundle, "a")) == []


@pytest.mark.parametrize("diversity", ["x", None])
def test_a_diversity_that_is_no_number_is_refused(client, alias, bundle, diversity):
    fill(client, alias, bundle, [at(0, bundle, "a")])
    with pytest.raises(UsageError, match=f"diversity must be from 0 .* got {diversity!r}"):
        SimilarProducts(client, alias).similar("a", diversity=diversity)


def test_zero_neighbours_cannot_be_asked_for(client, alias, bundle):
    fill(client, alias, bundle, [at(0, bundle, "a")])
    with pytest.raises(UsageError, match="k must be a whole number"):
        SimilarProducts(client, alias).similar("a", 0)


def test_an_alias_that_is_a_plain_index_is_refused(client, alias):
    client.indices.create(index=alias)
    with pytest.raises(IncompatibleIndex, match="is a plain index"):
        SimilarProducts(client, alias)


def test_neighbours_of_a_partially_updated_product_are_unchanged(client, alias, bundle):
    index = fill(client, alias, bundle, [at(0, bundle, "a"), at(60, bundle, "b"), at(70, bundle, "c")])
    client.update(index=index, id="a", doc={"price": 5}, refresh=True)
    hits = SimilarProducts(client, alias).similar("a")
    assert [(hit.id, round(hit.score, 4)) for hit in hits] == [("b", 0.5), ("c", 0.342)]


def test_listings_of_one_title_and_brand_are_shown_once(recommend, bundle):
    assert recommend(
        at(0, bundle, "a"),
        at(1, bundle, "first", title="Steel Kettle, 1.7 l", brand="Tarnholt"),
        at(2, bundle, "again", title="steel kettle 1.7 L", brand="tarnholt"),
        at(3, bundle, "other brand", title="Steel Kettle 1.7 l", brand="Brewsdale"),
    ) == ["first", "other brand"]


def test_a_second_listing_of_the_product_itself_is_not_shown(recommend, bundle):
    assert recommend(
        at(0, bundle, "a", title="Steel Kettle", brand="Tarnholt"),
        at(1, bundle, "again", title="steel kettle", brand="tarnholt"),
        at(2, bundle, "other brand", title="steel kettle", brand="Brewsdale"),
    ) == ["other brand"]


@pytest.mark.parametrize("diversity", [0.0, 0.5])
def test_a_second_listing_of_a_variant_is_not_shown_and_a_title_of_one_more_word_is(client, alias, bundle, diversity):
    fill(
        client,
        alias,
        bundle,
        [
            at(0, bundle, "a", title="Steel kettle, rose", brand="Tarnholt", variant_of="parent"),
            at(1, bundle, "parent", title="Steel kettle", brand="Tarnholt"),
            at(2, bundle, "again", title="STEEL KETTLE", brand="tarnholt"),
            at(3, bundle, "pro", title="Steel kettle Pro", brand="Tarnholt"),
            at(4, bundle, "other brand", title="Steel kettle", brand="Brewsdale"),
        ],
    )
    similar = SimilarProducts(client, alias)
    assert {hit.id for hit in similar.similar("a", diversity=diversity)} == {"pro", "other brand"}
    assert {hit.id for hit in similar.similar("again", diversity=diversity)} == {"pro", "other brand"}


def test_k_are_found_although_one_listing_takes_all_near_places(recommend, bundle):
    cards = [at(1 + number / 100, bundle, f"c{number:02}", title="Gift card") for number in range(60)]
    others = [at(30 + number, bundle, f"o{number}") for number in range(3)]
    assert recommend(at(0, bundle, "a"), *cards, *others, k=3) == ["c00", "o0", "o1"]


@pytest.mark.parametrize("within", [KETTLES, PANS])
def test_what_one_product_with_many_variants_leaves_of_a_category_comes_before_the_next_one(recommend, bundle, within):
    variants = [at(1 + number / 100, bundle, f"v{number:02}", within, variant_of="v") for number in range(60)]
    others = [at(40 + number, bundle, f"o{number}", within) for number in range(4)]
    nearer = [at(5 + number, bundle, f"x{number}", AUDIO) for number in range(4)]
    assert recommend(at(0, bundle, "a"), *variants, *others, *nearer, k=4) == ["v00", "o0", "o1", "o2"]


@pytest.mark.parametrize(
    ("one", "other"),
    [("C++ Primer", "C# Primer"), ("Lens -2.00", "Lens +2.00"), ("★★★", "♥♥"), ("काला", "कील"), ("!", "?")],
)
def test_titles_that_differ_in_what_tells_products_apart_are_two_listings(recommend, bundle, one, other):
    given = {"brand": "Tarnholt"}
    found = recommend(
        at(0, bundle, "a"), at(1, bundle, "one", title=one, **given), at(2, bundle, "other", title=other, **given)
    )
    assert found == ["one", "other"]


def test_diversity_looks_beyond_the_stored_neighbours(client, alias, bundle):
    near = {f"n{number}": at(5 + number / 10, bundle, f"n{number}") for number in range(3)}
    index = fill(client, alias, bundle, [at(0, bundle, "a", similar=stored(*near)), *near.values()])
    similar = SimilarProducts(client, alias)
    add(client, index, [at(-61, bundle, "sold out", in_stock=False), at(-62, bundle, "variant", variant_of="a")])
    assert {hit.id for hit in similar.similar("a", 2, diversity=0.7)} <= near.keys()
    add(client, index, [at(-60, bundle, "other way")])
    assert [hit.id for hit in similar.similar("a", 2, diversity=0.7)][1] == "other way"


def test_a_price_band_keeps_to_the_products_price(client, alias, bundle):
    prices = {"a": 10.0, "same": 10.0, "near": 14.9, "dear": 15.1, "cheap": 4.9, "unknown": None, "free": 0.0}
    fill(client, alias, bundle, [at(n, bundle, name, price=price) for n, (name, price) in enumerate(prices.items())])
    similar = SimilarProducts(client, alias)
    assert [hit.id for hit in similar.similar("a", price_band=0.5)] == ["same", "near"]
    with pytest.raises(UsageError, match="'unknown' has no price"):
        similar.similar("unknown", price_band=0.5)
    with pytest.raises(UsageError, match="'free' has the price 0"):
        similar.similar("free", price_band=0.5)
    for band in (0, "x", float("nan")):
        with pytest.raises(UsageError, match=f"price band must be above 0, .* got {band!r}"):
            similar.similar("a", price_band=band)


def test_a_shops_own_update_may_send_a_price_as_text_and_several_brands(client, alias, bundle):
    index = fill(client, alias, bundle, [at(n, bundle, id_, price=10.0) for n, id_ in enumerate(["a", "b", "c"])])
    client.update(index=index, id="a", doc={"price": "10.0", "brand": ["Sony", "LG"]})
    client.update(index=index, id="b", doc={"price": "12", "brand": ["LG"]}, refresh=True)
    hits = SimilarProducts(client, alias).similar("a", price_band=0.5)
    assert [(hit.id, hit.price, hit.brand) for hit in hits] == [("b", 12.0, "LG"), ("c", 10.0, None)]


def test_diversity_brings_what_differs_forward_within_a_category(client, alias, bundle):
    degrees = {"a": 0, "twin": 10, "twin again": 11, "other way": -25}
    fill(client, alias, bundle, [at(angle, bundle, name) for name, angle in degrees.items()])
    similar = SimilarProducts(client, alias)
    assert [hit.id for hit in similar.similar("a")] == ["twin", "twin again", "other way"]
    assert [hit.id for hit in similar.similar("a", diversity=0.7)] == ["twin", "other way", "twin again"]
    with pytest.raises(UsageError, match="diversity must be from 0"):
        similar.similar("a", diversity=2)


def test_each_hit_says_what_it_shares(client, alias, bundle):
    titles = {"a": "Steel kettle 1.7 l", "b": "Kettle of steel", "c": "Gooseneck"}
    documents = [at(n, bundle, name, title=title) for n, (name, title) in enumerate(titles.items())]
    documents += [at(5, bundle, "pan", PANS, title="Pan"), at(6, bundle, "radio", AUDIO, title="Radio")]
    fill(client, alias, bundle, documents)
    reasons = {hit.id: hit.reason for hit in SimilarProducts(client, alias).similar("a")}
    assert reasons == {
        "b": "same category, both 'steel kettle'",
        "c": "same category",
        "pan": "related category",
        "radio": "another category",
    }


def test_words_that_are_shared_are_whole_in_every_script(client, alias, bundle):
    titles = {"a": "स्टील केतली", "b": "केतली, स्टील"}
    fill(client, alias, bundle, [at(n, bundle, name, title=title) for n, (name, title) in enumerate(titles.items())])
    [hit] = SimilarProducts(client, alias).similar("a")
    assert hit.reason == "same category, both 'स्टील केतली'"


def test_a_product_that_is_only_described_has_similar_ones_at_once(client, alias, tmp_path):
    # The second dimension stands for the second leaf in alphabetical order: kettles.
    bundle = write_hand_bundle(tmp_path / "bundle", {"kettle": (0.0, 1.0)}, [KETTLES, PANS, AUDIO])
    sold_out = at(88, bundle, "sold out", in_stock=False)
    fill(client, alias, bundle, [at(85, bundle, "kettle"), sold_out, at(89, bundle, "radio", AUDIO)])
    similar = SimilarProducts(client, alias)
    assert [hit.id for hit in similar.similar_to_text("kettle", bundle, 5)] == ["kettle", "radio"]
    with pytest.raises(UsageError, match="the text is empty"):
        similar.similar_to_text(" ", bundle)
    with pytest.raises(UsageError, match="knows no word of the text 'quince'"):
        similar.similar_to_text("quince", bundle)


@pytest.mark.parametrize(
    ("text", "nearest", "reasons"),
    [
        ("kettle", ["kettle", "pan", "radio"], ["same category", "related category", "another category"]),
        ("cookware", ["pan", "kettle", "radio"], ["same category", "same category", "another category"]),
        ("present", ["radio", "kettle", "pan"], ["like it"] * 3),
        ("kettle quince", ["pan", "kettle", "radio"], ["like it"] * 3),
    ],
)
def test_a_described_product_is_of_a_category_only_as_far_as_the_model_is_sure(
    client, alias, tmp_path, text, nearest, reasons
):
    # The dimensions stand for the leaves in alphabetical order: audio, kettles, pans.
    words = {"kettle": (0, 1, 0), "cookware": (0, 0.72, 0.7), "present": (0.6, 0.55, 0.58)}
    bundle = write_hand_bundle(tmp_path / "bundle", words, [KETTLES, PANS, AUDIO], threshold=0.8)
    products = {
        "kettle": (KETTLES, [0.0, 0.6, 0.8]),
        "pan": (PANS, [0.0, 0.8, 0.6]),
        "radio": (AUDIO, [0.8, 0.36, 0.48]),
    }
    fill(
        client,
        alias,
        bundle,
        [at(0, bundle, name, leaf, title=name[::-1], vector=vector) for name, (leaf, vector) in products.items()],
    )
    hits = SimilarProducts(client, alias).similar_to_text(text, bundle, 5)
    assert ([hit.id for hit in hits], [hit.reason for hit in hits]) == (nearest, reasons)


def test_a_described_product_is_not_compared_with_vectors_of_another_bundle(client, alias, bundle, tmp_path):
    fill(client, alias, bundle, [at(3, bundle, "kettle")])
    other = write_hand_bundle(tmp_path / "other", {"kettle": (0.0, 1.0)}, [KETTLES, PANS, AUDIO])
    with pytest.raises(IncompatibleIndex):
        SimilarProducts(client, alias).similar_to_text("a kettle", other)
