"""Lines that stand as they stood are not read again, and what comes of it is what reading them all gives."""

import orjson
import pytest
from elasticsearch import NotFoundError

from shelfwise.clone import clone_index
from shelfwise.errors import ServerError
from shelfwise.index import rollback
from shelfwise.live_index import live
from shelfwise.position import position
from shelfwise_indexer import catalogue, index_run, kept_lines
from shelfwise_indexer.ingest import index
from shelfwise_indexer.kept_lines import KeptLines
from shelfwise_indexer.known_lines import Known, read_unknown, source_of
from small_shop import held, products, small_bundle, write


@pytest.fixture
def bundle(tmp_path):
    return small_bundle(tmp_path / "bundle")


def changed(before: list[dict[str, object]]) -> list[dict[str, object]]:
    """One with another text and one with another price, one gone, one new, and the lines in another order."""
    after = [dict(product) for product in before if product["id"] != "p030"]
    after[0]["title"] = "mug of steel"
    after[1]["price"] = 99.5
    return [{"id": "new", "title": "glass mug"}, *reversed(after)]


@pytest.fixture
def parsed(monkeypatch):
    """The ids of the products that were parsed."""
    ids, own = [], catalogue.parse_product
    monkeypatch.setattr(catalogue, "parse_product", lambda record: ids.append(record.get("id")) or own(record))
    return ids


def forget_lines(tmp_path):
    for file in (tmp_path / "cache" / "shelfwise" / "vectors").glob("*/lines.json"):
        file.unlink()


def on_a_server(test):
    return pytest.mark.es(pytest.mark.usefixtures("own_folders")(test))


@on_a_server
def test_only_lines_that_changed_are_parsed_and_the_index_is_what_parsing_all_gives(
    client, alias, bundle, tmp_path, parsed
):
    file = write(tmp_path / "c.jsonl", products())
    index(file, bundle, alias, client=client)
    parsed.clear()
    bad = orjson.dumps(products()[2] | {"title": "a second p002"})
    done = index(write(file, changed(products()), bad, b"not json"), bundle, alias, client=client)
    assert parsed == ["new", "p001", "p000", "p002"]
    assert (done.read, done.indexed, done.unchanged, done.rejected, done.written) == (42, 2, 38, 2, 3)
    index(file, bundle, f"{alias}-whole", client=client)
    encoded = ("p000", "new")
    assert held(client, alias, encoded) == held(client, f"{alias}-whole", encoded)
    parsed.clear()
    again = index(file, bundle, alias, client=client)  # what was known in one run is known in the next
    assert parsed == ["p002"]
    assert (again.read, again.unchanged, again.rejected, again.written) == (42, 40, 2, 0)


@on_a_server
def test_where_the_server_was_written_to_every_line_is_read(client, alias, bundle, tmp_path, parsed):
    file = write(tmp_path / "c.jsonl", products())
    index(file, bundle, alias, client=client)
    before = held(client, alias)
    client.update(index=live(client, alias).name, id="p001", doc={"price": 1234}, refresh=True)
    parsed.clear()
    assert index(file, bundle, alias, client=client).written == 1
    assert len(parsed) == 40
    assert held(client, alias) == before


@on_a_server
def test_a_product_that_was_deleted_in_the_index_comes_back(client, alias, bundle, tmp_path):
    file = write(tmp_path / "c.jsonl", products())
    index(file, bundle, alias, client=client)
    client.delete(index=live(client, alias).name, id="p001")
    assert index(file, bundle, alias, client=client).indexed == 1
    assert len(held(client, alias)) == 40


def assert_put_right_by_the_next_run(client, alias, file, bundle):
    """What somebody wrote meanwhile went live, and the run after that writes what the catalogue has."""
    assert held(client, alias)["p005"]["price"] == 1234
    assert index(file, bundle, alias, client=client).written == 1
    assert held(client, alias)["p005"]["price"] == 5


@on_a_server
def test_what_was_written_between_reading_and_cloning_is_put_right_by_the_next_run(
    client, alias, bundle, tmp_path, monkeypatch
):
    file = write(tmp_path / "c.jsonl", products())
    index(file, bundle, alias, client=client)

    def late(client, original, *rest):
        client.update(index=original.name, id="p005", doc={"price": 1234})
        return clone_index(client, original, *rest)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(index_run, "clone_index", late)
        index(write(file, changed(products())), bundle, alias, client=client)
    assert_put_right_by_the_next_run(client, alias, file, bundle)


@on_a_server
def test_the_lines_of_a_run_that_went_on_are_not_believed(client, alias, bundle, tmp_path, monkeypatch):
    """What it compared before it was cut short was compared with an index that may have been another since."""
    file = write(tmp_path / "c.jsonl", products())
    index(file, bundle, alias, client=client)

    def cut_short(*given):
        raise ServerError("gone")

    with monkeypatch.context() as while_cut:
        while_cut.setattr(index_run, "clone_index", cut_short)
        with pytest.raises(ServerError, match="gone"):
            index(write(file, changed(products())), bundle, alias, client=client)
    client.update(index=live(client, alias).name, id="p005", doc={"price": 1234})
    index(file, bundle, alias, client=client)
    assert_put_right_by_the_next_run(client, alias, file, bundle)


@on_a_server
def test_after_a_rollback_the_lines_of_the_other_run_are_not_believed(client, alias, bundle, tmp_path, parsed):
    file = write(tmp_path / "c.jsonl", products())
    index(file, bundle, alias, client=client)
    index(write(file, changed(products())), bundle, alias, client=client)
    rollback(client, alias)
    parsed.clear()
    done = index(file, bundle, alias, client=client)
    assert len(parsed) == 40
    assert (done.unchanged, done.written) == (38, 3)


@on_a_server
def test_where_much_has_changed_a_new_index_is_filled_from_what_was_known(client, alias, bundle, tmp_path, parsed):
    file = write(tmp_path / "c.jsonl", products())
    index(file, bundle, alias, client=client)
    dearer = [one | {"price": 1000} if n % 2 else one for n, one in enumerate(products())]
    parsed.clear()
    done = index(write(file, dearer), bundle, alias, client=client)
    assert (len(parsed), done.unchanged, done.written) == (20, 40, 40)
    index(file, bundle, f"{alias}-whole", client=client)
    assert held(client, alias) == held(client, f"{alias}-whole")


@on_a_server
def test_a_product_that_the_server_refused_is_read_and_refused_again(client, alias, bundle, tmp_path):
    deep: dict[str, object] = {}
    for _ in range(30):
        deep = {"a": deep} if deep else {"a": 1}
    file = write(tmp_path / "c.jsonl", [*products(), {"id": "deep", "title": "tent", "attributes": deep}])
    assert index(file, bundle, alias, client=client).rejected == 1
    assert index(file, bundle, alias, client=client).rejected == 1


@on_a_server
def test_another_program_reads_every_line(client, alias, bundle, tmp_path, parsed, monkeypatch):
    file = write(tmp_path / "c.jsonl", products())
    index(file, bundle, alias, client=client)
    parsed.clear()
    monkeypatch.setattr(kept_lines, "_program", lambda: "a later one")
    assert index(file, bundle, alias, client=client).written == 0
    assert len(parsed) == 40


@on_a_server
def test_a_server_that_does_not_say_how_far_it_was_written_costs_a_full_reading(
    client, alias, bundle, tmp_path, parsed, monkeypatch
):
    file = write(tmp_path / "c.jsonl", products())
    monkeypatch.setattr(index_run, "position", lambda client, index: None)
    index(file, bundle, alias, client=client)
    parsed.clear()
    assert index(file, bundle, alias, client=client).unchanged == 40
    assert len(parsed) == 40


@on_a_server
def test_every_write_changes_how_far_an_index_is_written_and_nothing_else_does(client, alias, bundle):
    client.indices.create(index=alias)
    seen = [position(client, alias)]
    for write_one in (
        lambda: client.index(index=alias, id="1", document={"a": 1}),
        lambda: client.update(index=alias, id="1", doc={"a": 2}),
        lambda: client.delete(index=alias, id="1"),
    ):
        write_one()
        seen.append(position(client, alias))
    assert len({orjson.dumps(one) for one in seen}) == 4
    client.indices.refresh(index=alias)
    client.indices.flush(index=alias)
    client.indices.put_mapping(index=alias, meta={"a": 1})
    assert position(client, alias) == seen[-1]
    assert position(client, f"{alias}-none") is None
    with pytest.raises(NotFoundError):
        client.indices.stats(index=f"{alias}-none")


def test_a_known_line_is_recognised_whatever_white_space_is_around_it(tmp_path):
    line = b'{"id": "1", "title": "mug"}'
    path = tmp_path / "c.jsonl"
    path.write_bytes(b" " + line + b" \r\n\n" + line)
    document = {"id": "1", "title": "mug", "category": ["A > B"]}
    first, second = read_unknown(
        path, lambda sources: [document if one == source_of(line) else None for one in sources]
    )
    assert (first, first.id, first.categories) == (Known(1, document, source_of(line)), "1", ["A > B"])
    assert (second.line, "duplicate id" in second.reason) == (3, True)


def test_nothing_known_reads_as_ever(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_bytes(b'{"id": "1", "title": "mug"}\nnot json\n{"id": "1", "title": "again"}\n')
    ours, plain = list(read_unknown(path, KeptLines().documents)), list(catalogue.read(path))
    assert ours[1:] == plain[1:]
    assert (ours[0].line, ours[0].product) == (plain[0].line, plain[0].product)


def test_an_empty_catalogue_is_refused_at_once(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_bytes(b"\n")
    with pytest.raises(catalogue.CatalogueError, match="empty"):
        read_unknown(path, KeptLines().documents)
