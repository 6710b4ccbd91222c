"""A catalogue after changes of a taxonomy: categories follow, everything else stays."""

import gzip

import orjson
import pytest

from shelfwise_indexer.catalogue import CatalogueError
from shelfwise_indexer.relabel import carried_paths, relabel
from shelfwise_indexer.taxonomy_changes import Change, Changes

CHANGES = Changes(
    (
        Change(1, "renamed", (("Home", "Cups"),), (("Home", "Bowls"),)),
        Change(2, "merged", (("Home", "Mugs"), ("Home", "Beakers")), (("Home", "Mugs"),)),
        Change(3, "split", (("Home", "Kettles"),), (("Home", "Electric"), ("Home", "Hob"))),
    )
)


@pytest.fixture
def migrated(tmp_path, monkeypatch):
    """Writes a file of these lines, relabels it, and gives what was done and the records written."""
    monkeypatch.chdir(tmp_path)

    def run(*lines, name="catalogue.jsonl"):
        texts = [line if isinstance(line, str) else orjson.dumps(line).decode() for line in lines]
        (tmp_path / name).write_text("\n".join(texts) + "\n")
        done = relabel(tmp_path / name, CHANGES, tmp_path / "next.jsonl")
        return done, [orjson.loads(line) for line in (tmp_path / "next.jsonl").read_bytes().splitlines()]

    return run


def test_categories_follow_in_the_shape_in_which_they_were_written(migrated):
    done, records = migrated(
        {"id": 1, "title": "a", "category": "Home > Cups"},
        {"id": 2, "title": "b", "category": ["Home", "Cups"]},
        {"id": 3, "title": "c", "category": [["Home", "Cups"], ["Sports"]]},
        {"id": 4, "title": "d", "categories": ["Home>Cups", "Home > Mugs", "Home > Beakers"]},
        {"id": 5, "title": "e", "category": "Home &gt; Cups"},
    )
    assert records[0]["category"] == "Home > Bowls"
    assert records[1]["category"] == ["Home", "Bowls"]
    assert records[2]["category"] == [["Home", "Bowls"], ["Sports"]]
    assert records[3]["categories"] == ["Home > Bowls", "Home > Mugs"]
    assert records[4]["category"] == "Home > Bowls"
    assert (done.read, done.written, done.changed, done.undecided, done.rejected) == (5, 5, 5, 0, 0)


def test_every_other_field_stays_and_so_does_the_order(migrated):
    record = {"z": None, "id": "1", "title": "caf\u00e9", "price": 1.10, "category": "Home > Cups", "a": {"b": [1, {}]}}
    kept = {"id": 7, "title": "x", "category": "Home>Mugs", "category_old": "Home > Cups"}
    _, records = migrated(record, kept)
    assert list(records[0]) == list(record)
    assert records == [record | {"category": "Home > Bowls"}, kept]


def test_a_split_category_is_taken_off_and_its_products_are_named(migrated, capsys):
    done, records = migrated(
        {"id": 1, "title": "a", "category": "Home > Kettles"},
        {"id": 2, "title": "b", "categories": ["Home > Kettles", "Home > Cups"]},
    )
    assert records == [{"id": 1, "title": "a"}, {"id": 2, "title": "b", "categories": ["Home > Bowls"]}]
    assert done.undecided == 2
    assert "line 1: product 1: its category was split" in capsys.readouterr().err


def test_what_is_read_is_written_or_rejected_and_the_rejected_are_named(migrated, tmp_path, capsys):
    good = {"id": 1, "title": "a", "category": "Home > Cups"}
    done, records = migrated("{nope", good, {"id": 2}, good)
    assert (done.read, done.written, done.rejected) == (4, 1, 3)
    assert [record["id"] for record in records] == [1]
    err = capsys.readouterr().err
    assert all(part in err for part in ("line 1: not JSON", "line 3: product 2: title", "line 4: product 1: dup"))
    letters = [orjson.loads(line) for line in done.dead_letters.read_bytes().splitlines()]
    assert [letter["line"] for letter in letters] == [1, 3, 4]


def test_a_line_that_could_not_be_written_again_is_rejected(migrated):
    deep = '{"id": 2, "title": "b", "a": ' + "[" * 300 + "]" * 300 + "}"
    done, records = migrated({"id": 1, "title": "a"}, deep)
    assert (done.read, done.written, done.rejected) == (2, 1, 1)
    assert [record["id"] for record in records] == [1]


def test_a_second_time_changes_nothing(migrated, tmp_path):
    migrated({"id": 1, "title": "a", "category": "Home > Cups"}, {"id": 2, "title": "b"})
    done = relabel(tmp_path / "next.jsonl", CHANGES, tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "next.jsonl").read_bytes()
    assert done.changed == 0
    assert carried_paths(tmp_path / "next.jsonl") == {("Home", "Bowls")}


def test_dead_letters_stay_letters_and_those_that_are_not_mended_are_rejected(migrated):
    def letter(line, **record):
        return {"file": "shop.csv", "line": line, "id": None, "reason": "r", "record": record}

    first = letter(7, id="1", title="a", category="Home > Cups")
    done, written = migrated(first, letter(8, id="2"), "", letter(9, id="3", title="c"))
    after = first | {"record": first["record"] | {"category": "Home > Bowls"}}
    assert written == [after, letter(9, id="3", title="c")]
    assert (done.read, done.written, done.changed, done.rejected) == (3, 2, 1, 1)


def test_letters_among_products_are_refused_before_anything_is_written(migrated, tmp_path):
    letter = {"file": "shop.csv", "line": 1, "id": None, "reason": "r", "record": {"id": "2", "title": "b"}}
    with pytest.raises(CatalogueError, match="line 2: is a dead letter"):
        migrated({"id": "1", "title": "a"}, letter)
    with pytest.raises(CatalogueError, match="line 2: is a dead letter"):
        carried_paths(tmp_path / "catalogue.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["catalogue.jsonl"]


def test_a_csv_comes_out_as_json_lines(migrated):
    _, records = migrated("id,title,category", "1,a,Home > Cups", name="catalogue.csv")
    assert records == [{"id": "1", "title": "a", "category": "Home > Bowls"}]


def test_a_file_that_is_cut_off_is_refused_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packed = gzip.compress(b"".join(orjson.dumps({"id": str(n), "title": f"Mug {n}"}) + b"\n" for n in range(5000)))
    (tmp_path / "shop.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(CatalogueError, match=r"shop\.jsonl\.gz, line \d+: the file is cut off"):
        relabel(tmp_path / "shop.jsonl.gz", Changes(()), tmp_path / "new.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["shop.jsonl.gz"]


def test_a_file_that_cannot_be_written_is_refused_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.jsonl").write_text('{"id": 1, "title": "a"}\n')
    with pytest.raises(CatalogueError, match=r"ends in \.jsonl"):
        relabel("c.jsonl", CHANGES, tmp_path / "next.csv")
    with pytest.raises(CatalogueError, match="cannot be written"):
        relabel("c.jsonl", CHANGES, tmp_path / "none" / "next.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["c.jsonl"]
