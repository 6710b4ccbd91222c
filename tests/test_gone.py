"""What a catalogue lacks goes with the live index: it is said, and where it is most of it, nothing goes live."""

import orjson
import pytest

from shelfwise.live_index import live
from shelfwise_indexer import gone, index_run
from shelfwise_indexer.catalogue import Rejected
from shelfwise_indexer.dead_letters import DeadLetters
from shelfwise_indexer.gone import CatalogueShrank, Gone
from shelfwise_indexer.ingest import index
from small_shop import held, products, small_bundle, write

DEEP = orjson.loads('{"a":' * 30 + "1" + "}" * 30)


@pytest.mark.parametrize(("of", "many", "refused"), [(1_000, 500, False), (1_000, 501, True), (999, 999, False)])
def test_more_than_half_of_a_thousand_products_do_not_go_unasked(of, many, refused):
    going = Gone("live-1", of, tuple(f"p{n:04}" for n in range(many)))
    if not refused:
        going.check("c.jsonl", "shop")
        return
    with pytest.raises(CatalogueShrank, match="--allow-shrink") as error:
        going.check("c.jsonl", "shop")
    said = "c.jsonl: 501 of the 1,000 products of index live-1 would be gone, the first p0000, p0001, p0002: alias shop"
    assert str(error.value).startswith(said)


def test_those_whose_lines_were_rejected_are_said_first_and_by_themselves(tmp_path, monkeypatch):
    monkeypatch.setattr("shelfwise.messages.SAID", 2)
    with DeadLetters(tmp_path / "letters.jsonl", "c.jsonl") as letters:
        for id_ in ("b", "other", None):
            letters.write(Rejected(1, "price must be a number", "{}", id_))
    assert list(Gone("live-1", 9, ("a", "b", "c", "d")).messages("live-2", letters)) == [
        "1 products that are in live-1 are not in live-2, which is live now, because they were rejected: mend `record` "
        f"in {tmp_path}/letters.jsonl and index that file:",
        "b",
        "3 products that are in live-1 are not in live-2, which is live now, because the catalogue lacks them, or has "
        "them on 1 rejected lines without an id:",
        "a",
        "c",
        "and 1 more products",
    ]
    assert list(Gone("live-1", 9).messages("live-2", letters)) == []


@pytest.fixture
def bundle(tmp_path):
    return small_bundle(tmp_path / "bundle")


@pytest.mark.es
@pytest.mark.usefixtures("own_folders")
class TestOfTheLiveIndex:
    @pytest.mark.parametrize("left", [37, 3])  # a clone; a new index
    def test_what_the_catalogue_lacks_is_counted_and_said(self, client, alias, bundle, tmp_path, capsys, left):
        catalogue = write(tmp_path / "c.jsonl", products())
        first = index(catalogue, bundle, alias, client=client)
        assert (first.gone, "are not in" in capsys.readouterr().err) == (0, False)
        done = index(write(catalogue, products()[:left]), bundle, alias, client=client)
        said = capsys.readouterr().err
        assert (done.gone, done.to_json()["gone"]) == (40 - left, 40 - left)
        assert f"{40 - left} products that are in {first.index} are not in {done.index}" in said
        assert "because the catalogue lacks them:\n" in said
        assert "\np037\n" in said or "and 17 more products" in said
        again = index(catalogue, bundle, alias, client=client)
        assert (again.gone, "are not in" in capsys.readouterr().err) == (0, False)

    def test_a_live_product_whose_line_is_broken_tonight_is_named_with_what_to_do(
        self, client, alias, bundle, tmp_path, capsys
    ):
        catalogue = write(tmp_path / "c.jsonl", products())
        first = index(catalogue, bundle, alias, client=client)
        records = [*products(), {"id": "new", "title": "mug", "price": "abc"}, {"id": "p001", "title": "second"}]
        records[5]["price"], records[7]["attributes"] = "abc", DEEP
        done = index(write(catalogue, records), bundle, alias, client=client)
        assert (done.rejected, done.gone) == (4, 2)
        said = capsys.readouterr().err
        assert f"2 products that are in {first.index} are not in {done.index}" in said
        assert f"because they were rejected: mend `record` in c.{alias}.dead-letters.jsonl and index that" in said
        assert "file:\np005\np007\n" in said
        assert "the catalogue lacks them" not in said
        assert held_ids(client, first.index) - held_ids(client, alias) == {"p005", "p007"}

    def test_dead_letters_that_join_what_is_live_make_nothing_gone(self, client, alias, bundle, tmp_path, monkeypatch):
        monkeypatch.setattr(gone, "LARGE", 40)
        catalogue = write(tmp_path / "c.jsonl", [*products(), {"id": "x", "title": "mug", "price": "abc"}])
        letters = index(catalogue, bundle, alias, client=client).dead_letters
        letters.write_text(letters.read_text().replace('"abc"', "3"))
        done = index(letters, bundle, alias, client=client)
        assert (done.indexed, done.gone, len(held(client, alias))) == (1, 0, 41)

    def test_where_most_would_be_gone_nothing_goes_live_until_that_is_allowed(
        self, client, alias, bundle, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(gone, "LARGE", 40)
        monkeypatch.setattr(index_run, "SEGMENT", 4)
        catalogue = write(tmp_path / "c.jsonl", products())
        before = index(catalogue, bundle, alias, client=client).index
        write(catalogue, [record | {"title": f"glass mug {n}"} for n, record in enumerate(products()[:19])])
        with pytest.raises(CatalogueShrank, match=f"21 of the 40 products of index {before} would be gone"):
            index(catalogue, bundle, alias, client=client)
        assert live(client, alias).name == before
        assert list(client.indices.get(index=f"{alias}-*")) == [before]
        encoded, own = [], type(bundle.encoder).encode_documents
        monkeypatch.setattr(
            type(bundle.encoder),
            "encode_documents",
            lambda self, texts: encoded.extend(texts) or own(self, texts),
        )
        done = index(catalogue, bundle, alias, client=client, allow_shrink=True)
        assert (done.indexed, done.gone, len(held(client, alias)), encoded) == (19, 21, 19, [])

    def test_what_the_server_refuses_may_be_too_much_as_well(self, client, alias, bundle, tmp_path, monkeypatch):
        monkeypatch.setattr(gone, "LARGE", 40)
        catalogue = write(tmp_path / "c.jsonl", products())
        before = index(catalogue, bundle, alias, client=client).index
        records = [record | ({"attributes": DEEP} if n < 25 else {}) for n, record in enumerate(products())]
        with pytest.raises(CatalogueShrank, match="25 of the 40 products"):
            index(write(catalogue, records), bundle, alias, client=client)
        assert live(client, alias).name == before
        done = index(catalogue, bundle, alias, client=client, allow_shrink=True)
        assert (done.rejected, done.gone, len(held(client, alias))) == (25, 25, 15)

    def test_what_the_shop_wrote_while_the_run_was_on_is_not_gone(
        self, client, alias, bundle, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.setattr(gone, "LARGE", 40)
        catalogue, own = write(tmp_path / "c.jsonl", products()), index_run.encode
        before = index(catalogue, bundle, alias, client=client).index
        client.index(index=before, id="earlier", document={"id": "earlier", "title": "steel jug"})

        def late(*given):
            for n in range(60):
                client.index(index=before, id=f"new{n}", document={"id": f"new{n}", "title": "steel jug"})
            client.update(index=before, id="p000", doc={"price": 5})
            return own(*given)

        monkeypatch.setattr(index_run, "encode", late)
        done = index(write(catalogue, products()[1:]), bundle, alias, client=client)
        assert done.gone == 2
        assert "because the catalogue lacks them:\nearlier\np000\n" in capsys.readouterr().err
        assert len(held_ids(client, alias)) == 39 + 60


def held_ids(client, alias) -> set[str]:
    client.indices.refresh(index=alias)
    return {hit["_id"] for hit in client.search(index=alias, size=1_000, source=False)["hits"]["hits"]}
