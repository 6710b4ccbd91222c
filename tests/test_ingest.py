"""Indexing against the real server: every line is accounted for, whatever happens on the way."""

import gzip
from pathlib import Path

import numpy as np
import orjson
import pytest

from hand_bundle import write_hand_bundle
from hand_index import document, fill
from killed_run import index_and_kill, interrupted_after
from shelfwise import ProductSearch, SimilarProducts
from shelfwise.errors import IncompatibleIndex, ServerError
from shelfwise.index import rollback, status
from shelfwise.live_index import live, rewrite_meta
from shelfwise.write_block import blocks
from shelfwise_indexer import bulk, index_run, ingest
from shelfwise_indexer.bundle_migration import migrate_bundle
from shelfwise_indexer.catalogue import CatalogueError, file_hash
from shelfwise_indexer.decisions import known_nowhere_else
from shelfwise_indexer.document_encoder import DocumentEncoder
from shelfwise_indexer.encoding import Source
from shelfwise_indexer.index_migration import migrate_index
from shelfwise_indexer.ingest import index
from shelfwise_indexer.spool import Spool
from shelfwise_indexer.taxonomy_changes import Change, Changes
from small_shop import LEAVES, WORDS, products

pytestmark = [pytest.mark.es, pytest.mark.usefixtures("own_folders")]


@pytest.fixture
def bundle(tmp_path):
    return write_hand_bundle(tmp_path / "bundle", WORDS, LEAVES, threshold=0.9)


def write(path: Path, *records: dict[str, object] | str) -> Path:
    lines = [record if isinstance(record, str) else orjson.dumps(record).decode() for record in records]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


PRODUCTS = (
    {"id": "k1", "title": "steel kettle", "category": ["Home", "Kettles"], "price": 30, "color": "red"},
    {"id": "k2", "title": "glass kettle", "in_stock": False},
    {"id": "k3", "title": "kettle", "brand": "Tarn"},
    {"id": "m1", "title": "mug", "popularity": 7, "created_at": "2026-03-01"},
    {"id": "m2", "title": "mug", "variant_of": "m1"},
    {"id": "t1", "title": "tent"},
    {"id": "u1", "title": "surprise"},
)


def source(client, alias, id_):
    client.indices.refresh(index=alias)
    return client.get(index=alias, id=id_)["_source"]


def vector(client, alias, id_):
    hits = client.search(index=alias, query={"ids": {"values": [id_]}}, fields=["shelfwise.vector"])["hits"]["hits"]
    return hits[0]["fields"]["shelfwise.vector"]


def test_every_product_is_enriched_and_searchable_and_the_shops_fields_are_as_they_came(
    client, alias, bundle, tmp_path
):
    done = index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client)
    assert (done.read, done.indexed, done.unchanged, done.rejected) == (7, 7, 0, 0)
    k1 = source(client, alias, "k1")
    assert (k1["title"], k1["price"], k1["category"], k1["attributes"]) == (
        "steel kettle",
        30,
        ["Home > Kettles"],
        {"color": "red"},
    )
    assert k1["shelfwise"]["ancestors"] == ["Home", "Home > Kettles"]
    assert k1["shelfwise"]["bundle"] == bundle.version
    np.testing.assert_allclose(
        vector(client, alias, "k3"), bundle.encoder.encode_documents(["kettle"]).vectors[0], atol=1e-6
    )
    assert [hit.id for hit in ProductSearch(client, alias, bundle).search("tent", 1)] == ["t1"]


def test_a_product_without_a_category_gets_the_predicted_one_or_waits_for_review(client, alias, bundle, tmp_path):
    index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client)
    sure, unsure = source(client, alias, "t1")["shelfwise"], source(client, alias, "u1")["shelfwise"]
    assert (sure["status"], sure["category"]) == ("accepted", ["Sports > Tents"])
    assert (unsure["status"], unsure["category"]) == ("review", [])
    assert len(unsure["candidates"]) == 3
    assert [hit.id for hit in ProductSearch(client, alias, bundle).search("surprise", 1)] == ["u1"]


def test_stored_neighbours_are_of_the_same_leaf_first_without_variants_and_what_is_out_of_stock(
    client, alias, bundle, tmp_path
):
    index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client)
    assert source(client, alias, "k1")["shelfwise"]["similar"][0]["id"] == "k3"
    similar = SimilarProducts(client, alias)
    assert [hit.id for hit in similar.similar("k1", 1)] == ["k3"]
    assert not {"m1", "m2"} & {hit.id for hit in similar.similar("m1", 10)}
    assert "k2" not in {hit.id for hit in similar.similar("k3", 10)}


BAD = (
    "not json",
    '{"id": "x1"}',
    '{"title": "no id"}',
    '{"id": "x2", "title": "kettle", "price": "cheap"}',
    '{"id": "k1", "title": "a second k1"}',
    '{"id": "x3", "title": "kettle", "category": ["Home", ""]}',
    '{"id": "x4", "title": "kettle", "attributes": ' + '{"a":' * 30 + "1" + "}" * 30 + "}",
)


def test_what_is_read_is_indexed_unchanged_or_rejected_and_rejects_name_line_and_reason(
    client, alias, bundle, tmp_path
):
    done = index(write(tmp_path / "c.jsonl", *PRODUCTS, *BAD), bundle, alias, client=client)
    assert (done.read, done.indexed, done.unchanged, done.rejected) == (14, 7, 0, 7)
    assert done.read == done.indexed + done.unchanged + done.rejected
    letters = [orjson.loads(line) for line in (tmp_path / f"c.{alias}.dead-letters.jsonl").read_bytes().splitlines()]
    assert sorted(letter["line"] for letter in letters) == [8, 9, 10, 11, 12, 13, 14]
    by_line = {letter["line"]: letter["reason"] for letter in letters}
    assert "id is missing" in by_line[10]
    assert "price must be a number" in by_line[11]
    assert "the server refused it" in by_line[14]
    assert int(client.count(index=alias)["count"]) == 7


CHEAP = '{"id": "x2", "title": "small mug", "price": "cheap"}'


def mended(done, to: Path) -> Path:
    to.write_text(done.dead_letters.read_text().replace('"cheap"', "5"))
    return to


def test_rejected_lines_that_were_mended_join_what_is_live(client, alias, bundle, tmp_path, capsys):
    second = {"id": "k1", "title": "a second k1"}
    first = index(write(tmp_path / "c.jsonl", *PRODUCTS, CHEAP, second, BAD[-1]), bundle, alias, client=client)
    letters = mended(first, tmp_path / "c.dead-letters.jsonl")
    done = index(letters, bundle, alias, client=client)
    assert (done.read, done.indexed, done.unchanged, done.rejected, done.written) == (3, 1, 0, 2, 1)
    assert "join the products of index" in capsys.readouterr().err
    assert source(client, alias, "x2")["price"] == 5
    assert source(client, alias, "k1")["title"] == "steel kettle"
    assert int(client.count(index=alias)["count"]) == 8
    assert {hit.id for hit in SimilarProducts(client, alias).similar("x2", 1)} <= {"m1", "m2"}
    again = index(letters, bundle, alias, client=client)
    assert (again.read, again.unchanged, again.rejected, again.written) == (3, 1, 2, 0)
    whole = index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client)
    assert (whole.read, whole.unchanged, int(client.count(index=alias)["count"])) == (7, 7, 7)


def test_letters_of_which_one_was_replaced_by_its_product_do_not_replace_what_is_live(client, alias, bundle, tmp_path):
    second = CHEAP.replace("x2", "x3")
    first = index(write(tmp_path / "c.jsonl", *PRODUCTS, CHEAP, second), bundle, alias, client=client)
    mended(first, tmp_path / "mended.jsonl")
    one, other = map(orjson.loads, (tmp_path / "mended.jsonl").read_bytes().splitlines())
    with pytest.raises(CatalogueError, match="line 2: is a dead letter"):
        index(write(tmp_path / "mended.jsonl", one["record"], other), bundle, alias, client=client)
    assert live(client, alias).name == first.index


def test_a_mended_product_that_the_server_refuses_stays_as_it_is_live(client, alias, bundle, tmp_path):
    first = index(write(tmp_path / "c.jsonl", *PRODUCTS, BAD[-1], CHEAP), bundle, alias, client=client)
    letters = mended(first, tmp_path / "mended.jsonl")
    letters.write_text(letters.read_text().replace('"x4"', '"k3"'))
    done = index(letters, bundle, alias, client=client)
    assert (done.read, done.indexed, done.rejected) == (2, 1, 1)
    assert source(client, alias, "k3")["title"] == "kettle"
    assert int(client.count(index=alias)["count"]) == 8


def test_dead_letters_are_indexed_where_nothing_is_live_and_not_into_an_index_of_another_bundle(
    client, alias, bundle, tmp_path
):
    first = index(write(tmp_path / "c.jsonl", *PRODUCTS, CHEAP), bundle, alias, client=client)
    letters = mended(first, tmp_path / "mended.jsonl")
    other = write_hand_bundle(tmp_path / "other", WORDS, LEAVES, threshold=0.2)
    with pytest.raises(IncompatibleIndex, match="was written with"):
        index(letters, other, alias, client=client)
    assert live(client, alias).name == first.index
    assert index(letters, other, f"{alias}-new", client=client).indexed == 1


def test_a_second_run_encodes_only_what_changed(client, alias, bundle, tmp_path):
    index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client)
    before = source(client, alias, "k1")["shelfwise"]
    changed = [
        dict(PRODUCTS[0]) | {"price": 25},
        dict(PRODUCTS[1]) | {"title": "glass kettle mug"},
        *PRODUCTS[2:],
        {"id": "n1", "title": "new mug"},
    ]
    done = index(write(tmp_path / "c.jsonl", *changed), bundle, alias, client=client)
    assert (done.read, done.indexed, done.unchanged, done.rejected) == (8, 2, 6, 0)
    k1 = source(client, alias, "k1")
    assert k1["price"] == 25
    assert k1["shelfwise"]["enriched_at"] == before["enriched_at"]
    assert source(client, alias, "k2")["shelfwise"]["enriched_at"] > before["enriched_at"]
    np.testing.assert_allclose(
        vector(client, alias, "k1"), bundle.encoder.encode_documents(["steel kettle"]).vectors[0], atol=1e-6
    )


def test_a_first_run_loads_its_model_while_it_reads_and_one_in_which_nothing_changed_loads_none(
    client, alias, bundle, tmp_path, monkeypatch
):
    steps = []

    def noted(owner, name):
        own = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given: steps.append(name) or own(*given))

    noted(DocumentEncoder, "begin_loading")
    noted(Source, "segments")
    catalogue = write(tmp_path / "c.jsonl", *PRODUCTS)
    index(catalogue, bundle, alias, client=client)
    assert steps[:2] == ["begin_loading", "segments"]
    steps.clear()
    index(catalogue, bundle, alias, client=client)
    assert steps == ["segments"]


def test_the_models_memory_is_free_before_neighbours_are_searched_for(client, alias, bundle, tmp_path, monkeypatch):
    encoders, held = [], []
    began, neighbours = DocumentEncoder.begin_loading, index_run.SimilarLists.of
    monkeypatch.setattr(DocumentEncoder, "begin_loading", lambda self: encoders.append(self) or began(self))

    def of(*given):
        held.extend(dict(encoder._encoders) for encoder in encoders)
        return neighbours(*given)

    monkeypatch.setattr(index_run.SimilarLists, "of", of)
    index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client, precision="bf16")
    assert held
    assert not any(held)


def test_what_a_changed_price_leaves_behind_is_merged_where_it_is_asked(client, alias, bundle, tmp_path, capsys):
    cheaper = [{**product, "price": 5} if product["id"] == "k1" else product for product in PRODUCTS]
    index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client)
    done = index(write(tmp_path / "c.jsonl", *cheaper), bundle, alias, client=client, merge=1)
    (one,) = client.indices.segments(index=done.index)["indices"][done.index]["shards"]["0"]
    assert [part["deleted_docs"] for part in one["segments"].values() if part["search"]] == [0]
    assert "merging to 1 segments" in capsys.readouterr().err
    assert source(client, alias, "k1")["price"] == 5


def test_an_index_that_is_not_merged_in_time_goes_live_all_the_same(
    client, alias, bundle, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("shelfwise.index.MERGE_TIMEOUT", 1e-6)
    done = index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client, merge=1)
    assert live(client, alias).name == done.index
    assert "the server goes on by itself" in capsys.readouterr().err


def test_another_bundle_encodes_everything_again_so_that_vectors_never_mix(client, alias, bundle, tmp_path):
    catalogue = write(tmp_path / "c.jsonl", *PRODUCTS)
    index(catalogue, bundle, alias, client=client)
    turned = write_hand_bundle(tmp_path / "other", {word: v[::-1] for word, v in WORDS.items()}, LEAVES)
    done = index(catalogue, turned, alias, client=client)
    assert (done.indexed, done.unchanged) == (7, 0)
    bundles = client.search(index=alias, size=0, aggs={"b": {"terms": {"field": "shelfwise.bundle"}}})
    assert [bucket["key"] for bucket in bundles["aggregations"]["b"]["buckets"]] == [turned.version]
    with pytest.raises(IncompatibleIndex, match="re-index with this bundle"):
        ProductSearch(client, alias, bundle)


@pytest.mark.parametrize("same_bundle", [True, False])
def test_what_a_person_decided_survives_the_next_run(client, alias, bundle, tmp_path, same_bundle):
    catalogue = write(tmp_path / "c.jsonl", *PRODUCTS)
    index(catalogue, bundle, alias, client=client)
    decided = {"status": "corrected", "category": ["Home > Mugs"], "ancestors": ["Home", "Home > Mugs"]}
    client.update(index=live(client, alias).name, id="t1", doc={"shelfwise": decided}, refresh=True)
    following = bundle if same_bundle else write_hand_bundle(tmp_path / "other", WORDS, LEAVES, threshold=0.2)
    index(catalogue, following, alias, client=client)
    assert {name: source(client, alias, "t1")["shelfwise"][name] for name in decided} == decided


CORRECTED = {"status": "corrected", "category": ["Home > Mugs"], "ancestors": ["Home", "Home > Mugs"]}
COMES_BACK = {
    "for-a-night": lambda client, first, second: None,
    "after-the-index-was-deleted": lambda client, first, second: client.indices.delete(index=first),
    "after-other-categories": lambda client, first, second: rewrite_meta(
        client, first, {"bundle": "x", "taxonomy": "x"}
    ),
}


@pytest.mark.parametrize("way", COMES_BACK)
@pytest.mark.parametrize("letters", [True, False])
def test_what_a_person_decided_comes_back_with_a_product_whose_line_was_broken_for_a_night(
    client, alias, bundle, tmp_path, way, letters
):
    first = index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client).index
    client.update(index=first, id="t1", doc={"shelfwise": CORRECTED}, refresh=True)
    client.update(index=first, id="u1", doc={"shelfwise": {"status": "accepted"}}, refresh=True)
    broken = [product | ({"price": "cheap"} if product["id"] in ("t1", "u1") else {}) for product in PRODUCTS]
    night = index(write(tmp_path / "c.jsonl", *broken), bundle, alias, client=client)
    assert night.rejected == 2
    COMES_BACK[way](client, first, night.index)
    catalogue = mended(night, tmp_path / "m.jsonl") if letters else write(tmp_path / "c.jsonl", *PRODUCTS)
    index(catalogue, bundle, alias, client=client)
    comes_back = CORRECTED.items() <= source(client, alias, "t1")["shelfwise"].items()
    assert comes_back == (way != "after-the-index-was-deleted")
    assert source(client, alias, "u1")["shelfwise"]["status"] == "review"


RENAMED = Changes((Change(1, "renamed", (("Home", "Mugs"),), (("Home", "Cups"),)),))
TO_JUGS = Changes((Change(1, "renamed", (("Home", "Mugs"),), (("Home", "Jugs"),)),))
FROM_JUGS = Changes((Change(1, "renamed", (("Home", "Jugs"),), (("Home", "Cups"),)),))
SPLIT = Changes((Change(1, "split", (("Home", "Mugs"),), (("Home", "Mugs", "Tall"), ("Home", "Mugs", "Flat"))),))


@pytest.mark.parametrize("moment", ["before", "meanwhile", "with the product", "two migrations ago"])
def test_what_a_person_decided_follows_the_changes_that_made_the_bundle(
    client, alias, bundle, tmp_path, monkeypatch, capsys, moment
):
    catalogue, own = write(tmp_path / "c.jsonl", *PRODUCTS), index_run.check
    first = index(catalogue, bundle, alias, client=client).index

    def decide(*given):
        client.update(index=first, id="t1", doc={"shelfwise": CORRECTED}, refresh=True)
        client.index(index=first, id="new", document={"id": "new", "title": "jug", "shelfwise": CORRECTED})
        own(*given) if given else None

    if moment == "meanwhile":
        monkeypatch.setattr(index_run, "check", decide)
    else:
        decide()
    if moment == "with the product":  # which the live index lacks
        index(write(catalogue, *(one for one in PRODUCTS if one["id"] != "t1")), bundle, alias, client=client)
    after = migrate_bundle(bundle, RENAMED, tmp_path / "after")
    if moment == "two migrations ago":
        after = migrate_bundle(migrate_bundle(bundle, TO_JUGS, tmp_path / "between"), FROM_JUGS, tmp_path / "after2")
    index(write(catalogue, *PRODUCTS), after, alias, client=client)
    cups = {"status": "corrected", "category": ["Home > Cups"], "ancestors": ["Home", "Home > Cups"]}
    assert cups.items() <= source(client, alias, "t1")["shelfwise"].items()
    assert moment != "meanwhile" or source(client, alias, "new")["shelfwise"] == cups
    assert "keep a category" not in capsys.readouterr().err


def test_what_was_decided_of_a_missing_product_follows_a_migration_in_place(client, alias, bundle, tmp_path):
    catalogue = write(tmp_path / "c.jsonl", *PRODUCTS)
    first = index(catalogue, bundle, alias, client=client).index
    client.update(index=first, id="t1", doc={"shelfwise": CORRECTED}, refresh=True)
    index(write(catalogue, *(one for one in PRODUCTS if one["id"] != "t1")), bundle, alias, client=client)
    after = migrate_bundle(bundle, RENAMED, tmp_path / "after")
    migrate_index(client, alias, bundle, after, RENAMED)
    index(write(catalogue, *PRODUCTS), after, alias, client=client)
    assert source(client, alias, "t1")["shelfwise"]["category"] == ["Home > Cups"]


def test_a_decision_for_a_category_that_was_split_is_open_again(client, alias, bundle, tmp_path):
    catalogue = write(tmp_path / "c.jsonl", *PRODUCTS)
    first = index(catalogue, bundle, alias, client=client).index
    client.update(index=first, id="m1", doc={"shelfwise": CORRECTED}, refresh=True)
    index(catalogue, migrate_bundle(bundle, SPLIT, tmp_path / "after"), alias, client=client)
    assert source(client, alias, "m1")["shelfwise"]["status"] == "review"


@pytest.mark.parametrize("moment", ["before", "meanwhile"])
def test_decisions_for_categories_that_the_bundle_does_not_know_are_kept_and_named(
    client, alias, bundle, tmp_path, monkeypatch, capsys, moment
):
    catalogue, own = write(tmp_path / "c.jsonl", *PRODUCTS), index_run.check
    first = index(catalogue, bundle, alias, client=client).index

    def decide(*given):
        client.update(index=first, id="t1", doc={"shelfwise": CORRECTED}, refresh=True)
        own(*given) if given else None

    if moment == "meanwhile":
        monkeypatch.setattr(index_run, "check", decide)
    else:
        decide()
    other = write_hand_bundle(tmp_path / "other", WORDS, [LEAVES[0], ("Home", "Cups"), LEAVES[2]])
    index(catalogue, other, alias, client=client)
    assert CORRECTED.items() <= source(client, alias, "t1")["shelfwise"].items()
    said = capsys.readouterr().err
    assert "1 products keep a category that a person decided on and that the bundle's taxonomy lacks" in said
    assert "\nproduct t1: Home > Mugs\n" in said


WRITTEN = {
    "dotted": {f"shelfwise.{name}": value for name, value in CORRECTED.items()},
    "plain text": {"shelfwise": CORRECTED | {"category": "Home > Mugs"}},
    "list in a list": {"shelfwise": CORRECTED | {"category": [["Home > Mugs"], None]}},
}


@pytest.mark.parametrize("way", WRITTEN)
@pytest.mark.parametrize("moment", ["before", "meanwhile"])
@pytest.mark.parametrize("same_bundle", [True, False])
def test_a_decision_counts_however_a_partial_update_writes_it(
    client, alias, bundle, tmp_path, monkeypatch, way, moment, same_bundle
):
    catalogue, own = write(tmp_path / "c.jsonl", *PRODUCTS), index_run.check
    before = index(catalogue, bundle, alias, client=client).index

    def decide():
        client.update(index=before, id="t1", doc=WRITTEN[way], refresh=True)
        client.index(index=before, id="own", document={"id": "own", "title": "mug"})
        client.update(index=before, id="own", doc=WRITTEN[way], refresh=True)

    def late(*given):
        decide()
        own(*given)

    if moment == "before":
        decide()
    else:
        monkeypatch.setattr(index_run, "check", late)
    following = bundle if same_bundle else write_hand_bundle(tmp_path / "other", WORDS, LEAVES, threshold=0.2)
    index(catalogue, following, alias, client=client)
    now = source(client, alias, "t1")
    assert CORRECTED.items() <= now["shelfwise"].items()
    assert not any(name.startswith("shelfwise.") for name in now)
    if moment == "meanwhile":
        assert source(client, alias, "own")["shelfwise"] == CORRECTED
    monkeypatch.setattr(index_run, "check", own)
    assert index(catalogue, following, alias, client=client).unchanged == 7
    assert CORRECTED.items() <= source(client, alias, "t1")["shelfwise"].items()


def test_what_only_older_indices_know_of_decisions_is_said_before_they_are_deleted(
    client, alias, bundle, tmp_path, capsys
):
    first = index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client).index
    for id_ in ("t1", "m1"):
        client.update(index=first, id=id_, doc={"shelfwise": CORRECTED}, refresh=True)
    without = write(tmp_path / "c.jsonl", *(one for one in PRODUCTS if one["id"] != "t1"))
    index(without, bundle, alias, client=client)
    assert "can be deleted" not in capsys.readouterr().err
    index(without, bundle, alias, client=client)
    said = capsys.readouterr().err
    assert f"1 older indices of {alias} can be deleted: {first}\n" in said
    assert "only they know what people decided of 1 products, which no newer index has:\nt1\n" in said


def test_what_any_of_the_older_indices_alone_knows_is_known_of_them(client, alias, bundle, monkeypatch):
    monkeypatch.setattr(bulk, "PAGE", 1)

    def deciding_on(*ids):
        decided = [document(bundle, {"id": id_, "title": "mug"}, status="confirmed") for id_ in ids]
        return fill(client, alias, bundle, decided)

    old, kept = [deciding_on("c", "b", "a"), deciding_on("b", "d")], [deciding_on("b")]
    assert known_nowhere_else(client, old, kept) == ["a", "c", "d"]


def test_what_cannot_be_said_of_older_indices_fails_no_run(client, alias, bundle, tmp_path, monkeypatch, capsys):
    def gone(*_):
        raise ServerError("a part of the index did not answer")

    monkeypatch.setattr(ingest, "known_nowhere_else", gone)
    catalogue = write(tmp_path / "c.jsonl", *PRODUCTS)
    done = [index(catalogue, bundle, alias, client=client) for _ in range(3)]
    assert live(client, alias).name == done[-1].index
    assert "a part of the index did not answer" in capsys.readouterr().err


@pytest.mark.parametrize("way", ["two nights", "letters one by one", "taken back"])
def test_what_a_person_decided_comes_back_with_a_product_that_two_indices_lack(client, alias, bundle, tmp_path, way):
    first = index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client).index
    client.update(index=first, id="t1", doc={"shelfwise": CORRECTED}, refresh=True)
    if way == "taken back":  # in the index after the first, which still has the product
        second = index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client).index
        client.update(index=second, id="t1", doc={"shelfwise": {"status": "accepted"}}, refresh=True)
    broken = [product | ({"price": "cheap"} if product["id"] in ("t1", "u1") else {}) for product in PRODUCTS]
    night = index(write(tmp_path / "c.jsonl", *broken), bundle, alias, client=client)
    if way == "letters one by one":
        by_id = {orjson.loads(line)["id"]: line for line in mended(night, tmp_path / "m").read_text().splitlines()}
        for id_ in ("u1", "t1"):
            index(write(tmp_path / "m.jsonl", by_id[id_]), bundle, alias, client=client)
    else:
        index(write(tmp_path / "c.jsonl", *broken, '{"id": "new", "title": "mug"}'), bundle, alias, client=client)
        index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client)
    comes_back = CORRECTED.items() <= source(client, alias, "t1")["shelfwise"].items()
    assert comes_back == (way != "taken back")
    assert source(client, alias, "u1")["shelfwise"]["status"] == "review"


@pytest.mark.parametrize("same_bundle", [True, False])
def test_what_a_person_decides_while_a_run_is_on_survives_it_and_the_next_one(
    client, alias, bundle, tmp_path, monkeypatch, capsys, same_bundle
):
    catalogue = write(tmp_path / "c.jsonl", *PRODUCTS)
    index(catalogue, bundle, alias, client=client)
    decided = {"status": "corrected", "category": ["Home > Mugs"], "ancestors": ["Home", "Home > Mugs"]}
    own, before = index_run.check, live(client, alias).name

    def late(*given):
        client.update(index=before, id="t1", doc={"shelfwise": decided})
        own(*given)

    following = bundle if same_bundle else write_hand_bundle(tmp_path / "other", WORDS, LEAVES, threshold=0.2)
    monkeypatch.setattr(index_run, "check", late)
    index(write(catalogue, *PRODUCTS[1:]), following, alias, client=client)
    assert "1 products that a person decided on meanwhile" in capsys.readouterr().err
    assert source(client, alias, "t1")["shelfwise"].items() >= decided.items()
    assert vector(client, alias, "t1") == [0, 0, 1]
    monkeypatch.setattr(index_run, "check", own)
    dearer = [product | {"price": 99} if product["id"] != "t1" else product for product in PRODUCTS[1:]]
    index(write(catalogue, *dearer), following, alias, client=client)
    assert source(client, alias, "t1")["shelfwise"].items() >= decided.items()


def test_a_category_that_the_bundle_has_not_learnt_is_said_by_line_and_the_product_is_found_under_it(
    client, alias, bundle, tmp_path, capsys
):
    odd = {"id": "o1", "title": "kettle", "category": "Home > Kettle"}
    done = index(write(tmp_path / "c.jsonl", *PRODUCTS, odd), bundle, alias, client=client)
    assert done.rejected == 0
    said = capsys.readouterr().err
    assert "line 8: product o1: category Home > Kettle is not in the bundle's taxonomy" in said
    assert "closest: Home > Kettles" in said
    assert [hit.id for hit in ProductSearch(client, alias, bundle).search("kettle", category="Home > Kettle")] == ["o1"]


def test_a_catalogue_of_which_nothing_is_left_does_not_move_the_alias(client, alias, bundle, tmp_path):
    index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client)
    name = live(client, alias).name
    with pytest.raises(CatalogueError, match="rejected"):
        index(write(tmp_path / "bad.jsonl", *BAD[:3]), bundle, alias, client=client)
    assert live(client, alias).name == name


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_of_a_file_that_is_cut_off_nothing_goes_live(client, alias, bundle, tmp_path, kind):
    index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client)
    name = live(client, alias).name
    if kind == "jsonl":
        text = "".join(orjson.dumps(product).decode() + "\n" for product in products(3000))
    else:
        text = "id,title\n" + "".join(f"{product['id']},{product['title']}\n" for product in products(3000))
    packed = gzip.compress(text.encode())
    half = tmp_path / f"half.{kind}.gz"
    half.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(CatalogueError, match=rf"half\.{kind}\.gz, line \d+: the file is cut off.* get it anew"):
        index(half, bundle, alias, client=client)
    assert live(client, alias).name == name
    assert len(client.indices.get(index=f"{alias}-*")) == 1


@pytest.mark.parametrize("after", [PRODUCTS[:4], PRODUCTS], ids=["another file", "the same file in the end"])
def test_of_a_file_that_is_written_anew_while_it_is_read_nothing_goes_live(
    client, alias, bundle, tmp_path, monkeypatch, after
):
    before = index(write(tmp_path / "c.jsonl", *PRODUCTS[1:]), bundle, alias, client=client).index
    catalogue = write(tmp_path / "c.jsonl", *PRODUCTS)

    def half_written_then(path):
        digest = file_hash(path)
        write(catalogue, *PRODUCTS[:2])
        return digest

    monkeypatch.setattr(ingest, "file_hash", half_written_then)
    with pytest.raises(CatalogueError, match=r"c\.jsonl: was written while it was read .*nothing went live"):
        index(catalogue, bundle, alias, client=client)
    assert live(client, alias).name == before
    assert list(client.indices.get(index=f"{alias}-*")) == [before]
    monkeypatch.setattr(ingest, "file_hash", file_hash)
    done = index(write(catalogue, *after), bundle, alias, client=client)
    assert (done.read, done.rejected, int(client.count(index=alias)["count"])) == (len(after), 0, len(after))
    assert live(client, alias).meta["catalogue"] == file_hash(catalogue)


def test_of_a_file_that_is_written_anew_before_its_refused_lines_are_looked_up_nothing_goes_live(
    client, alias, bundle, tmp_path, monkeypatch
):
    before = index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client).index
    catalogue, own = write(tmp_path / "c.jsonl", *PRODUCTS, BAD[-1]), index_run.send

    def late(*given):
        refused = own(*given)
        write(catalogue, *PRODUCTS)
        return refused

    monkeypatch.setattr(index_run, "send", late)
    with pytest.raises(CatalogueError, match="was written while it was read"):
        index(catalogue, bundle, alias, client=client)
    assert live(client, alias).name == before


def test_where_the_server_forbids_writing_the_run_ends_and_the_alias_stays(client, alias, bundle, tmp_path):
    index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client)
    name = live(client, alias).name
    blocked = {"settings": {"index.blocks.write": True}}
    client.indices.put_index_template(name=alias, index_patterns=[f"{alias}-*"], template=blocked)
    try:
        with pytest.raises(ServerError, match=r"has the block index.blocks.write, .*run the same command again"):
            index(write(tmp_path / "other.jsonl", *products(4)), bundle, alias, client=client)
    finally:
        client.indices.delete_index_template(name=alias)
    assert live(client, alias).name == name
    assert not (tmp_path / "other.dead-letters.jsonl").exists()


def test_a_catalogue_of_which_the_server_takes_nothing_does_not_move_the_alias(client, alias, bundle, tmp_path):
    index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client)
    name = live(client, alias).name
    with pytest.raises(CatalogueError, match="all 1 lines were rejected"):
        index(write(tmp_path / "bad.jsonl", BAD[-1]), bundle, alias, client=client)
    assert live(client, alias).name == name


@pytest.mark.parametrize("first", [True, False])
def test_a_slower_run_does_not_replace_what_another_made_live_meanwhile(
    client, alias, bundle, tmp_path, monkeypatch, first
):
    if not first:
        index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client)
    newer, own = write(tmp_path / "newer.jsonl", *PRODUCTS[:3]), index_run.check

    def overtaken(*given):
        monkeypatch.setattr(index_run, "check", own)
        index(newer, bundle, alias, client=client)
        return own(*given)

    monkeypatch.setattr(index_run, "check", overtaken)
    older = write(tmp_path / "older.jsonl", *PRODUCTS[:5])
    with pytest.raises(ServerError, match=f"somebody else moved alias {alias} .*nothing was changed: .*run the same"):
        index(older, bundle, alias, client=client)
    assert int(client.count(index=alias)["count"]) == 3
    assert index(older, bundle, alias, client=client).read == 5
    assert int(client.count(index=alias)["count"]) == 5


@pytest.mark.parametrize("changed", [1, 5], ids=["cloned", "filled"])
def test_a_run_of_the_same_on_another_host_does_not_write_into_what_this_one_fills_or_made_live(
    client, alias, bundle, tmp_path, monkeypatch, capsys, changed
):
    catalogue, own = write(tmp_path / "c.jsonl", *PRODUCTS), index_run.send
    index(catalogue, bundle, alias, client=client)
    write(catalogue, *({**one, "title": f"{one['title']} mug"} for one in PRODUCTS[:changed]), *PRODUCTS[changed:])
    decided = {"status": "corrected", "category": ["Sports > Tents"], "ancestors": ["Sports", "Sports > Tents"]}

    def overtaken(*given):
        monkeypatch.setattr(index_run, "send", own)
        with monkeypatch.context() as there:
            there.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
            index(catalogue, bundle, alias, client=client, dead_letters=tmp_path / "elsewhere.jsonl")
        client.update(index=alias, id="k1", doc={"price": 99999, "shelfwise": decided})
        return own(*given)

    monkeypatch.setattr(index_run, "send", overtaken)
    with pytest.raises(ServerError, match=f"somebody else moved alias {alias} .*nothing was changed") as refused:
        index(catalogue, bundle, alias, client=client)
    k1 = source(client, alias, "k1")
    assert (k1["price"], k1["shelfwise"]["status"]) == (99999, "corrected")
    [left] = status(client, alias)["filling"]
    assert left != live(client, alias).name
    assert f"index {left} can be deleted" in str(refused.value)
    assert f"1 indices of {alias} are being filled by other runs, or were left" in capsys.readouterr().err


@pytest.mark.parametrize("changed", [1, 5], ids=["cloned", "filled"])
def test_a_run_that_was_interrupted_when_the_alias_was_to_move_sends_nothing_again(
    client, alias, bundle, tmp_path, monkeypatch, changed
):
    catalogue = write(tmp_path / "c.jsonl", *PRODUCTS)
    before = index(catalogue, bundle, alias, client=client).index
    write(catalogue, *({**one, "title": f"{one['title']} mug"} for one in PRODUCTS[:changed]), *PRODUCTS[changed:])

    def interrupted(**_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(client.indices, "update_aliases", interrupted)
        with pytest.raises(KeyboardInterrupt):
            index(catalogue, bundle, alias, client=client)
    [left] = [name for name in client.indices.get(index=f"{alias}-*") if name != before]
    sent, own = [], bulk.send
    monkeypatch.setattr(bulk, "send", lambda *given: sent.extend(given[2]) or own(*given))
    assert index(catalogue, bundle, alias, client=client).index == left
    assert sent == []
    assert live(client, alias).meta["previous"] == before


@pytest.mark.parametrize("setting", ["read_only", "read_only_allow_delete", "metadata"])
def test_a_live_index_that_cannot_be_replaced_is_said_before_anything_is_read(
    client, alias, bundle, tmp_path, monkeypatch, setting
):
    catalogue = write(tmp_path / "c.jsonl", *PRODUCTS)
    name = index(catalogue, bundle, alias, client=client).index
    monkeypatch.setattr(index_run, "encode", lambda *_: pytest.fail("it was read"))
    client.indices.put_settings(index=name, settings={f"index.blocks.{setting}": True})
    try:
        with pytest.raises(ServerError, match=f"index {name} has the block index.blocks.{setting}"):
            index(catalogue, bundle, alias, client=client)
    finally:
        client.indices.put_settings(index=name, settings={f"index.blocks.{setting}": None})


def test_a_live_index_that_somebody_closed_to_writes_stays_so_and_the_next_one_takes_them(
    client, alias, bundle, tmp_path, capsys
):
    catalogue = write(tmp_path / "c.jsonl", *PRODUCTS)
    name = index(catalogue, bundle, alias, client=client).index
    client.indices.put_settings(index=name, settings={"index.blocks.write": True})
    index(catalogue, bundle, alias, client=client)
    assert f"index {name} has the block index.blocks.write: it keeps it" in capsys.readouterr().err
    assert blocks(client, name) == ["index.blocks.write"]
    client.update(index=alias, id="k1", doc={"price": 1})


def test_an_index_template_with_the_alias_keeps_nobody_from_searching(client, alias, bundle, tmp_path, monkeypatch):
    catalogue, own, found = write(tmp_path / "c.jsonl", *PRODUCTS), index_run.send, []
    index(catalogue, bundle, alias, client=client)

    def searched(*given):
        found.extend(hit.id for hit in ProductSearch(client, alias, bundle).search("tent", 1))
        return own(*given)

    monkeypatch.setattr(index_run, "send", searched)
    given = {"aliases": {alias: {}}}
    client.indices.put_index_template(name=alias, index_patterns=[f"{alias}-*"], template=given)
    try:
        done = index(write(catalogue, *PRODUCTS[:3], *products(9)), bundle, alias, client=client)
    finally:
        client.indices.delete_index_template(name=alias)
    assert (found, live(client, alias).name) == (["t1"], done.index)


def test_an_alias_that_is_a_plain_index_is_refused_and_left_alone(client, alias, bundle, tmp_path):
    client.index(index=alias, id="1", document={"a": 1}, refresh=True)
    with pytest.raises(IncompatibleIndex, match="plain index"):
        index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client)
    assert int(client.count(index=alias)["count"]) == 1


def test_rollback_brings_back_the_index_before_with_its_documents(client, alias, bundle, tmp_path):
    index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client)
    index(write(tmp_path / "c.jsonl", *PRODUCTS[:3]), bundle, alias, client=client)
    assert int(client.count(index=alias)["count"]) == 3
    rollback(client, alias)
    assert int(client.count(index=alias)["count"]) == 7


def test_a_partial_update_of_a_price_keeps_vector_and_enrichment(client, alias, bundle, tmp_path):
    index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, alias, client=client)
    before = vector(client, alias, "k1")
    client.update(index=alias, id="k1", doc={"price": 19.5}, refresh=True)
    assert vector(client, alias, "k1") == before
    assert source(client, alias, "k1")["shelfwise"]["ancestors"] == ["Home", "Home > Kettles"]


KILLED_AT = 3  # segments sent


def test_a_run_that_was_killed_goes_on_and_ends_as_an_uninterrupted_one(
    client, alias, bundle, tmp_path, elasticsearch_url, monkeypatch
):
    """SIGKILL while documents are being sent; the second run neither encodes nor sends what the first one had."""
    monkeypatch.setattr(index_run, "SEGMENT", 500)
    records = products(6000)
    for n, record in enumerate(records):
        record["title"] = f"{record['title']}{' steel' * (n // 25 % 13)}"  # so that no two segments are alike
    catalogue = write(tmp_path / "many.jsonl", *records, "not json")
    sent_before = index_and_kill(
        catalogue, bundle.path, alias, elasticsearch_url, segment=500, cache=tmp_path / "cache", after=KILLED_AT
    )
    assert KILLED_AT <= sent_before < 12, "the run ended before it could be killed"
    assert not client.indices.exists_alias(name=alias)
    encoded: list[int] = []
    own = type(bundle.encoder).encode_documents
    monkeypatch.setattr(
        type(bundle.encoder), "encode_documents", lambda self, texts: encoded.append(len(texts)) or own(self, texts)
    )
    sent: list[int] = []
    own_send = bulk.send

    def send(server, name, documents):
        sent.append(len(documents))
        return own_send(server, name, documents)

    monkeypatch.setattr(bulk, "send", send)
    done = index(catalogue, bundle, alias, client=client)
    assert (done.read, done.indexed, done.unchanged, done.rejected) == (6001, 6000, 0, 1)
    assert (encoded, sum(sent)) == ([], 6000 - 500 * sent_before)
    assert int(client.count(index=alias)["count"]) == 6000
    whole = index(catalogue, bundle, f"{alias}-whole", client=client)
    assert (whole.indexed, whole.rejected) == (6000, 1)
    for id_ in ("p000", "p1499", "p5999"):
        left, right = source(client, alias, id_), source(client, f"{alias}-whole", id_)
        left["shelfwise"].pop("enriched_at"), right["shelfwise"].pop("enriched_at")
        assert left == right
    assert not list((tmp_path / "cache" / "shelfwise" / "runs").iterdir())


@pytest.mark.parametrize("step", ["mark_refused", "mark_sent"])
def test_a_product_that_was_refused_is_rejected_wherever_the_run_was_interrupted(
    client, alias, bundle, tmp_path, monkeypatch, step
):
    catalogue = write(tmp_path / "c.jsonl", *PRODUCTS, BAD[-1])
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Spool, step, interrupted_after(getattr(Spool, step)))
        index(catalogue, bundle, alias, client=client)
    done = index(catalogue, bundle, alias, client=client)
    assert (done.read, done.indexed, done.unchanged, done.rejected) == (8, 7, 0, 1)


def test_a_server_that_goes_away_is_one_line_and_the_alias_stays(bundle, tmp_path):
    with pytest.raises(ServerError, match="nothing answers at http") as error:
        index(write(tmp_path / "c.jsonl", *PRODUCTS), bundle, "products", url="http://127.0.0.1:1")
    assert "\n" not in str(error.value)
