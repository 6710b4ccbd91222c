"""What a shop writes into the live index while the next one is filled: it goes live with the next one."""

import contextlib
import itertools
import threading

import pytest
from elasticsearch import ApiError
from hypothesis import given
from hypothesis import strategies as st

from hand_bundle import write_hand_bundle
from killed_run import interrupted_after
from shelfwise import Bundle
from shelfwise.errors import ServerError
from shelfwise.live_index import live
from shelfwise_indexer import bulk, index_run, ingest, meanwhile
from shelfwise_indexer.ingest import index
from shelfwise_indexer.meanwhile import three_way
from shelfwise_indexer.view import KEEP_ALIVE
from small_shop import LEAVES, WORDS, held, products, small_bundle, write

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


@given(DOCUMENTS, DOCUMENTS)
def test_what_did_not_change_changes_nothing_and_what_only_changed_here_is_as_it_is_here(before, now):
    assert three_way(before, before, now) == now
    assert three_way(before, now, before) == now
    assert three_way(before, now, now) == now


def test_each_side_keeps_what_only_it_changed_and_what_was_written_meanwhile_is_the_later():
    before = {"title": "mug", "price": 1, "sale": True, "attributes": {"size": 1, "colour": "red", "old": 1}}
    now = {"title": "mug", "price": 2, "attributes": {"size": 2, "colour": "red"}, "shelf": {"row": 4}}
    other = {"title": "cup", "price": 3, "sale": True, "attributes": {"size": 1, "colour": "blue", "old": 1}}
    assert three_way(before, now, other) == {
        "title": "cup", "price": 2, "attributes": {"size": 2, "colour": "blue"}, "shelf": {"row": 4},
    }  # fmt: skip


def test_an_object_that_takes_the_place_of_something_else_takes_it_whole():
    assert three_way({"a": 1}, {"a": {"b": 2}}, {"a": 3}) == {"a": {"b": 2}}
    assert three_way({"a": 1}, {"a": {"b": 2}}, {"a": {"c": 3}}) == {"a": {"b": 2, "c": 3}}


@pytest.fixture
def bundle(tmp_path):
    return small_bundle(tmp_path / "bundle")


def interrupted(*_, **__):
    raise KeyboardInterrupt


def open_views(client) -> int:
    nodes = client.nodes.stats(metric="indices", index_metric="search")["nodes"].values()
    return sum(node["indices"]["search"]["open_contexts"] for node in nodes)


def before_going_live(monkeypatch, write_something) -> None:
    """Something is written when all is sent and checked, the alias not yet moved."""
    own = index_run.check

    def late(*given):
        own(*given)
        write_something()

    monkeypatch.setattr(index_run, "check", late)


@pytest.mark.es
@pytest.mark.usefixtures("own_folders")
class TestWhileARunIsOn:
    @pytest.fixture(params=["clone", "new index", "other bundle"])
    def following(self, request, bundle, tmp_path) -> tuple[Bundle, list[dict[str, object]]]:
        """A bundle and records that make the next run clone the live index, or fill a new one."""
        records = products()
        records[0] |= {"title": "mug of steel", "price": 5}
        if request.param == "new index":
            records = [record | {"popularity": 9} for record in records]
        if request.param == "other bundle":
            bundle = write_hand_bundle(tmp_path / "other", WORDS, LEAVES, threshold=0.2)
        return bundle, records

    def test_what_a_shop_writes_goes_live_beside_what_the_catalogue_changed(
        self, client, alias, bundle, tmp_path, monkeypatch, capsys, following
    ):
        catalogue = write(tmp_path / "c.jsonl", products())
        before = index(catalogue, bundle, alias, client=client).index
        views = open_views(client)

        def write_something():
            for id_ in ("p000", "p001"):
                client.update(index=before, id=id_, doc={"price": 77.5, "attributes": {"shelf": "B4"}})
            client.update(index=before, id="p002", script="ctx._source.remove('price')")
            client.index(index=before, id="p003", document={"id": "p003", "title": "written whole", "price": 3})

        before_going_live(monkeypatch, write_something)
        following_bundle, records = following
        done = index(write(catalogue, records), following_bundle, alias, client=client)
        after = held(client, alias)
        assert done.index != before
        assert (done.read, done.indexed + done.unchanged, done.rejected) == (40, 40, 0)
        assert "4 products that were written into" in capsys.readouterr().err
        assert (after["p000"]["title"], after["p000"]["price"]) == ("mug of steel", 77.5)
        assert after["p001"]["price"] == 77.5
        assert after["p000"]["attributes"]["shelf"] == after["p001"]["attributes"]["shelf"] == "B4"
        assert "price" not in after["p002"]
        assert (after["p003"]["title"], after["p003"]["price"]) == ("written whole", 3)
        assert all(len(document["shelfwise"]["vector"]) == bundle.dimension for document in after.values())
        assert {document["shelfwise"]["bundle"] for document in after.values()} == {following_bundle.version}
        assert open_views(client) == views
        # It was written before the next run: that one's catalogue is newer.
        monkeypatch.undo()
        index(catalogue, following_bundle, alias, client=client)
        assert held(client, alias)["p001"]["price"] == 1

    def test_a_product_that_comes_meanwhile_stays(self, client, alias, bundle, tmp_path, monkeypatch, following):
        catalogue = write(tmp_path / "c.jsonl", products())
        before = index(catalogue, bundle, alias, client=client).index
        enriched = held(client, alias)["p001"] | {"id": "enriched"}

        def write_something():
            client.index(index=before, id="plain", document={"id": "plain", "title": "steel jug"})
            client.index(index=before, id="enriched", document=enriched)

        before_going_live(monkeypatch, write_something)
        following_bundle, records = following
        index(write(catalogue, records), following_bundle, alias, client=client)
        plain, came = (client.get(index=alias, id=id_)["_source"] for id_ in ("plain", "enriched"))
        assert plain == {"id": "plain", "title": "steel jug"}
        found = client.search(index=alias, query={"exists": {"field": "shelfwise.vector"}}, size=0)
        if following_bundle is bundle:
            assert came["shelfwise"]["text_hash"] == enriched["shelfwise"]["text_hash"]
            assert found["hits"]["total"]["value"] == 41
        else:  # vectors of two models never meet
            assert "shelfwise" not in came
            assert found["hits"]["total"]["value"] == 40

    def test_a_product_that_comes_before_there_is_a_view_to_compare_with_stays(
        self, client, alias, bundle, tmp_path, monkeypatch, following
    ):
        catalogue, own = write(tmp_path / "c.jsonl", products()), ingest.watched
        before = index(catalogue, bundle, alias, client=client).index

        def late(*given):
            client.index(index=before, id="new", document={"id": "new", "title": "steel jug"}, refresh=True)
            return own(*given)

        monkeypatch.setattr(ingest, "watched", late)
        following_bundle, records = following
        done = index(write(catalogue, records), following_bundle, alias, client=client)
        assert client.get(index=alias, id="new")["_source"] == {"id": "new", "title": "steel jug"}
        assert (done.gone, client.count(index=alias)["count"]) == (0, 41)

    def test_what_the_catalogue_lacks_does_not_come_back(self, client, alias, bundle, tmp_path, monkeypatch):
        catalogue = write(tmp_path / "c.jsonl", products())
        before = index(catalogue, bundle, alias, client=client).index
        before_going_live(monkeypatch, lambda: client.update(index=before, id="p000", doc={"price": 3}))
        index(write(catalogue, products()[1:]), bundle, alias, client=client)
        assert "p000" not in held(client, alias)

    def test_what_is_written_in_the_moment_of_the_swap_is_not_lost(
        self, client, alias, bundle, tmp_path, monkeypatch, capsys
    ):
        catalogue, own = write(tmp_path / "c.jsonl", products()), index_run.swap
        before = index(catalogue, bundle, alias, client=client).index
        decided = {"status": "confirmed", "category": ["Home > Mugs"], "ancestors": ["Home", "Home > Mugs"]}

        def swap(*given, **named):
            client.update(index=before, id="p001", doc={"price": 3})
            own(*given, **named)
            client.update(index=before, id="p002", doc={"price": 4})  # by who knew the old index by its name
            client.update(index=before, id="p004", doc={"shelfwise": decided})
            client.update(index=before, id="p003", doc={"price": 5, "in_stock": False})
            client.update(index=alias, id="p003", doc={"price": 6})  # later
            client.index(index=before, id="new", document={"id": "new", "title": "jug", "price": 7, "brand": "Tarn"})
            client.index(index=alias, id="new", document={"id": "new", "title": "jug", "price": 8})

        monkeypatch.setattr(index_run, "swap", swap)
        index(catalogue, bundle, alias, client=client)
        after = {id_: client.get(index=alias, id=id_)["_source"] for id_ in ("p001", "p002", "p003", "p004", "new")}
        assert [after[id_]["price"] for id_ in ("p001", "p002", "p003", "new")] == [3, 4, 6, 8]
        assert (after["p003"]["in_stock"], after["new"]["brand"]) == (False, "Tarn")
        assert after["p004"]["shelfwise"].items() >= decided.items()
        assert "5 products that were written in the moment of the swap" in capsys.readouterr().err

    def test_what_was_on_its_way_to_the_old_index_when_the_alias_moved_is_waited_for(
        self, client, alias, bundle, tmp_path, monkeypatch
    ):
        catalogue, swap, block = write(tmp_path / "c.jsonl", products()), index_run.swap, type(client.indices).add_block
        before, swapped = index(catalogue, bundle, alias, client=client).index, []

        def add_block(self, **given):  # the server answers once it has done what it was asked before
            if swapped:
                client.update(index=before, id="p001", doc={"price": 3})
            return block(self, **given)

        monkeypatch.setattr(index_run, "swap", lambda *given, **named: swapped.append(swap(*given, **named)))
        monkeypatch.setattr(type(client.indices), "add_block", add_block)
        index(catalogue, bundle, alias, client=client)
        assert held(client, alias)["p001"]["price"] == 3

    def test_no_price_that_the_server_took_while_a_run_was_on_is_lost(
        self, client, alias, bundle, tmp_path, monkeypatch, following
    ):
        catalogue, own = write(tmp_path / "c.jsonl", products()), index_run.encode
        index(catalogue, bundle, alias, client=client)
        taken, over = {}, threading.Event()

        def write_prices():
            for price in itertools.takewhile(lambda _: not over.is_set(), itertools.count(1000)):
                id_ = f"p{price * 7 % 40:03}"
                with contextlib.suppress(ApiError):  # told so: in the second of a clone, or another wrote it just now
                    client.update(index=alias, id=id_, doc={"price": price})
                    taken[id_] = price

        writing = threading.Thread(target=write_prices)

        def encode(*given):
            writing.start()
            return own(*given)

        monkeypatch.setattr(index_run, "encode", encode)
        following_bundle, records = following
        before = live(client, alias).name
        try:
            done = index(write(catalogue, records), following_bundle, alias, client=client)
        finally:
            over.set()
            writing.join()
        after = held(client, alias)
        assert done.index == live(client, alias).name != before
        assert len(taken) > 20
        assert {id_: after[id_]["price"] for id_ in taken} == taken

    def test_what_is_written_while_that_is_carried_is_caught_up_with(
        self, client, alias, bundle, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(bulk, "PAGE", 2)
        catalogue, carry, passes = write(tmp_path / "c.jsonl", products()), meanwhile.Meanwhile.carry, []
        before = index(catalogue, bundle, alias, client=client).index

        def write_prices(count):
            for number in range(count):
                client.update(index=before, id=f"p{number:03}", doc={"price": 100 * count + number})

        def busy(self, *given):
            passes.append(carry(self, *given))
            write_prices(4 - len(passes))
            return passes[-1]

        monkeypatch.setattr(meanwhile.Meanwhile, "carry", busy)
        before_going_live(monkeypatch, lambda: write_prices(4))
        index(catalogue, bundle, alias, client=client)
        assert passes == [4, 3, 2, 1, 0]  # the last of them after the swap
        assert [held(client, alias)[f"p{n:03}"]["price"] for n in range(4)] == [100, 201, 302, 403]

    def test_what_the_server_refuses_in_the_new_index_is_said(
        self, client, alias, bundle, tmp_path, monkeypatch, capsys
    ):
        catalogue = write(tmp_path / "c.jsonl", products())
        before = index(catalogue, bundle, alias, client=client).index
        client.indices.put_mapping(index=before, properties={"aisle": {"type": "keyword"}})
        before_going_live(monkeypatch, lambda: client.update(index=before, id="p001", doc={"aisle": "B"}))
        other = write_hand_bundle(tmp_path / "other", WORDS, LEAVES, threshold=0.2)
        index(catalogue, other, alias, client=client)
        assert "product p001: what was written into" in capsys.readouterr().err
        assert held(client, alias)["p001"]["price"] == 1

    @pytest.mark.parametrize("needed", [True, False])
    def test_a_view_that_the_server_lost_stops_the_run_only_where_it_is_needed(
        self, client, alias, bundle, tmp_path, monkeypatch, needed
    ):
        catalogue, look, check = write(tmp_path / "c.jsonl", products()), meanwhile.View.__init__, index_run.check
        before, views = index(catalogue, bundle, alias, client=client).index, []

        def noted(self, *given):
            look(self, *given)
            views.append(self)

        def write_something():  # a node that is started again knows no views any more
            views[0].close()
            if needed:
                client.update(index=before, id="p001", doc={"price": 3})

        monkeypatch.setattr(meanwhile.View, "__init__", noted)
        before_going_live(monkeypatch, write_something)
        if not needed:
            assert index(catalogue, bundle, alias, client=client).index == live(client, alias).name != before
            return
        with pytest.raises(ServerError, match="as it was \\(run the same command again\\)"):
            index(catalogue, bundle, alias, client=client)
        assert live(client, alias).name == before
        monkeypatch.setattr(index_run, "check", check)
        index(catalogue, bundle, alias, client=client)
        assert held(client, alias)["p001"]["price"] == 3  # in the clone that was made then

    def test_what_was_written_while_a_run_lay_interrupted_is_named(
        self, client, alias, bundle, tmp_path, monkeypatch, capsys
    ):
        catalogue, own = write(tmp_path / "c.jsonl", products()), index_run.check
        before = index(catalogue, bundle, alias, client=client).index
        other = write_hand_bundle(tmp_path / "other", WORDS, LEAVES, threshold=0.2)
        monkeypatch.setattr(index_run, "check", interrupted)
        with pytest.raises(KeyboardInterrupt):
            index(catalogue, other, alias, client=client)
        client.update(index=before, id="p001", doc={"price": 3})
        monkeypatch.setattr(index_run, "check", own)
        before_going_live(monkeypatch, lambda: client.update(index=before, id="p002", doc={"price": 4}))
        index(catalogue, other, alias, client=client)
        said = capsys.readouterr().err
        assert "1 products were written into" in said
        assert "\np001\n" in said
        assert (held(client, alias)["p001"]["price"], held(client, alias)["p002"]["price"]) == (1, 4)

    @pytest.mark.parametrize("killed", ["as it was carried", "at the swap"])
    def test_a_run_that_was_killed_when_it_had_carried_something_goes_on(
        self, client, alias, bundle, tmp_path, monkeypatch, killed
    ):
        catalogue, other = (
            write(tmp_path / "c.jsonl", products()),
            write_hand_bundle(tmp_path / "o", WORDS, LEAVES, 0.2),
        )
        before = index(catalogue, bundle, alias, client=client).index

        def write_something():
            client.index(index=before, id="new", document={"id": "new", "title": "steel jug", "price": 5})
            client.update(index=before, id="p001", doc={"price": 77})
            if killed == "as it was carried":
                patched.setattr(bulk, "send", interrupted_after(bulk.send))

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            before_going_live(patched, write_something)
            patched.setattr(index_run, "swap", interrupted)
            index(catalogue, other, alias, client=client)
        client.update(index=before, id="new", doc={"price": 6})
        done = index(catalogue, other, alias, client=client)
        assert (done.read, done.indexed, done.rejected) == (40, 40, 0)
        assert [client.get(index=alias, id=id_)["_source"]["price"] for id_ in ("new", "p001")] == [6, 77]
        assert client.count(index=alias)["count"] == 41
        index(catalogue, other, alias, client=client)  # whose catalogue is newer
        assert (len(held(client, alias)), held(client, alias)["p001"]["price"]) == (40, 1)

    @pytest.mark.parametrize("following", ["new index", "clone"], indirect=True)
    def test_a_product_that_came_while_a_run_lay_interrupted_stays_and_where_nobody_can_tell_it_is_named(
        self, client, alias, bundle, tmp_path, monkeypatch, capsys, following
    ):
        catalogue = write(tmp_path / "c.jsonl", [*products(), {"id": "gone", "title": "mug"}])
        before = index(catalogue, bundle, alias, client=client).index
        following_bundle, records = following
        write(catalogue, records)
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(index_run, "check", interrupted)
            index(catalogue, following_bundle, alias, client=client)
        client.index(index=before, id="new", document={"id": "new", "title": "steel jug"})
        client.update(index=before, id="gone", doc={"price": 3})  # may have come just now and been written twice
        done = index(catalogue, following_bundle, alias, client=client)
        assert (done.read, done.indexed + done.unchanged, done.rejected, done.gone) == (40, 40, 0, 1)
        assert client.get(index=alias, id="new")["_source"] == {"id": "new", "title": "steel jug"}
        said = capsys.readouterr().err
        assert "1 products that were written into the live index meanwhile keep that" in said
        assert f"1 products were written into {before} before this run went on, and are not in {done.index}" in said
        assert "\ngone\n" in said
        assert not client.exists(index=alias, id="gone")

    def test_where_the_numbers_have_begun_anew_everything_is_compared(
        self, client, alias, bundle, tmp_path, monkeypatch
    ):
        catalogue, own = write(tmp_path / "c.jsonl", products()), meanwhile.position
        before = index(catalogue, bundle, alias, client=client).index

        def of_a_restored_copy(server, name):
            found = own(server, name)
            found["shards"] = {number: ["another history", last] for number, (_, last) in found["shards"].items()}
            return found

        def write_something():
            client.update(index=before, id="p001", doc={"price": 3})
            monkeypatch.setattr(meanwhile, "position", of_a_restored_copy)

        before_going_live(monkeypatch, write_something)
        index(catalogue, bundle, alias, client=client)
        assert held(client, alias)["p001"]["price"] == 3

    def test_the_view_is_renewed_as_long_as_the_run_takes(self, client, alias, bundle, tmp_path, monkeypatch):
        own, renewed = type(client).search, []
        monkeypatch.setattr(meanwhile, "RENEWED_EVERY", 0.001)

        def search(self, **body):
            if "pit" in body and body["size"] == 0:
                renewed.append(body["pit"]["keep_alive"])
            return own(self, **body)

        monkeypatch.setattr(type(client), "search", search)
        catalogue = write(tmp_path / "c.jsonl", products())
        index(catalogue, bundle, alias, client=client)
        assert not renewed
        index(catalogue, bundle, alias, client=client)
        assert set(renewed) == {KEEP_ALIVE}

    def test_a_server_that_does_not_say_how_far_it_is_written_is_filled_all_the_same(
        self, client, alias, bundle, tmp_path, monkeypatch, capsys
    ):
        catalogue = write(tmp_path / "c.jsonl", products())
        index(catalogue, bundle, alias, client=client)
        for module in (ingest, index_run):
            monkeypatch.setattr(module, "position", lambda *_: None)
        assert "is not carried over" not in capsys.readouterr().err
        assert index(catalogue, bundle, alias, client=client).rejected == 0
        assert "is not carried over: the server does not say" in capsys.readouterr().err
