"""The live index after changes of a taxonomy, on the real server: categories follow, nothing else changes."""

from contextlib import suppress

import orjson
import pytest

from hand_bundle import write_hand_bundle
from hand_index import document, fill
from shelfwise import ProductSearch
from shelfwise.errors import IncompatibleIndex, ServerError
from shelfwise.live_index import live
from shelfwise_indexer import bulk, index_run
from shelfwise_indexer.bundle_migration import migrate_bundle
from shelfwise_indexer.decisions import Following
from shelfwise_indexer.index_migration import followed, migrate_index
from shelfwise_indexer.ingest import index as run
from shelfwise_indexer.relabel import relabel
from shelfwise_indexer.taxonomy_changes import Change, Changes

CUPS, KETTLES, MUGS, TENTS = ("Home", "Cups"), ("Home", "Kettles"), ("Home", "Mugs"), ("Sports", "Tents")
WORDS = {"cup": [1, 0.4, 0, 0], "kettle": [0.2, 1, 0, 0], "mug": [0.6, 0, 1, 0], "tent": [0, 0, 0, 1]}
CHANGES = Changes(
    (
        Change(1, "renamed", (("Sports",),), (("Outdoor",),)),
        Change(2, "moved", (("Outdoor", "Tents"),), (("Camping", "Tents"),)),
        Change(3, "merged", (CUPS, MUGS), (("Home", "Drinking"),)),
        Change(4, "split", (KETTLES,), (("Home", "Electric"), ("Home", "Hob"))),
    )
)


def candidates(*pairs):
    return [{"category": category, "probability": probability} for category, probability in pairs]


class TestFollowed:
    def of(self, multi_label=False, **enrichment):
        return followed(enrichment, CHANGES, multi_label)

    def test_an_accepted_category_takes_its_ancestors_along(self):
        new = self.of(category=["Sports > Tents"], ancestors=["Sports", "Sports > Tents"], status="accepted")
        assert new == {"category": ["Camping > Tents"], "ancestors": ["Camping", "Camping > Tents"]}

    def test_two_that_are_one_now_stand_once(self):
        new = self.of(category=["Home > Cups", "Home > Mugs"], ancestors=["Home", "Home > Cups", "Home > Mugs"])
        assert new == {"category": ["Home > Drinking"], "ancestors": ["Home", "Home > Drinking"]}

    def test_what_waits_for_review_is_filed_under_what_its_node_became(self):
        assert self.of(category=[], ancestors=["Sports"])["ancestors"] == ["Outdoor"]
        assert self.of(category=[], ancestors=[]) == {"category": [], "ancestors": []}

    def test_a_split_category_sends_its_products_to_review_whoever_decided_it(self):
        new = self.of(category=["Home > Kettles"], ancestors=["Home", "Home > Kettles"], status="confirmed")
        assert new == {"category": [], "ancestors": ["Home"], "status": "review"}

    def test_what_is_no_path_stays_as_it_is(self):
        new = self.of(category=["Home > ", "Sports > Tents"], ancestors=["Home", "Home > ", "Sports", "Sports > Tents"])
        assert new["category"] == ["Home > ", "Camping > Tents"]
        assert sorted(new["ancestors"]) == ["Camping", "Camping > Tents", "Home", "Home > "]

    def test_candidates_that_are_one_now_have_both_probabilities(self):
        given = candidates(
            ("Home > Kettles", 0.4), ("Home > Cups", 0.35), ("Home > Mugs", 0.2), ("Sports > Tents", 0.05)
        )
        new = self.of(category=[], ancestors=["Home"], candidates=given, confidence=0.4)
        assert new["candidates"] == candidates(("Home > Drinking", 0.55), ("Home", 0.4), ("Camping > Tents", 0.05))
        assert new["confidence"] == 0.55
        several = self.of(True, category=[], candidates=candidates(("Home > Cups", 0.5), ("Home > Mugs", 0.5)))
        assert several["candidates"] == candidates(("Home > Drinking", 0.75))


PRODUCTS = [
    {"id": "t1", "title": "tent", "category": list(TENTS), "price": 90, "color": "red"},
    {"id": "c1", "title": "cup", "category": list(CUPS), "price": 5},
    {"id": "m1", "title": "mug cup", "category": list(MUGS), "price": 6},
    {"id": "k1", "title": "kettle", "category": list(KETTLES), "price": 30},
]


@pytest.fixture
def bundle(tmp_path):
    return write_hand_bundle(tmp_path / "bundle", WORDS, [CUPS, KETTLES, MUGS, TENTS])


@pytest.fixture
def after(bundle):
    return migrate_bundle(bundle, CHANGES, bundle.path.with_name("next"))


@pytest.fixture
def index(client, alias, bundle):
    decided = {"c1": "confirmed", "m1": "corrected"}
    given = [
        document(
            bundle,
            record,
            status=decided.get(record["id"], "accepted"),
            candidates=candidates((" > ".join(record["category"]), 0.9)),
            similar=[{"id": "c1", "score": 0.5}],
            text_hash="0" * 16,
        )
        for record in PRODUCTS
    ]
    return fill(client, alias, bundle, given)


def held(client, index):
    """The documents with their vectors, by id."""
    return bulk.enrichments(client, index, [record["id"] for record in PRODUCTS])


def without(documents, *names):
    """The documents without these fields of `shelfwise`; vectors as bytes."""
    return {
        id_: one
        | {
            "shelfwise": {
                name: value.tobytes() if name == "vector" else value
                for name, value in one["shelfwise"].items()
                if name not in names
            }
        }
        for id_, one in documents.items()
    }


@pytest.mark.es
class TestLiveIndex:
    def test_categories_follow_and_nothing_else_changes(self, client, alias, bundle, after, index):
        before = held(client, index)
        done = migrate_index(client, alias, bundle, after, CHANGES)
        assert (done.index, done.updated, done.again) == (index, 4, 0)
        now = held(client, index)
        changed = ("category", "ancestors", "candidates", "confidence", "status", "bundle")
        assert without(now, *changed) == without(before, *changed)
        assert {id_: one["shelfwise"]["category"] for id_, one in now.items()} == {
            "t1": ["Camping > Tents"], "c1": ["Home > Drinking"], "m1": ["Home > Drinking"], "k1": []
        }  # fmt: skip
        assert {id_: one["shelfwise"]["status"] for id_, one in now.items()} == {
            "t1": "accepted", "c1": "confirmed", "m1": "corrected", "k1": "review"
        }  # fmt: skip
        assert {one["shelfwise"]["bundle"] for one in now.values()} == {after.version}
        assert now["t1"]["category"] == ["Sports > Tents"]  # the shop's own

    def test_a_product_with_a_category_that_is_none_is_named_and_the_others_follow(
        self, client, alias, bundle, after, index, capsys
    ):
        strange = {"status": "corrected", "category": ["Home > "], "ancestors": ["Home"]}
        client.update(index=index, id="c1", doc={"shelfwise": strange}, refresh=True)
        assert migrate_index(client, alias, bundle, after, CHANGES).updated == 4
        assert live(client, alias).meta["bundle"] == after.version
        now = held(client, index)
        assert (now["c1"]["shelfwise"]["status"], now["c1"]["shelfwise"]["category"]) == ("corrected", ["Home > "])
        assert now["m1"]["shelfwise"]["category"] == ["Home > Drinking"]
        assert f"index {index}: product c1: 'Home > ' is no category: it stays as it is" in capsys.readouterr().err

    def test_a_decision_under_dotted_names_follows(self, client, alias, bundle, after, index):
        decided = {"shelfwise.status": "corrected", "shelfwise.category": ["Sports > Tents"]}
        client.update(index=index, id="c1", doc=decided, refresh=True)
        migrate_index(client, alias, bundle, after, CHANGES)
        now = held(client, index)["c1"]
        assert now["shelfwise"]["category"] == now["shelfwise.category"] == ["Camping > Tents"]
        assert now["shelfwise.status"] == "corrected"

    def test_a_decision_on_a_product_that_only_the_shop_has_written_follows(self, client, alias, bundle, after, index):
        decided = {"status": "corrected", "category": ["Sports > Tents"], "ancestors": ["Sports", "Sports > Tents"]}
        client.index(index=index, id="new", document={"id": "new", "title": "tent", "shelfwise": decided})
        client.index(index=index, id="raw", document={"id": "raw", "title": "tent"})
        assert migrate_index(client, alias, bundle, after, CHANGES).updated == 5
        now = client.get(index=index, id="new")["_source"]["shelfwise"]
        assert now == decided | {"category": ["Camping > Tents"], "ancestors": ["Camping", "Camping > Tents"]}
        assert "shelfwise" not in client.get(index=index, id="raw")["_source"]
        assert migrate_index(client, alias, bundle, after, CHANGES).updated == 0

    def test_it_then_belongs_to_the_new_bundle_only(self, client, alias, bundle, after, index):
        meta = dict(live(client, alias).meta)
        migrate_index(client, alias, bundle, after, CHANGES)
        now = dict(live(client, alias).meta)
        assert now.pop("migrated_at") is not None
        assert now == meta | {
            "bundle": after.version,
            "taxonomy": after.taxonomy.hash,
            "migrated_from": bundle.version,
        }
        hits = ProductSearch(client, alias, after).search("mug", k=5, category="Home > Drinking")
        assert [hit.id for hit in hits] == ["m1", "c1"]
        with pytest.raises(IncompatibleIndex):
            ProductSearch(client, alias, bundle)

    def test_a_second_time_changes_nothing(self, client, alias, bundle, after, index):
        migrate_index(client, alias, bundle, after, CHANGES)
        meta = live(client, alias).meta
        assert migrate_index(client, alias, bundle, after, CHANGES).updated == 0
        assert live(client, alias).meta == meta

    def test_a_price_written_meanwhile_is_not_lost(self, client, alias, bundle, after, index, monkeypatch):
        send = bulk.update

        def while_the_shop_writes(client, index, updates):
            if updates and not prices:
                prices.append(71)
                client.update(index=index, id="t1", doc={"price": 71})
                client.delete(index=index, id="k1")
            return send(client, index, updates)

        prices = []
        monkeypatch.setattr(bulk, "update", while_the_shop_writes)
        done = migrate_index(client, alias, bundle, after, CHANGES)
        assert (done.updated, done.again) == (4, 1)  # what was deleted counts, and stays so
        now = held(client, index)
        assert sorted(now) == ["c1", "m1", "t1"]
        assert (now["t1"]["price"], now["t1"]["shelfwise"]["category"]) == (71, ["Camping > Tents"])

    def test_a_killed_run_goes_on_and_until_then_the_old_bundle_searches(
        self, client, alias, bundle, after, index, monkeypatch
    ):
        send = bulk.update
        monkeypatch.setattr("shelfwise_indexer.index_migration.PAGE", 2)

        def dies_at_the_second(client, index, updates):
            calls.append(len(updates))
            if len(calls) == 2:
                raise KeyboardInterrupt
            return send(client, index, updates)

        calls = []
        monkeypatch.setattr(bulk, "update", dies_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            migrate_index(client, alias, bundle, after, CHANGES)
        assert live(client, alias).meta["bundle"] == bundle.version
        assert ProductSearch(client, alias, bundle).search("tent", k=1)[0].id == "t1"
        other = Changes(CHANGES.changes[:1])
        another = migrate_bundle(bundle, other, bundle.path.with_name("another"))
        with pytest.raises(IncompatibleIndex, match=f"on its way to bundle {after.version}"):
            migrate_index(client, alias, bundle, another, other)
        monkeypatch.setattr(bulk, "update", send)
        assert migrate_index(client, alias, bundle, after, CHANGES).updated == 2
        assert live(client, alias).meta["bundle"] == after.version
        assert "migrating_to" not in live(client, alias).meta

    def test_an_index_of_another_bundle_is_refused_untouched(self, client, alias, bundle, after, index, tmp_path):
        stranger = write_hand_bundle(tmp_path / "stranger", {**WORDS, "pot": [0, 1, 1, 0]}, bundle.taxonomy.leaves)
        theirs = migrate_bundle(stranger, CHANGES, tmp_path / "strange-next")
        before = held(client, index)
        with pytest.raises(IncompatibleIndex, match="give --bundle the one in its _meta"):
            migrate_index(client, alias, stranger, theirs, CHANGES)
        assert without(held(client, index)) == without(before)

    def test_an_index_that_is_written_without_end_is_given_up(self, client, alias, bundle, after, index, monkeypatch):
        monkeypatch.setattr("shelfwise_indexer.index_migration.PASSES", 2)
        monkeypatch.setattr(bulk, "update", lambda client, index, updates: len(updates))
        with pytest.raises(ServerError, match="4 products were changed by others"):
            migrate_index(client, alias, bundle, after, CHANGES)

    def test_the_next_index_run_encodes_only_what_the_shop_files_elsewhere(
        self, client, alias, bundle, after, tmp_path, monkeypatch
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.chdir(tmp_path)
        records = [*PRODUCTS, {"id": "t2", "title": "tent tent"}, {"id": "m2", "title": "mug"}]
        (tmp_path / "old.jsonl").write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
        run(tmp_path / "old.jsonl", bundle, alias, client=client)
        migrate_index(client, alias, bundle, after, CHANGES)
        relabel(tmp_path / "old.jsonl", CHANGES, tmp_path / "new.jsonl")
        done = run(tmp_path / "new.jsonl", after, alias, client=client)
        assert (done.indexed, done.unchanged, done.rejected) == (4, 2, 0)
        now = bulk.enrichments(client, done.index, ["t1", "t2", "k1"])
        assert now["t1"]["category"] == now["t1"]["shelfwise"]["category"] == ["Camping > Tents"]
        assert now["t2"]["shelfwise"]["category"] == ["Camping > Tents"]
        assert (now["k1"]["shelfwise"]["status"], now["k1"]["shelfwise"]["ancestors"]) == ("review", ["Home"])

    @pytest.mark.parametrize("moment", ["delta", "check"])
    @pytest.mark.parametrize("ends", [True, False])
    def test_a_run_of_index_during_which_it_is_migrated_does_not_go_live(
        self, client, alias, bundle, after, tmp_path, monkeypatch, moment, ends
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.chdir(tmp_path)
        records = [{"id": f"t{n}", "title": "tent"} for n in range(9)]
        catalogue = tmp_path / "c.jsonl"
        catalogue.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
        before = run(catalogue, bundle, alias, client=client).index
        own, update = getattr(index_run, moment), bulk.update

        def killed(*_):
            raise KeyboardInterrupt

        def late(*given):
            answer = own(*given)
            with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
                patched.setattr(bulk, "update", update if ends else killed)
                migrate_index(client, alias, bundle, after, CHANGES)
            return answer

        monkeypatch.setattr(index_run, moment, late)
        with pytest.raises(ServerError, match=f"takes index {before} to bundle {after.version}"):
            run(catalogue, bundle, alias, client=client)
        assert live(client, alias).name == before
        assert len(client.indices.get(index=f"{alias}-*")) == (1 if moment == "delta" else 2)
        monkeypatch.setattr(index_run, moment, own)
        migrate_index(client, alias, bundle, after, CHANGES)
        assert run(catalogue, after, alias, client=client).unchanged == 9


def test_a_decision_without_a_category_stays_one_without():
    following = Following(Changes((Change(1, "renamed", (("Home", "Cups"),), (("Home", "Bowls"),)),)))
    only_status = {"title": "Cup", "shelfwise": {"status": "confirmed", "bundle": "a"}}
    assert following.document(only_status) == only_status
    whole = {"title": "Cup", "shelfwise": {"status": "confirmed", "category": ["Home > Cups"]}}
    assert following.document(whole)["shelfwise"]["category"] == ["Home > Bowls"]
