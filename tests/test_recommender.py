import gzip
import json
import sys
from math import cos, radians, sin

import numpy as np
import pytest
from click.testing import CliRunner

from conftest import delete_indices
from hand_bundle import write_hand_bundle
from hand_index import add, document, fill
from shelfwise.alias import LiveAlias
from shelfwise.cli import main
from shelfwise.errors import ShelfwiseError, UnknownProduct, UsageError
from shelfwise.event_model import EventModel, create, publish
from shelfwise.history import Event, product_weights
from shelfwise.live_index import live
from shelfwise.profile import LONGEST
from shelfwise.query import VECTOR
from shelfwise.recommend_query import none_of
from shelfwise.recommender import DEPTH, Recommender
from shelfwise_indexer import learn_events
from shelfwise_indexer.cli_events import events
from shelfwise_indexer.learn_events import learn
from shelfwise_indexer.records import CatalogueError

pytestmark = pytest.mark.es

KETTLES, CUPS, AUDIO = ("Home", "Kitchen", "Kettles"), ("Home", "Kitchen", "Cups"), ("Electronics", "Audio")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_hand_bundle(tmp_path_factory.mktemp("bundle"), {"kettle": (1.0, 0.0)}, [KETTLES, CUPS, AUDIO])


def at(degrees, bundle, id_, category=KETTLES, **given):
    """A product whose vector points in this direction; its title is a word of its own."""
    enriched = {"vector": given.pop("vector", [cos(radians(degrees)), sin(radians(degrees))])}
    return document(bundle, {"id": id_, "title": f"word{id_}", "category": category, **given}, **enriched)


@pytest.fixture
def shop(client, alias, bundle, elasticsearch_url, tmp_path):
    """Fills an index, learns from histories, and recommends."""

    class Shop:
        def fill(self, *documents):
            fill(client, alias, bundle, documents)
            return self

        def learn(self, *lines, name="events.jsonl"):
            content = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
            opened = gzip.open if name.endswith(".gz") else open
            with opened(tmp_path / name, "wt") as file:
                file.write(content)
            return learn(tmp_path / name, alias, elasticsearch_url)

        def ids(self, history, k=10, kind="any", **given):
            return [hit.id for hit in Recommender(client, alias, **given).recommend(history, k, kind)]

        def run(self, *arguments, given=None):
            command = main if arguments[0] == "recommend" else events
            rest = arguments if command is main else arguments[1:]
            return CliRunner().invoke(
                command, [*map(str, rest), "--alias", alias, "--url", elasticsearch_url], input=given
            )

    yield Shop()
    delete_indices(client, f"{alias}-events")


def in_review(document, *sure):
    """The product without an accepted category; the model is sure of these nodes only."""
    return {**document, "shelfwise": {**document["shelfwise"], "category": [], "ancestors": list(sure)}}


def six(bundle):
    return [
        at(0, bundle, "k1"),
        at(5, bundle, "k2"),
        at(10, bundle, "k3"),
        at(90, bundle, "c1", CUPS),
        at(85, bundle, "c2", CUPS),
        at(45, bundle, "a1", AUDIO),
    ]


def histories(*of, user=0):
    return [{"user": f"u{number}", "history": list(history)} for number, history in enumerate(of)]


def test_without_an_event_log_the_nearest_to_the_history_come_first_and_nothing_of_it(shop, bundle):
    assert shop.fill(*six(bundle)).ids(["k1"], 2) == ["k2", "k3"]


def test_the_newest_product_counts_most(shop, bundle):
    shop.fill(*six(bundle)[:-1])
    assert shop.ids(["k1", "c1"], 1) == ["c2"]
    assert shop.ids(["c1", "k1"], 1) == ["k3"]


def test_the_profile_is_the_weighted_sum_of_the_vectors(client, alias, bundle):
    documents = [at(degrees, bundle, f"p{degrees}", AUDIO) for degrees in range(0, 91, 6)]
    fill(client, alias, bundle, documents)
    history = ["p0", "p30", "p84"]
    weights = product_weights([Event(id_) for id_ in history])
    vector_of = {one["id"]: np.array(one["shelfwise"]["vector"]) for one in documents}
    profile = sum(weight * vector_of[id_] for id_, weight in weights.items())
    by_hand = sorted(vector_of.keys() - set(history), key=lambda id_: -(vector_of[id_] @ profile))
    hits = Recommender(client, alias).recommend(history, 5)
    assert [hit.id for hit in hits] == by_hand[:5]  # titles share no word, all are of one category
    assert hits[0].score == pytest.approx(sum(hits[0].shares.values()))


def test_words_that_are_shared_count_beside_the_vectors(shop, bundle):
    titled = [at(0, bundle, "k1", title="copper pot"), at(20, bundle, "k2", title="copper pan"), at(20, bundle, "k3")]
    assert shop.fill(*titled).ids(["k1"], 1) == ["k2"]


def test_what_the_same_people_went_on_to_comes_first_once_it_is_learnt(shop, bundle):
    shop.fill(*six(bundle), at(44, bundle, "a2", AUDIO))
    assert shop.ids(["a2"], 1) == ["a1"]
    shop.learn(*histories(["k1", "c1"], ["k1", "c1"]))
    assert "c1" in shop.ids(["k1"], 3)


def test_nothing_out_of_stock_no_variant_of_what_was_bought_and_one_of_each_group(shop, bundle):
    shop.fill(
        at(0, bundle, "k1", variant_of="k"),
        at(1, bundle, "same kettle", variant_of="k"),
        at(2, bundle, "sold out", in_stock=False),
        at(3, bundle, "pot red", variant_of="pot"),
        at(4, bundle, "pot blue", variant_of="pot"),
        at(60, bundle, "a1", AUDIO),
    ).learn(*histories(["k1", "sold out"], ["k1", "same kettle"], ["k1", "pot red"]))
    assert shop.ids(["k1"]) == ["pot red", "a1"]


def test_a_second_listing_of_what_was_bought_is_not_shown_unless_it_is_consumable(shop, bundle):
    beans = {"title": "Coffee Beans", "brand": "Tarnholt"}
    shop.fill(
        at(0, bundle, "b1", **beans),
        at(1, bundle, "b2", **beans | {"title": "coffee beans"}),
        at(2, bundle, "pot", title="Pot"),
        at(3, bundle, "same pot", title="pot"),
    )
    assert shop.ids(["b1"]) == ["pot"]
    assert "b1" in shop.ids(["b1", Event("b2", kind="view")], consumable=["Home"])


def test_k_are_found_although_variants_of_one_product_are_nearest(shop, bundle):
    variants = [at(1 + number / 1000, bundle, f"v{number:03}", variant_of="v") for number in range(250)]
    others = [at(30 + number, bundle, f"o{number}") for number in range(4)]
    assert shop.fill(at(0, bundle, "k1"), *variants, *others).ids(["k1"], 5) == ["v000", "o0", "o1", "o2", "o3"]


def test_k_are_found_although_one_listing_takes_all_near_places(shop, bundle):
    cards = [at(1 + number / 1000, bundle, f"v{number:03}", title="Gift card") for number in range(DEPTH + 50)]
    others = [at(30 + number, bundle, f"o{number}") for number in range(4)]
    assert shop.fill(at(0, bundle, "k1"), *cards, *others).ids(["k1"], 5) == ["v000", "o0", "o1", "o2", "o3"]


def test_complements_are_found_behind_more_than_are_looked_at_that_are_out_of_stock(client, alias, shop, bundle):
    out = [at(90, bundle, f"out{number}", CUPS, in_stock=False) for number in range(2 * DEPTH)]
    shop.fill(at(0, bundle, "k1"), at(0, bundle, "c1", CUPS), *out)
    index = create(client, alias, "hash")
    together = [{"id": one["id"], "score": 2.0} for one in out] + [{"id": "c1", "score": 1.0}]
    add(client, index, [{"id": "k1", "users": 1, "together": together}])
    publish(client, alias, index)
    assert shop.ids(["k1"], kind="complements") == ["c1"]


def test_an_event_model_that_a_template_gives_the_alias_of_the_products_gives_it_back(client, alias, shop, bundle):
    shop.fill(at(0, bundle, "k1"))
    products = live(client, alias).name
    given = {"aliases": {alias: {}}}
    client.indices.put_index_template(name=alias, index_patterns=[f"{alias}-*"], template=given)
    try:
        create(client, alias, "hash")
    finally:
        client.indices.delete_index_template(name=alias)
    assert live(client, alias).name == products


def test_more_products_and_groups_than_the_server_takes_in_one_clause_are_kept_out(client, alias, shop, bundle):
    shop.fill(*six(bundle))
    many = [f"p{number}" for number in range(70_000)]
    found = client.search(index=alias, query=none_of(["k1", *many], ["c1", *many]))["hits"]["hits"]
    assert {one["_id"] for one in found} == {"k2", "k3", "c2", "a1"}


def test_variants_of_a_product_that_the_index_lacks_are_not_recommended(shop, bundle):
    shop.fill(*six(bundle), at(1, bundle, "small", variant_of="k"), at(2, bundle, "large", variant_of="k"))
    assert shop.ids(["k", "k1"], 2) == ["k2", "k3"]
    shop.learn(*histories(["small"], ["small", "c1"]))
    assert shop.ids(["k"]) == ["c1"]
    assert "small" in shop.ids(["k", "small"], consumable=["Home > Kitchen > Kettles"])


def test_what_was_bought_comes_back_only_if_it_is_consumable(shop, bundle):
    shop.fill(*six(bundle), at(2, bundle, "beans", CUPS, consumable=True))
    assert "k1" not in shop.ids(["k1"])
    assert "beans" in shop.ids(["beans"])
    assert "c1" in shop.ids(["c1"], consumable=["Home > Kitchen > Cups"])
    assert "beans" not in shop.ids([Event("beans", kind="view")])


def test_what_is_consumable_comes_back_although_a_variant_of_it_was_looked_at(shop, bundle):
    shop.fill(*(at(n, bundle, id_, variant_of="v", consumable=True) for n, id_ in enumerate(["big", "small"])))
    assert shop.ids(["big", Event("small", kind="view")]) == ["big"]


def test_what_people_buy_again_and_again_is_consumable_without_anybody_saying_so(shop, bundle):
    shop.fill(*six(bundle)).learn(*histories(*[["k1", "c1", "k1"]] * 3))
    assert "k1" in shop.ids(["k1"])
    assert "c1" not in shop.ids(["c1"])


def test_what_weighs_much_travels_for_the_newest_known_products_only(client, alias, shop, bundle, monkeypatch):
    old = [f"p{number:02}" for number in range(LONGEST + 10)]
    shop.fill(*(at(number / 10, bundle, id_) for number, id_ in enumerate(old)), at(90, bundle, "c1", CUPS))
    shop.learn(*histories(*[["p00", "c1", "p00"]] * 3, old))
    vectors, learnt = set(), []
    ask, learnt_of = LiveAlias.ask, EventModel.learnt

    def asked(self, index, bodies):
        answers = ask(self, index, bodies)
        hits = [one for answer in answers for one in answer["hits"]["hits"]]
        vectors.update(one["_id"] for one in hits if VECTOR in one.get("fields", ()))
        return answers

    monkeypatch.setattr(LiveAlias, "ask", asked)
    monkeypatch.setattr(EventModel, "learnt", lambda self, ids: learnt.extend(ids) or learnt_of(self, ids))
    assert set(shop.ids([*old, "gone", "gone too"])) == {"p00", "c1"}  # what is bought again comes back, however old
    assert vectors == set(learnt) == set(old[-LONGEST:])


def test_complements_are_of_other_categories_and_substitutes_of_the_same(shop, bundle):
    shop.fill(*six(bundle)).learn(*histories(*[["k1", "k2", "c1"]] * 3, ["a1", "c2"], ["a1"], ["k3"]))
    assert shop.ids(["k1"], kind="complements") == ["c1"]
    assert shop.ids(["k1"], kind="substitutes") == ["k2", "k3"]


def test_a_product_in_review_keeps_no_department_from_the_complements(shop, bundle):
    lamp = in_review(at(45, bundle, "lamp"), "Home")
    shop.fill(*six(bundle), lamp).learn(*histories(*[["lamp", "k1", "c1"]] * 3, ["a1"], ["k2"], ["c2"]))
    assert shop.ids(["lamp"], kind="complements") == ["c1", "k1"]
    assert shop.ids(["lamp", "k1"], kind="complements") == ["c1"]


def test_a_product_in_review_whose_leaf_the_model_is_sure_of_is_no_complement_to_its_like(shop, bundle):
    considered = [{"category": " > ".join(path), "probability": 0.4} for path in (CUPS, KETTLES)]
    kettle = at(45, bundle, "new kettle")
    kettle["shelfwise"]["candidates"] = considered
    sure = in_review(kettle, "Home", "Home > Kitchen", "Home > Kitchen > Kettles")
    bought = [["new kettle", "k1", "c1"]] * 3
    shop.fill(*six(bundle), sure).learn(*histories(*bought, ["a1"], ["k2"], ["c2"]))
    assert shop.ids(["new kettle"], kind="complements") == ["c1"]


def test_a_product_in_review_is_near_to_what_the_model_is_sure_of(shop, bundle):
    lamp = in_review(at(45, bundle, "lamp"), "Home")
    shop.fill(lamp, at(44, bundle, "k1"), at(46, bundle, "a1", AUDIO))
    assert shop.ids(["lamp"]) == ["k1", "a1"]
    assert shop.ids(["lamp"], kind="substitutes") == ["k1"]


def test_complements_without_an_event_log_say_what_is_needed(shop, bundle):
    with pytest.raises(UsageError, match="shelfwise events learn"):
        shop.fill(*six(bundle)).ids(["k1"], kind="complements")


def test_unknown_products_are_left_out_and_with_only_such_the_popular_come(shop, bundle):
    shop.fill(*six(bundle))
    assert shop.ids(["nowhere", "k1"], 1) == ["k2"]
    with pytest.raises(UnknownProduct, match=r"'nowhere'.*events learn"):
        shop.ids(["nowhere"])
    with pytest.raises(UsageError, match="no product that counts"):
        shop.ids([])
    shop.learn(*histories(["c1"], ["c1", "a1"], ["c1", "a1"], ["k1"]))
    assert shop.ids(["nowhere"], 2) == shop.ids([], 2) == ["c1", "a1"]


def test_the_popular_come_however_many_more_popular_ones_are_out_of_stock(shop, bundle):
    out = [f"out{number}" for number in range(DEPTH)]
    shop.fill(*(at(0, bundle, id_, in_stock=False) for id_ in out), at(0, bundle, "k1"), at(90, bundle, "c1", CUPS))
    shop.learn(*histories(out, out, ["k1", "c1"], ["c1"]))
    assert shop.ids([], 2) == ["c1", "k1"]


def test_what_counts_nothing_takes_no_place_of_what_counts(shop, bundle):
    views = [Event(f"v{number}", kind="view", weight=0) for number in range(LONGEST)]
    shop.fill(at(0, bundle, "k1"), at(1, bundle, "k2"), *(at(90, bundle, one.product, AUDIO) for one in views))
    assert shop.ids(["k1", *views], 1) == ["k2"]


def test_attributes_that_the_shop_wrote_as_a_list_say_what_is_consumable(client, alias, shop, bundle):
    shop.fill(at(0, bundle, "k1"), at(10, bundle, "k2"))
    client.update(index=alias, id="k1", doc={"attributes": [{"colour": "red"}, {"consumable": "true"}]}, refresh=True)
    assert set(shop.ids(["k1"])) == {"k1", "k2"}


@pytest.mark.parametrize(
    ("mark", "comes_back"), [("yes", True), (1, True), ("1", True), (" TRUE", True), ("no", False), (0, False)]
)
def test_what_is_consumable_is_said_in_any_way_in_which_a_filter_takes_what_is_true(shop, bundle, mark, comes_back):
    shop.fill(at(0, bundle, "k1", consumable=mark), at(10, bundle, "k2"))
    assert ("k1" in shop.ids(["k1"])) == comes_back


def test_where_a_known_product_counts_nothing_that_is_said(shop, bundle):
    shop.fill(*six(bundle))
    with pytest.raises(ShelfwiseError, match="holds no product that counts"):
        shop.ids([Event("k1", weight=0), "zz"])


@pytest.mark.parametrize("k", [0, -1, 100_000, True])
def test_so_many_hits_cannot_be_asked_for(shop, bundle, k):
    with pytest.raises(UsageError, match="k must be a whole number from 1 to 10,000"):
        shop.fill(at(0, bundle, "k1")).ids(["k1"], k)


def test_many_histories_get_what_one_by_one_gets(client, alias, shop, bundle):
    shop.fill(*six(bundle)).learn(*histories(["k1", "c1"], ["a1", "k2"]))
    many = [["k1"], ["nowhere"], ["c1", "a1"], ["k2"] * 3] * 6
    together = Recommender(client, alias).recommend_many(many, 3)
    assert [[hit.id for hit in one.hits] for one in together] == [shop.ids(history, 3) for history in many]
    assert together[1].unknown == ("nowhere",)


def test_a_product_that_arrived_after_learning_is_recommended_by_its_content(client, alias, shop, bundle):
    shop.fill(*six(bundle)).learn(*histories(["k1", "c1"]))
    add(client, alias, [at(1, bundle, "new")])
    assert "new" in shop.ids(["k1"], 2)


def test_a_signal_that_counts_nothing_is_not_looked_for(client, alias, shop, bundle):
    shop.fill(*six(bundle)).learn(*histories(["k1", "a1"], ["k1", "a1"]))
    only_learnt = {"vector": 0, "words": 0, "category": 0}
    assert shop.ids(["k1"], weights=only_learnt) == ["a1"]
    assert shop.ids(["c1"], weights=only_learnt) == ["a1", "k1"]  # its look-alike in the log, and what that one lent it
    nothing_learnt = EventModel(client, f"{alias}-other")
    by_content = [hit.id for hit in Recommender(client, alias, events=nothing_learnt).recommend(["k1"])]
    assert shop.ids(["k1"], weights={"also": 0}) == by_content
    assert by_content[0] == "k2"


def test_a_weight_of_nothing_or_below_0_is_refused(client, alias, shop, bundle):
    shop.fill(*six(bundle))
    for wrong in ({"colour": 1.0}, {"also": -1.0}, {"also": float("nan")}):
        with pytest.raises(UsageError, match="expected numbers of at least 0 for vector, words, also, category"):
            shop.ids(["k1"], weights=wrong)


class TestLearn:
    def test_read_is_used_and_rejected_and_each_bad_line_is_said_with_its_reason(self, shop, bundle, capsys):
        done = shop.fill(*six(bundle)).learn(
            {"user": "u", "product": "k1", "time": "2026-01-01", "kind": "purchase"},
            {"user": "u", "product": "c1", "time": "2026-01-02T10:00:00Z", "kind": "view", "page": 7},
            {"user": "u", "history": ["gone", "k2", {"product": "gone"}]},
            "{nope\n",
            "\n",
            {"user": "u", "product": "k1", "weight": -1},
            {"user": "u", "product": "k1", "time": "soon"},
            {"user": "", "product": "k1"},
            {"user": "u"},
            ["u", "k1"],
        )
        assert (done.read, done.used, done.rejected) == (9, 3, 6)
        assert (done.users, done.events, done.unknown_events, done.unknown_products) == (1, 5, 2, 1)
        said = capsys.readouterr().err
        for part in (
            "line 4: not JSON",
            "line 6: weight must be",
            "line 7: time must be",
            "line 8: user must be",
            "line 9: expected an object with user and product",
            "line 10: expected an object with user and product",
            "product gone is not in index",
        ):
            assert part in said

    def test_a_packed_log_teaches_the_same(self, client, alias, shop, bundle):
        lines = histories(["k1", "c1"], ["k1", "a1"])
        shop.fill(*six(bundle)).learn(*lines)
        plain = EventModel(client, alias).learnt(["k1", "c1", "a1"])
        shop.learn(*lines, name="events.jsonl.gz")
        assert EventModel(client, alias).learnt(["k1", "c1", "a1"]) == plain
        assert plain["k1"].users == 2

    def test_events_line_by_line_teach_what_their_history_teaches(self, client, alias, shop, bundle):
        shop.fill(*six(bundle)).learn(*histories(["k1", "c1", "a1"]))
        whole = EventModel(client, alias).learnt(["k1", "c1", "a1"])
        shop.learn(*({"user": "u", "product": product} for product in ("k1", "c1", "a1")))
        assert EventModel(client, alias).learnt(["k1", "c1", "a1"]) == whole

    @pytest.mark.parametrize("line_by_line", [False, True])
    def test_a_log_that_tells_everything_twice_teaches_what_it_teaches_once(
        self, client, alias, shop, bundle, capsys, line_by_line
    ):
        lines = histories(["k1", "c1"], ["k1", "c1", "a1"], ["k1", "c1"], ["c1", "a1"], ["k1", "c1", "a1"])
        if line_by_line:
            lines = [{"user": line["user"], "product": id_} for line in lines for id_ in line["history"]]
        shop.fill(*six(bundle)).learn(*lines)
        once = EventModel(client, alias).learnt(["k1", "c1", "a1"])
        done = shop.learn(*lines, *lines)
        assert EventModel(client, alias).learnt(["k1", "c1", "a1"]) == once
        assert (done.read, done.used, done.repeated, done.rejected) == (2 * len(lines), len(lines), len(lines), 0)
        assert f"{len(lines)} lines tell again what was told before, and count once" in capsys.readouterr().err
        assert "k1" not in shop.ids(["k1"])

    def test_what_was_learnt_before_is_replaced_and_one_model_is_kept_to_look_at(self, client, alias, shop, bundle):
        shop.fill(*six(bundle))
        names = [shop.learn(*histories(["k1", "c1"])).index for _ in range(3)]
        assert sorted(client.indices.get(index=f"{alias}-events-*")) == names[1:]
        assert list(client.indices.get_alias(name=f"{alias}-events")) == names[2:]

    def test_a_model_that_another_run_is_still_filling_is_left_to_it(self, client, alias, shop, bundle):
        shop.fill(*six(bundle)).learn(*histories(["k1", "c1"]))
        filling = create(client, alias, "hash")
        shop.learn(*histories(["k1", "c1"]))
        assert client.indices.exists(index=filling)
        publish(client, alias, filling)
        assert list(client.indices.get_alias(name=f"{alias}-events")) == [filling]

    @pytest.mark.parametrize(
        ("lines", "part"),
        [
            ([], "the event log is empty"),
            (["{nope\n"], "no event of a product behind alias"),
            ([{"user": "u", "history": ["gone"]}], "no event of a product behind alias"),
        ],
    )
    def test_a_log_of_which_nothing_is_left_leaves_the_model_before(self, client, alias, shop, bundle, lines, part):
        shop.fill(*six(bundle)).learn(*histories(["k1", "c1"]))
        with pytest.raises(CatalogueError, match=part):
            shop.learn(*lines)
        assert EventModel(client, alias).learnt(["k1"])["k1"].users == 1

    def test_a_file_of_another_kind_or_none_is_named(self, shop, bundle):
        shop.fill(*six(bundle))
        with pytest.raises(CatalogueError, match=r"ends in \.jsonl"):
            shop.learn(name="events.csv")
        assert "there is no such file" in str(shop.run("events", "learn", "none.jsonl").exception)

    def test_a_log_that_is_cut_off_teaches_nothing_and_the_model_before_stays(self, shop, bundle, tmp_path):
        shop.fill(*six(bundle)).learn(*histories(["k1", "a1"]))
        before = shop.ids(["k1"], 1)
        whole = gzip.compress("".join(json.dumps(one) + "\n" for one in histories(*[["k2", "c1"]] * 5000)).encode())
        (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
        ran = shop.run("events", "learn", tmp_path / "cut.jsonl.gz")
        assert isinstance(ran.exception, CatalogueError)
        assert "cut.jsonl.gz, line" in str(ran.exception)
        assert shop.ids(["k1"], 1) == before

    def test_more_products_than_are_sent_together_are_all_learnt(self, client, alias, shop, bundle, monkeypatch):
        monkeypatch.setattr(learn_events, "SENT_TOGETHER", 2)
        learnt = shop.fill(*six(bundle)).learn(*histories(["k1", "k2", "k3", "c1", "a1"]))
        assert learnt.products >= 5
        assert client.count(index=learnt.index)["count"] == learnt.products

    def test_an_index_of_the_shops_own_under_that_name_is_left_alone(self, client, alias, shop, bundle):
        shop.fill(*six(bundle))
        client.index(index=f"{alias}-events", id="theirs", document={"user": "x"}, refresh=True)
        assert shop.ids(["k1"], 1) == ["k2"]
        with pytest.raises(Exception, match="is not an event model of shelfwise"):
            shop.learn(*histories(["k1"]))
        assert client.count(index=f"{alias}-events")["count"] == 1


class TestCommands:
    def test_learn_prints_its_counts_and_ends_with_1_when_lines_were_rejected(self, shop, bundle):
        given = '{"user": "u", "history": ["k1", "c1"]}\n{nope\n'
        ran = shop.fill(*six(bundle)).run("events", "learn", "-", given=given)
        assert ran.exit_code == 1
        line = json.loads(ran.stdout.splitlines()[0])
        assert (line["read"], line["used"], line["rejected"], line["products"]) == (2, 1, 1, 6)

    def test_a_history_is_answered_by_hits(self, shop, bundle):
        ran = shop.fill(*six(bundle)).run("recommend", "--history", "nowhere,k1", "-k", 2)
        assert ran.exit_code == 0
        assert [json.loads(line)["id"] for line in ran.stdout.splitlines()] == ["k2", "k3"]
        assert "1 products of the history are not in the index and were left out: nowhere" in ran.stderr

    def test_an_id_of_a_history_may_hold_a_comma(self, shop, bundle):
        ran = shop.fill(*six(bundle)).run("recommend", "--history", r"no\,where, k1,\,", "-k", 1)
        assert "2 products of the history are not in the index and were left out: no,where, ," in ran.stderr
        assert [json.loads(line)["id"] for line in ran.stdout.splitlines()] == ["k2"]

    def test_a_product_that_nothing_goes_with_is_said_and_is_no_error(self, shop, bundle):
        shop.fill(*six(bundle)).learn(*histories(["k1"]))
        ran = shop.run("recommend", "--history", "k1", "--kind", "complements")
        assert (ran.exit_code, ran.stdout, ran.stderr) == (0, "", "nothing goes with it yet\n")
        ran = shop.run("recommend", "--history", "nowhere", "--kind", "complements")
        assert "none of the history's products" in ran.stderr
        assert "events learn" not in ran.stderr

    def test_each_line_of_histories_is_answered_by_user_and_hits(self, shop, bundle):
        lines = [
            {"user": "u1", "history": ["k1"]},
            {"user": 2, "history": [{"product": "c1", "kind": "view", "time": "2026-01-01"}]},
            {"user": "u3", "history": ["nowhere"]},
            {"user": "u4"},
        ]
        given = "".join(json.dumps(line) + "\n" for line in lines)
        ran = shop.fill(*six(bundle)).run("recommend", "--histories", "-", "-k", 1, given=given)
        assert ran.exit_code == 1
        answers = [json.loads(line) for line in ran.stdout.splitlines()]
        assert [(one["user"], [hit["id"] for hit in one["hits"]]) for one in answers] == [
            ("u1", ["k2"]),
            (2, ["c2"]),
            ("u3", []),
        ]
        assert "user u3: none of the history's products is in index" in ran.stderr
        assert "-, line 4: expected an object such as" in ran.stderr

    @pytest.mark.parametrize(
        ("arguments", "given", "part"),
        [
            (["--history", "nowhere"], None, "none of the history's products"),
            (["--history", "k1", "-k", "0"], None, "k must be a whole number"),
            (["--history", "k1", "-k", "100000"], None, "k must be a whole number"),
            (["--histories", "none.jsonl"], None, "none.jsonl cannot be read"),
            (["--histories", "-"], "", "- is empty"),
            (["--histories", "-"], '{"user": "u"}', "-, line 1: expected an object such as"),
            (
                ["--histories", "-"],
                '{"history": [{"product": "a", "weight": -2}]}',
                "line 1: event 1 of the history: weight",
            ),
            (
                ["--histories", "-"],
                '{"user": 123456789012345678901234, "history": ["k1"]}',
                "line 1: user must be an id, text or a whole number",
            ),
            ([], None, "give one history"),
            (["--history", "k1", "--histories", "-"], None, "give one history"),
            (["--history", "k1", "--consumable", " > "], None, "category"),
            (
                ["--history", "k1", "--consumable", "Home > Kitchen > Cup"],
                None,
                "there is no category 'Home > Kitchen > Cup': the closest are 'Home > Kitchen > Cups'",
            ),
        ],
    )
    def test_what_cannot_be_recommended_is_said_in_one_line(self, shop, bundle, arguments, given, part):
        ran = shop.fill(*six(bundle)).run("recommend", *arguments, given=given)
        assert (ran.exit_code, ran.stdout) == (2, "")
        assert part in ran.stderr
        assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("history", ["k1", 5, {"product": "k1"}, Event("k1")])
def test_one_product_where_a_history_is_expected_is_refused(shop, bundle, history):
    shop.fill(*six(bundle))
    with pytest.raises(UsageError, match="history must be a list of product ids or events, oldest first, got "):
        shop.ids(history)


def test_one_history_where_several_are_expected_is_refused(shop, bundle, client, alias):
    shop.fill(*six(bundle))
    with pytest.raises(UsageError, match="history must be a list of product ids or events, oldest first, got 'k1'"):
        Recommender(client, alias).recommend_many(["k1", "k2"])
    with pytest.raises(UsageError, match="histories must be a list of lists of product ids, got 'k1'"):
        Recommender(client, alias).recommend_many("k1")


def test_the_light_half_recommends_without_the_heavy_one():
    import subprocess

    code = (
        "import sys; import shelfwise.recommender; print([n for n in ('scipy','implicit','torch') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
