"""A run after which most stays as it was: the live index is cloned, and only what changed is written."""

import signal
import subprocess
import sys
import time
from datetime import datetime

import orjson
import pytest
from elasticsearch import ApiError, ConnectionTimeout
from elasticsearch.helpers import ScanError

from killed_run import index_and_kill, interrupted_after
from shelfwise import SimilarProducts, clone
from shelfwise.clone import NotCloned, clone_index
from shelfwise.errors import ServerError
from shelfwise.index import rollback, status
from shelfwise.live_index import live, rewrite_meta
from shelfwise.mapping import template
from shelfwise.write_block import blocks
from shelfwise_indexer import bulk, index_migration, index_run, sending
from shelfwise_indexer.decisions import carry_decisions
from shelfwise_indexer.indexed import read_index
from shelfwise_indexer.ingest import index
from shelfwise_indexer.spool import Spool
from small_shop import held, products, small_bundle, write

pytestmark = [pytest.mark.es, pytest.mark.usefixtures("own_folders")]


@pytest.fixture
def bundle(tmp_path):
    return small_bundle(tmp_path / "bundle")


def changed(before: list[dict[str, object]]) -> list[dict[str, object]]:
    """One with another text, price, stock, without a price, with fewer attributes; one gone and one new."""
    after = [dict(product) for product in before if product["id"] != "p030"]
    after[0]["title"] = "mug of steel"
    after[1]["price"] = 99.5
    after[2]["in_stock"] = False
    del after[3]["price"]
    del after[4]["size"]
    return [*after, {"id": "new", "title": "glass mug"}]


ENCODED = ("p000", "new")  # of these


def too_deep() -> dict[str, object]:
    """Attributes that the server refuses."""
    deep: dict[str, object] = {"a": 1}
    for _ in range(30):
        deep = {"a": deep}
    return deep


def test_a_delta_leaves_the_index_that_filling_a_new_one_would(client, alias, bundle, tmp_path):
    catalogue = write(tmp_path / "c.jsonl", products())
    index(catalogue, bundle, alias, client=client)
    before = live(client, alias)
    done = index(write(catalogue, changed(products())), bundle, alias, client=client)
    assert (done.read, done.indexed, done.unchanged, done.rejected, done.written) == (40, 2, 38, 0, 6)
    assert live(client, alias).meta["cloned_from"] == before.name
    index(catalogue, bundle, f"{alias}-whole", client=client)
    assert held(client, alias, ENCODED) == held(client, f"{alias}-whole", ENCODED)


@pytest.mark.parametrize(("together", "most"), [(1, 6), (3, 2), (1024, 1)])
def test_changes_of_several_segments_are_sent_together(client, alias, bundle, tmp_path, monkeypatch, together, most):
    monkeypatch.setattr(index_run, "SEGMENT", 4)
    catalogue = write(tmp_path / "c.jsonl", products())
    index(catalogue, bundle, alias, client=client)
    monkeypatch.setattr(sending, "TOGETHER", together)
    own, sizes = bulk.rewrite, []

    def counted(client, index, documents):
        sizes.append(len(documents))
        return own(client, index, documents)

    monkeypatch.setattr(bulk, "rewrite", counted)
    after = changed(products())
    after[21]["title"], after[22]["price"] = "steel kettle 9", 12.5
    done = index(write(catalogue, after), bundle, alias, client=client)
    assert done.written == 8
    assert sum(sizes) == 5
    assert len([size for size in sizes if size]) <= most
    index(catalogue, bundle, f"{alias}-whole", client=client)
    encoded = (*ENCODED, "p021")
    assert held(client, alias, encoded) == held(client, f"{alias}-whole", encoded)


def test_without_the_vectors_of_the_run_before_it_reads_them_from_the_index(client, alias, bundle, tmp_path):
    catalogue = write(tmp_path / "c.jsonl", products())
    index(catalogue, bundle, alias, client=client)
    [kept] = (tmp_path / "cache" / "shelfwise" / "vectors").iterdir()
    (kept / "vectors.f32").write_bytes(b"not so many")
    done = index(write(catalogue, changed(products())), bundle, alias, client=client)
    assert (done.unchanged, done.written) == (38, 6)
    index(catalogue, bundle, f"{alias}-whole", client=client)
    assert held(client, alias, ENCODED) == held(client, f"{alias}-whole", ENCODED)


def test_what_did_not_change_is_not_sent_and_what_only_costs_another_price_not_encoded(
    client, alias, bundle, tmp_path, monkeypatch
):
    catalogue = write(tmp_path / "c.jsonl", products())
    index(catalogue, bundle, alias, client=client)
    encoded, sent = [], []
    own_encode, own_send = type(bundle.encoder).encode_documents, bulk.refusals
    monkeypatch.setattr(
        type(bundle.encoder), "encode_documents", lambda self, texts: encoded.extend(texts) or own_encode(self, texts)
    )
    monkeypatch.setattr(
        bulk, "refusals", lambda client, doing, actions: own_send(client, doing, (sent.append(a) or a for a in actions))
    )
    index(write(catalogue, changed(products())), bundle, alias, client=client)
    assert encoded == ["mug of steel", "glass mug"]
    assert sorted((action.get("_op_type", "index"), action["_id"]) for action in sent) == [
        ("delete", "p030"),
        ("index", "new"),
        ("index", "p000"),
        *(("update", f"p{n:03}") for n in range(1, 5)),
    ]
    assert not any("vector" in orjson.dumps(a["script"]["params"]).decode() for a in sent if "script" in a)


def test_a_catalogue_that_has_not_changed_is_a_clone_that_nothing_was_sent_to(client, alias, bundle, tmp_path):
    catalogue = write(tmp_path / "c.jsonl", products())
    first = index(catalogue, bundle, alias, client=client)
    before = held(client, alias)
    again = index(catalogue, bundle, alias, client=client)
    assert (again.unchanged, again.written) == (40, 0)
    assert held(client, alias) == before
    assert rollback(client, alias) == first.index


def test_what_somebody_wrote_into_the_live_index_is_put_right(client, alias, bundle, tmp_path):
    catalogue = write(tmp_path / "c.jsonl", products())
    index(catalogue, bundle, alias, client=client)
    before = held(client, alias)
    client.update(index=live(client, alias).name, id="p001", doc={"price": 1234, "brand": "Tarn"}, refresh=True)
    assert index(catalogue, bundle, alias, client=client).written == 1
    assert held(client, alias) == before


def test_a_field_that_the_shop_added_to_the_mapping_and_wrote_itself_stays(
    client, alias, bundle, tmp_path, monkeypatch
):
    def with_shelf(name):
        body = template(name)
        body["mappings"]["properties"]["shelf"] = {"type": "keyword"}
        return body

    with monkeypatch.context() as patched:
        patched.setattr("shelfwise.mapping.template", with_shelf)
        catalogue = write(tmp_path / "c.jsonl", products())
        name = index(catalogue, bundle, alias, client=client).index
        for id_ in ("p000", "p001", "p010"):  # of which one gets another text and one another price
            client.update(index=name, id=id_, doc={"shelf": id_})
        assert index(catalogue, bundle, alias, client=client).written == 0
        for records in (changed(products()), [record | {"price": 7} for record in products()]):
            index(write(catalogue, records), bundle, alias, client=client)
            shelves = {id_: document["shelf"] for id_, document in held(client, alias).items() if "shelf" in document}
            assert shelves == {"p000": "p000", "p001": "p001", "p010": "p010"}
    assert index(catalogue, bundle, alias, client=client).rejected == 0
    assert not any("shelf" in document for document in held(client, alias).values())


def test_where_much_has_changed_a_new_index_is_filled(client, alias, bundle, tmp_path):
    catalogue = write(tmp_path / "c.jsonl", products())
    index(catalogue, bundle, alias, client=client)
    dearer = [product | {"price": 1000} for product in products()]
    assert index(write(catalogue, dearer), bundle, alias, client=client).written == 40
    assert "cloned_from" not in live(client, alias).meta


def test_a_product_without_a_vector_that_the_shop_wrote_itself_does_not_have_all_written_anew(
    client, alias, bundle, tmp_path
):
    catalogue = write(tmp_path / "c.jsonl", products())
    before = index(catalogue, bundle, alias, client=client).index
    for id_ in ("gone", "new", "p001"):
        client.index(index=before, id=id_, document={"id": id_, "title": "steel jug"})
    records = [*products(), {"id": "new", "title": "steel mug"}]
    done = index(write(catalogue, records), bundle, alias, client=client)
    assert (done.indexed, done.unchanged, done.written) == (2, 39, 2)
    assert live(client, alias).meta["cloned_from"] == before
    index(catalogue, bundle, f"{alias}-whole", client=client)
    encoded = ("p001", "new")
    assert held(client, alias, encoded) == held(client, f"{alias}-whole", encoded)


def lose_a_vector(client, alias):
    document = client.get(index=alias, id="p001", source_excludes=["shelfwise.vector"])["_source"]
    client.index(index=alias, id="p001", document=document, refresh=True)


def another_mapping(client, alias):
    rewrite_meta(client, live(client, alias).name, {"mapping": "x"})


WHY_ANEW = {
    "another mapping": (another_mapping, products(), "it has the mapping of another version of shelfwise"),
    "a vector is lost": (lose_a_vector, products(), "1 of its products have lost their vectors"),
    "dearer": (None, [product | {"price": 1000} for product in products()], "40 of 40 products changed, more than 25%"),
    "less": (None, products()[:20], "20 of its 40 products are gone, more than 25%"),
    "other texts": (
        None,
        [product | ({"title": "mug of steel"} if n < 9 else {}) for n, product in enumerate(products())],
        "9 of 40 products were encoded since the neighbours of all were computed, more than 20%",
    ),
}


@pytest.mark.parametrize("why", WHY_ANEW)
def test_why_all_is_written_anew_is_said(client, alias, bundle, tmp_path, capsys, why):
    catalogue = write(tmp_path / "c.jsonl", products())
    before = index(catalogue, bundle, alias, client=client).index
    assert "a new index is filled" not in capsys.readouterr().err
    harm, records, reason = WHY_ANEW[why]
    if harm:
        harm(client, alias)
    done = index(write(catalogue, records), bundle, alias, client=client)
    assert f"a new index is filled, instead of a clone of {before}: {reason}\n" in capsys.readouterr().err
    assert done.written == len(records)
    assert all("vector" in document["shelfwise"] for document in held(client, alias).values())


def test_once_a_fifth_was_encoded_since_all_neighbours_were_computed_they_are_computed_again(
    client, alias, bundle, tmp_path
):
    catalogue = write(tmp_path / "c.jsonl", products())
    index(catalogue, bundle, alias, client=client)
    cloned, records = [], products()
    for n in range(4):
        for record in records[3 * n : 3 * n + 3]:
            record["title"] = f"glass mug {n}"
        index(write(catalogue, records), bundle, alias, client=client)
        cloned.append("cloned_from" in live(client, alias).meta)
    assert cloned == [True, True, False, True]


def test_rollback_after_a_delta_brings_back_the_documents_before(client, alias, bundle, tmp_path):
    catalogue = write(tmp_path / "c.jsonl", products())
    index(catalogue, bundle, alias, client=client)
    before = held(client, alias)
    index(write(catalogue, changed(products())), bundle, alias, client=client)
    rollback(client, alias)
    assert held(client, alias) == before


def test_similar_products_know_at_once_what_has_changed(client, alias, bundle, tmp_path):
    records = [{"id": f"k{n}", "title": f"steel steel steel kettle {n}"} for n in range(10)]
    records += [{"id": f"m{n}", "title": f"mug mug mug mug {n}"} for n in range(30)]
    catalogue = write(tmp_path / "c.jsonl", records)
    index(catalogue, bundle, alias, client=client)
    assert "k1" in {hit.id for hit in SimilarProducts(client, alias).similar("k0", 9)}
    records[1]["title"] = "mug"  # leaves the kettles
    records[39]["title"] = "steel kettle"  # joins them
    index(write(catalogue, records), bundle, alias, client=client)
    assert "cloned_from" in live(client, alias).meta
    found = {hit.id for hit in SimilarProducts(client, alias).similar("k0", 9)}
    assert found == {"k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9", "m29"}
    [hit] = SimilarProducts(client, alias).similar("m29", 1)
    assert hit.id.startswith("k")


def test_a_change_that_the_server_refuses_is_a_dead_letter_and_the_product_is_not_there(
    client, alias, bundle, tmp_path
):
    catalogue = write(tmp_path / "c.jsonl", products())
    index(catalogue, bundle, alias, client=client)
    records = products()
    records[5]["attributes"] = too_deep()
    done = index(write(catalogue, records), bundle, alias, client=client)
    assert (done.read, done.indexed, done.unchanged, done.rejected) == (40, 0, 39, 1)
    assert "p005" not in held(client, alias)
    [letter] = map(orjson.loads, done.dead_letters.read_bytes().splitlines())
    assert (letter["line"], letter["id"]) == (6, "p005")


def test_a_product_that_was_deleted_while_the_run_was_on_is_written_whole(client, alias, bundle, tmp_path, monkeypatch):
    catalogue = write(tmp_path / "c.jsonl", products())
    index(catalogue, bundle, alias, client=client)

    def late(client, original, *rest):
        client.delete(index=original.name, id="p001")
        return clone_index(client, original, *rest)

    monkeypatch.setattr(index_run, "clone_index", late)
    done = index(write(catalogue, changed(products())), bundle, alias, client=client)
    assert (done.unchanged, done.rejected) == (38, 0)
    assert held(client, alias)["p001"]["price"] == 99.5
    assert len(held(client, alias)["p001"]["shelfwise"]["vector"]) == bundle.dimension


@pytest.mark.parametrize("records", [products(), changed(products())], ids=["nothing-changed", "some-changed"])
def test_a_product_that_was_read_as_unchanged_and_then_deleted_is_written_whole(
    client, alias, bundle, tmp_path, monkeypatch, records
):
    monkeypatch.setattr(index_run, "SEGMENT", 8)
    catalogue = write(tmp_path / "c.jsonl", products())
    index(catalogue, bundle, alias, client=client)
    deleted = ("p008", "p029")  # one of them as far down its segment as one that was encoded

    def late(client, original, *rest):
        for id_ in deleted:
            client.delete(index=original.name, id=id_)
        return clone_index(client, original, *rest)

    monkeypatch.setattr(index_run, "clone_index", late)
    done = index(write(catalogue, records), bundle, alias, client=client)
    assert done.rejected == 0
    index(catalogue, bundle, f"{alias}-whole", client=client)
    encoded = ENCODED if records == changed(products()) else ()
    assert held(client, alias, encoded) == held(client, f"{alias}-whole", encoded)
    assert [held(client, alias)[id_]["shelfwise"]["similar"] for id_ in deleted] == [[], []]


@pytest.mark.parametrize("kind", ["catalogue", "dead letters", "dead letters that are refused"])
def test_a_product_that_comes_just_before_the_clone_is_made_goes_live_with_it(
    client, alias, bundle, tmp_path, monkeypatch, kind
):
    catalogue = write(tmp_path / "c.jsonl", [*products(), {"id": "x", "title": "mug", "price": "abc"}])
    letters = index(catalogue, bundle, alias, client=client).dead_letters

    def late(client, original, *rest):
        for id_ in ("came", "new"):
            client.index(index=original.name, id=id_, document={"id": id_, "title": "steel jug"})
        return clone_index(client, original, *rest)

    monkeypatch.setattr(index_run, "clone_index", late)
    if kind == "catalogue":
        done = index(write(catalogue, changed(products())), bundle, alias, client=client)
        assert (done.read, done.indexed, done.rejected, done.gone) == (40, 2, 0, 1)
        expected = {product["id"] for product in changed(products())} | {"came"}
    else:
        mended = orjson.loads(letters.read_bytes())
        mended["record"]["price"] = 3
        refused = {**mended, "record": {"id": "new", "title": "mug", "attributes": too_deep()}}
        write(letters, [mended, refused] if kind.endswith("refused") else [mended])
        done = index(letters, bundle, alias, client=client)
        assert (done.indexed, done.rejected, done.gone) == (1, int(kind.endswith("refused")), 0)
        expected = {product["id"] for product in products()} | {"x", "came", "new"}
    client.indices.refresh(index=alias)
    assert set(bulk.ids(client, live(client, alias).name)) == expected
    assert client.get(index=alias, id="came")["_source"] == {"id": "came", "title": "steel jug"}


def test_the_live_index_takes_writes_again_after_a_clone_and_after_a_clone_that_was_killed(
    client, alias, bundle, tmp_path
):
    catalogue = write(tmp_path / "c.jsonl", products())
    name = index(catalogue, bundle, alias, client=client).index
    index(write(catalogue, changed(products())), bundle, alias, client=client)
    client.update(index=name, id="p001", doc={"price": 3})
    now = live(client, alias).name
    rewrite_meta(client, now, {"cloning": True})  # as a kill leaves it
    client.indices.add_block(index=now, block="write")
    with pytest.raises(ApiError, match="blocked"):
        client.update(index=now, id="p001", doc={"price": 3})
    index(catalogue, bundle, alias, client=client)
    client.update(index=now, id="p001", doc={"price": 3})
    assert "cloning" not in live(client, alias).meta


def test_an_index_that_a_kill_left_blocked_after_the_swap_takes_writes_once_it_is_rolled_back_to(
    client, alias, bundle, tmp_path
):
    catalogue = write(tmp_path / "c.jsonl", products())
    name = index(catalogue, bundle, alias, client=client).index
    index(write(catalogue, changed(products())), bundle, alias, client=client)
    rewrite_meta(client, name, {"cloning": True})  # as a kill leaves it
    client.indices.add_block(index=name, block="write")
    assert rollback(client, alias) == name
    client.update(index=alias, id="p001", doc={"price": 3})
    assert "cloning" not in live(client, alias).meta


@pytest.mark.parametrize("error", [ConnectionTimeout("timed out"), KeyboardInterrupt()])
def test_a_block_that_was_interrupted_does_not_stay(client, alias, bundle, tmp_path, monkeypatch, error):
    name = index(write(tmp_path / "c.jsonl", products()), bundle, alias, client=client).index
    own = client.indices.add_block

    def interrupted(**given):
        own(**given)
        raise error

    monkeypatch.setattr(client.indices, "add_block", interrupted)
    with pytest.raises((ServerError, KeyboardInterrupt)):
        clone_index(client, live(client, alias), alias, bundle, "catalogue")
    client.update(index=name, id="p001", doc={"price": 3})
    assert list(client.indices.get(index=f"{alias}-*")) == [name]


def nobody_takes_clones(monkeypatch):
    monkeypatch.setattr(clone, "FILLING", clone.FILLING | {"routing.allocation.require._name": "nobody"})
    monkeypatch.setattr(clone, "CLONE_TIMEOUT", 0.5)


def test_where_the_server_starts_no_clone_a_new_index_is_filled(client, alias, bundle, tmp_path, monkeypatch, capsys):
    catalogue = write(tmp_path / "c.jsonl", products())
    before = index(catalogue, bundle, alias, client=client).index
    nobody_takes_clones(monkeypatch)
    done = index(write(catalogue, changed(products())), bundle, alias, client=client)
    assert (done.read, done.indexed, done.unchanged, done.written) == (40, 2, 38, 40)
    assert "did not start within 0.5 seconds and was deleted" in capsys.readouterr().err
    assert sorted(client.indices.get(index=f"{alias}-*")) == sorted([before, done.index])
    client.update(index=before, id="p001", doc={"price": 3})
    index(catalogue, bundle, f"{alias}-whole", client=client)
    assert held(client, alias) == held(client, f"{alias}-whole")


NOWHERE_TO_START = """
from shelfwise import clone, start
clone.FILLING = clone.FILLING | {"routing.allocation.require._name": "nobody"}
clone.CLONE_TIMEOUT = 60.0
start.main()
"""


def test_a_scheduler_that_ends_a_run_while_it_clones_leaves_neither_block_nor_clone(
    client, alias, bundle, tmp_path, elasticsearch_url
):
    catalogue = write(tmp_path / "c.jsonl", products())
    name = index(catalogue, bundle, alias, client=client).index
    write(catalogue, changed(products()))
    given = ["index", str(catalogue), "--bundle", str(bundle.path), "--alias", alias, "--url", elasticsearch_url]
    run = subprocess.Popen([sys.executable, "-c", NOWHERE_TO_START, *given], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while len(client.indices.get(index=f"{alias}-*")) < 2 and time.monotonic() < until and run.poll() is None:
        time.sleep(0.05)
    assert blocks(client, name) == ["index.blocks.write"]
    run.send_signal(signal.SIGTERM)
    _, said = run.communicate(timeout=60)
    assert (run.returncode, "shelfwise: interrupted" in said) == (130, True)
    assert blocks(client, name) == []
    assert list(client.indices.get(index=f"{alias}-*")) == [name]
    assert "cloning" not in live(client, alias).meta


def test_dead_letters_without_a_clone_to_join_are_refused_and_nothing_is_left(
    client, alias, bundle, tmp_path, monkeypatch
):
    name = index(write(tmp_path / "c.jsonl", products()), bundle, alias, client=client).index
    nobody_takes_clones(monkeypatch)
    letter = {"file": "c", "line": 1, "id": None, "reason": "r", "record": {"id": "new", "title": "mug"}}
    with pytest.raises(ServerError, match="did not start"):
        index(write(tmp_path / "letters.jsonl", [letter]), bundle, alias, client=client)
    assert list(client.indices.get(index=f"{alias}-*")) == [name]


def test_a_clone_that_is_given_up_takes_no_index_with_it_that_had_the_first_name_it_tried(
    client, alias, bundle, tmp_path, monkeypatch
):
    name = index(write(tmp_path / "c.jsonl", products()), bundle, alias, client=client).index

    class Standing(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2031, 1, 1, tzinfo=tz)

    monkeypatch.setattr("shelfwise.index.datetime", Standing)
    anothers = f"{alias}-20310101000000-{bundle.version[:8]}"
    client.indices.create(index=anothers)
    nobody_takes_clones(monkeypatch)
    with pytest.raises(NotCloned):
        clone_index(client, live(client, alias), alias, bundle, "catalogue")
    assert set(client.indices.get(index=f"{alias}-*")) == {name, anothers}


def test_the_server_is_told_how_long_a_clone_may_take(client, alias, bundle, tmp_path, monkeypatch):
    index(write(tmp_path / "c.jsonl", products()), bundle, alias, client=client)
    own, waits = type(client.indices).clone, []

    def timed(self, **given):
        waits.append(given["timeout"])
        return own(self, **given)

    monkeypatch.setattr(type(client.indices), "clone", timed)
    clone_index(client, live(client, alias), alias, bundle, "catalogue")
    assert set(waits) == {"20000ms"}  # asked again where an index of that second is there


def test_a_delta_that_was_killed_goes_on_in_its_clone(client, alias, bundle, tmp_path, elasticsearch_url, monkeypatch):
    monkeypatch.setattr(index_run, "SEGMENT", 100)
    catalogue = write(tmp_path / "many.jsonl", products(4000))
    index(catalogue, bundle, alias, client=client)
    before = live(client, alias).name
    records = products(4000)
    for record in records[::8]:
        record["title"] = f"glass mug {record['id']}"
    write(catalogue, records)
    index_and_kill(catalogue, bundle.path, alias, elasticsearch_url, segment=100, cache=tmp_path / "cache", after=3)
    assert live(client, alias).name == before, "the run ended before it could be killed"
    [left] = [name for name in client.indices.get(index=f"{alias}-*") if name != before]
    done = index(catalogue, bundle, alias, client=client)
    assert (done.read, done.indexed, done.unchanged, done.rejected) == (4000, 500, 3500, 0)
    assert done.index == left
    index(catalogue, bundle, f"{alias}-whole", client=client)
    encoded = {record["id"] for record in records[::8]}
    assert held(client, alias, encoded) == held(client, f"{alias}-whole", encoded)


@pytest.mark.parametrize("kind", ["filled", "cloned"])
def test_a_run_that_was_interrupted_while_it_sent_goes_on_with_each_products_own_neighbours(
    client, alias, bundle, tmp_path, monkeypatch, kind
):
    monkeypatch.setattr(index_run, "SEGMENT", 10)
    monkeypatch.setattr(sending, "TOGETHER", 1)
    catalogue, records, encoded = write(tmp_path / "c.jsonl", products()), products(), None
    if kind == "cloned":
        index(catalogue, bundle, alias, client=client)
        for n, title in enumerate(["mug of steel", "glass tent", "glass mug", "mug of tents"]):
            records[9 * n]["title"] = title
        encoded = {record["id"] for record in records[:28:9]}
        write(catalogue, records)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Spool, "mark_sent", interrupted_after(Spool.mark_sent))
        index(catalogue, bundle, alias, client=client)
    index(catalogue, bundle, alias, client=client)
    index(catalogue, bundle, f"{alias}-whole", client=client)
    assert held(client, alias, encoded) == held(client, f"{alias}-whole", encoded)


@pytest.mark.parametrize("written", [True, False])
def test_an_interrupted_delta_goes_on_in_its_clone_only_while_nobody_writes_into_the_live_index(
    client, alias, bundle, tmp_path, monkeypatch, written
):
    catalogue, own = write(tmp_path / "c.jsonl", products()), index_run.check
    before = index(catalogue, bundle, alias, client=client).index

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(index_run, "check", interrupted)
    with pytest.raises(KeyboardInterrupt):
        index(write(catalogue, changed(products())), bundle, alias, client=client)
    [left] = [name for name in client.indices.get(index=f"{alias}-*") if name != before]
    if written:
        client.update(index=before, id="p020", doc={"price": 3})
    monkeypatch.setattr(index_run, "check", own)
    done = index(catalogue, bundle, alias, client=client)
    assert (done.index == left) == (not written)
    assert held(client, alias)["p020"]["price"] == (3 if written else 20)
    if not written:
        index(catalogue, bundle, f"{alias}-whole", client=client)
        assert held(client, alias, ENCODED) == held(client, f"{alias}-whole", ENCODED)


@pytest.mark.parametrize("harm", ["added", "of another vector"])
def test_an_index_that_is_not_what_was_encoded_does_not_go_live(client, alias, bundle, tmp_path, monkeypatch, harm):
    catalogue = write(tmp_path / "c.jsonl", products())
    before, own_send = index(catalogue, bundle, alias, client=client).index, index_run.send

    def send(server, name, *rest):
        refused = own_send(server, name, *rest)
        if harm == "added":
            server.index(index=name, id="foreign", document={"id": "foreign", "title": "mug"})
        else:
            server.update(index=name, id="p000", doc={"shelfwise": {"vector": [0, 0, 1]}})
        return refused

    monkeypatch.setattr(index_run, "send", send)
    message = "holds 41 products, expected 40" if harm == "added" else "p000 is not found by its own vector"
    with pytest.raises(ServerError, match=f"{message}: the alias was not moved"):
        index(write(catalogue, [*products()[:-1], {"id": "p039", "title": "tent"}]), bundle, alias, client=client)
    assert live(client, alias).name == before


def test_a_part_of_the_live_index_that_does_not_answer_stops_the_run(client, alias, bundle, tmp_path, monkeypatch):
    catalogue = write(tmp_path / "c.jsonl", products())
    before = index(catalogue, bundle, alias, client=client).index

    def half(*_, **__):
        yield from ()
        raise ScanError("scroll", "Scroll request has only succeeded on 1 (+0 skipped) shards out of 2.")

    monkeypatch.setattr(bulk, "scan", half)
    with pytest.raises(ServerError, match="a part of the index did not answer"):
        index(write(catalogue, changed(products())), bundle, alias, client=client)
    assert live(client, alias).name == before


def test_nothing_is_read_from_an_answer_that_lacks_a_part(client, alias, bundle, tmp_path, monkeypatch):
    catalogue = write(tmp_path / "c.jsonl", products())
    index(catalogue, bundle, alias, client=client)
    asked, own_search = [], type(client).search

    def search(self, **body):
        asked.append(body)
        return own_search(self, **body)

    monkeypatch.setattr(type(client), "search", search)
    decided = {"shelfwise": {"status": "confirmed"}}
    client.update(index=alias, id="p003", doc=decided, refresh=True)
    done = index(write(catalogue, changed(products())), bundle, alias, client=client)
    carry_decisions(client, done.index, done.index)
    status(client, alias)
    read_index(client, done.index)
    list(index_migration._pages(client, done.index, bundle.version))
    reads = [body for body in asked if "source_excludes" in body or "source_includes" in body or "aggs" in body]
    assert len(reads) >= 6
    assert not any(body.get("allow_partial_search_results", True) for body in reads)
