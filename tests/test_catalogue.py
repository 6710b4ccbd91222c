"""The catalogue: one bad line costs one line, whatever the format."""

import gzip
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from shelfwise.errors import UsageError
from shelfwise_indexer.catalogue import (
    CatalogueError,
    DeadLetters,
    Rejected,
    Row,
    dead_letters_path,
    file_hash,
    holds_dead_letters,
    read,
)
from shelfwise_indexer.events import read_events

KETTLE = {"id": "k1", "title": "Kettle", "price": 29.5, "category": ["Kitchen", "Kettles"], "colour": "red"}
MUG = {"id": "m1", "title": "马克杯", "categories": [["Kitchen", "Mugs"], ["Gifts"]], "in_stock": True}


def lines_file(path: Path, *lines: object) -> Path:
    path.write_bytes(b"".join((x if isinstance(x, bytes) else json.dumps(x).encode()) + b"\n" for x in lines))
    return path


def rows_of(path: Path) -> list[Row]:
    return [row for row in read(path) if isinstance(row, Row)]


def rejected_of(path: Path, **options: int) -> list[Rejected]:
    return [row for row in read(path, **options) if isinstance(row, Rejected)]


def test_a_row_holds_the_product_its_line_and_the_record_as_the_shop_wrote_it(tmp_path):
    (kettle, mug) = rows_of(lines_file(tmp_path / "shop.jsonl", KETTLE, MUG))
    assert (kettle.line, kettle.product.id, kettle.product.categories) == (1, "k1", (("Kitchen", "Kettles"),))
    assert kettle.product.attributes == {"colour": "red"}
    assert (mug.line, mug.record) == (2, MUG)


def test_blank_lines_are_passed_over_but_counted(tmp_path):
    path = lines_file(tmp_path / "shop.jsonl", b"", KETTLE, b"   ", b"\r", MUG)
    assert [row.line for row in read(path)] == [2, 5]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id": "x", "title": ', "not JSON"),
        (b"[1, 2]", "expected an object with at least id and title, got [1,2]"),
        (b'"kettle"', "expected an object"),
        (b'{"id": "x", "title": "caf\xe9"}', "not UTF-8: byte 0xe9 at column 26"),
        (b'{"title": "Kettle"}', "id is missing"),
        (b'{"id": "x"}', "product x: title is missing"),
        (b'{"id": "x", "title": "<br> &nbsp;"}', "product x: title is missing or empty"),
        (b'{"id": "x", "title": "Kettle", "price": "dear"}', "product x: price must be a number, got 'dear'"),
        (b'{"id": "x", "title": "Kettle", "category": ["A", ""]}', "product x: category"),
        (b'{"id": "k1", "title": "Another"}', "product k1: duplicate id"),
    ],
)
def test_a_bad_line_is_rejected_with_the_reason_and_the_others_are_read(tmp_path, line, reason):
    rows = list(read(lines_file(tmp_path / "shop.jsonl", KETTLE, line, MUG)))
    assert [type(row) for row in rows] == [Row, Rejected, Row]
    assert rows[1].line == 2
    assert reason in rows[1].reason


def nested(depth: int) -> bytes:
    """A product that is an object of so many levels."""
    return b'{"id": "x", "title": "Kettle", "a": ' + b'{"a":' * (depth - 1) + b"1" + b"}" * depth


@pytest.mark.parametrize("depth", [101, 255, 1024])
def test_a_line_that_is_nested_too_deep_to_be_written_is_rejected_and_can_be_mended(tmp_path, depth):
    path, letters_path = lines_file(tmp_path / "shop.jsonl", KETTLE, nested(depth)), tmp_path / "letters.jsonl"
    for _ in range(2):  # the second time what is read are letters
        (rejected,) = rejected_of(path)
        assert "nested deeper than 100 levels" in rejected.reason
        assert rejected.record_text.encode() == nested(depth)
        with DeadLetters(letters_path, source=path) as letters:
            letters.write(rejected)
        path = Path(letters_path).replace(tmp_path / "mended.jsonl")
    assert holds_dead_letters(path)
    letter = json.loads(path.read_text())
    letter["record"] = '{"id": "x", "title": "Kettle"}'
    assert [row.id for row in rows_of(lines_file(path, letter))] == ["x"]


def test_a_letter_whose_record_is_still_too_deep_as_an_object_can_be_mended(tmp_path):
    letter = b'{"file": "f", "line": 1, "id": null, "reason": "r", "record": ' + nested(300) + b"}"
    (rejected,) = rejected_of(lines_file(tmp_path / "letters.jsonl", letter))
    with DeadLetters(tmp_path / "again.jsonl", source="letters.jsonl") as letters:
        letters.write(rejected)
    mended = (tmp_path / "again.jsonl").read_bytes().replace(b'{\\"a\\":' * 299 + b"1" + b"}" * 299, b"1")
    (tmp_path / "again.jsonl").write_bytes(mended)
    (row,) = rows_of(tmp_path / "again.jsonl")
    assert row.record == {"id": "x", "title": "Kettle", "a": 1}


def test_a_line_of_the_deepest_nesting_is_read_and_so_is_its_letter(tmp_path):
    (row,) = rows_of(lines_file(tmp_path / "shop.jsonl", nested(100)))
    with DeadLetters(tmp_path / "letters.jsonl", source="shop.jsonl") as letters:
        letters.write(row.rejected("the server refused it"))
    assert [again.record for again in rows_of(tmp_path / "letters.jsonl")] == [row.record]


def test_of_products_with_one_id_the_first_is_kept(tmp_path):
    path = lines_file(tmp_path / "shop.jsonl", {"id": 7, "title": "first"}, {"id": "7", "title": "second"})
    first, second = read(path)
    assert (first.product.title, second.line, second.id) == ("first", 2, "7")


def test_a_rejected_product_does_not_take_its_id(tmp_path):
    path = lines_file(tmp_path / "shop.jsonl", {"id": "a", "title": ""}, {"id": "a", "title": "Kettle"})
    assert [row.product.title for row in rows_of(path)] == ["Kettle"]


def test_a_line_over_the_limit_is_rejected_without_being_held_and_the_next_is_read(tmp_path):
    path = lines_file(tmp_path / "shop.jsonl", {"id": "x", "title": "y" * 3_000_000}, KETTLE)
    long, kettle = read(path, max_line_bytes=10_000)
    assert long.reason == (
        "line is longer than 10,000 bytes: only its first 1,000 are here; shorten line 1 of the file itself, which "
        "has the whole"
    )
    assert len(long.record_text) == 1_000
    assert (kettle.line, kettle.product.id) == (2, "k1")


def test_a_line_of_exactly_the_limit_is_read(tmp_path):
    path = lines_file(tmp_path / "shop.jsonl", KETTLE)
    size = path.stat().st_size - 1
    assert rejected_of(path, max_line_bytes=size) == []
    assert len(rejected_of(path, max_line_bytes=size - 1)) == 1


@pytest.mark.parametrize("name", ["shop.jsonl", "shop.csv"])
def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path, name):
    text = json.dumps(KETTLE) if name == "shop.jsonl" else "id,title\nk1,Kettle"
    (tmp_path / name).write_text(text + "\n", encoding="utf-8-sig")
    assert [row.product.id for row in rows_of(tmp_path / name)] == ["k1"]


def test_a_gzip_file_that_is_cut_off_gives_its_rows_and_one_rejection(tmp_path):
    products = [{"id": str(n), "title": f"Kettle {os.urandom(40).hex()}"} for n in range(2_000)]
    whole = gzip.compress(lines_file(tmp_path / "plain.jsonl", *products).read_bytes())
    (tmp_path / "shop.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    *rows, last = read(tmp_path / "shop.jsonl.gz")
    assert all(isinstance(row, Row) for row in rows)
    assert 800 < len(rows) < 1_200
    assert isinstance(last, Rejected)
    assert last.line == len(rows) + 1
    assert "cut off" in last.reason
    assert last.cut_off


def test_a_gzip_file_with_a_flipped_byte_does_not_raise(tmp_path):
    packed = bytearray(gzip.compress(b"".join(json.dumps(KETTLE | {"id": n}).encode() + b"\n" for n in range(5_000))))
    packed[len(packed) // 2] ^= 0xFF
    (tmp_path / "shop.jsonl.gz").write_bytes(bytes(packed))
    *_, last = read(tmp_path / "shop.jsonl.gz")
    assert isinstance(last, Rejected)


@given(
    content=st.binary(max_size=400)
    | st.lists(st.sampled_from([b'{"id":"a","title":"b"}', b"[", b"\xff", b"", b" ", b"\r"])).map(b"\n".join)
)
def test_every_non_blank_line_of_any_bytes_comes_out_as_row_or_rejected(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "shop.jsonl"
    path.write_bytes(content)
    content = content.removeprefix(b"\xef\xbb\xbf")
    wanted = [n for n, line in enumerate(content.split(b"\n"), start=1) if line.strip()]
    if content.strip().startswith(b"["):
        with pytest.raises(CatalogueError, match="begins a JSON array"):
            read(path)
    elif wanted:
        assert [row.line for row in read(path)] == wanted
    else:
        with pytest.raises(CatalogueError, match="empty"):
            read(path)


@given(content=st.binary(max_size=300) | st.text(alphabet='",;\na1 "', max_size=80).map(str.encode))
def test_no_bytes_under_a_csv_header_raise(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "shop.csv"
    path.write_bytes(b"id,title\n" + content)
    try:
        rows = list(read(path))
    except CatalogueError as error:
        assert "empty" in str(error)
        assert not content.strip()
    else:
        assert [row.line for row in rows] == sorted({row.line for row in rows})


class TestFileErrors:
    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("none.jsonl", None, "there is no such file"),
            ("shop.xlsx", b"PK", "of no known kind: expected a name that ends in .jsonl"),
            ("shop.jsonl", b"", "the catalogue is empty"),
            ("shop.jsonl", b"\n \n", "the catalogue is empty"),
            ("shop.jsonl.gz", b"", "the catalogue is empty"),
            ("shop.csv", b"", "the catalogue is empty"),
            ("shop.csv", b"id,title\n\n", "the catalogue is empty"),
            ("shop.parquet", b"", "the catalogue is empty"),
            ("shop.jsonl.gz", b'{"id": "a", "title": "b"}\n', "not a gzip file: compress it, or take .gz off its name"),
            ("shop.csv", b"sku,title\n1,Kettle\n", "no column id: expected both id and title, got sku, title"),
            ("shop.csv", b"sku,name\n1,Kettle\n", "no column id and no column title"),
            ("shop.csv", b"id,title,title\n1,a,b\n", "the header names title twice"),
            ("shop.csv", "id,title\n1,a\n".encode("utf-16"), "the header cannot be read"),
            (
                "shop.csv",
                b"id,title\r1,Kettle\r2,Mug\r",
                "its lines end in \\r alone, as on old Macs: save it with Windows",
            ),
            pytest.param(
                "shop.csv", b"id,title\r" + b"1,Kettle\r" * 1_200_000, "lines end in \\r alone", id="one line"
            ),
            ("shop.csv", "id,title\r\n1,a\r\n".encode("utf-16"), "save as UTF-8"),
            ("shop.csv", b"sep=;\n", "the catalogue is empty"),
            ("shop.parquet", b"PAR0 and so on", "not a Parquet file"),
            ("shop.json", b'[\n {"id": "a"}\n]', "line 1: begins a JSON array: expected one object a line"),
        ],
    )
    def test_a_file_that_cannot_be_a_catalogue_is_refused_at_once(self, tmp_path, name, content, message):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(CatalogueError) as caught:
            read(tmp_path / name)
        assert name in str(caught.value)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("extension", [".jsonl", ".ndjson", ".json", ".JSONL.gz"])
    def test_a_json_array_is_refused_with_what_makes_lines_of_it(self, tmp_path, extension):
        text = b'\n[{"id": "a", "title": "Mug"}]'
        packed = extension.endswith(".gz")
        (tmp_path / f"shop{extension}").write_bytes(gzip.compress(text) if packed else text)
        with pytest.raises(CatalogueError) as caught:
            read(tmp_path / f"shop{extension}")
        name = tmp_path / f"shop{extension}"
        made = f"gzip -dc {name} | jq -c '.[]'" if packed else f"jq -c '.[]' {name}"
        wanted = f"expected one object a line ({made} > shop.lines.jsonl)"
        assert str(caught.value) == f"{name}: line 2: begins a JSON array: {wanted}"

    def test_a_folder_is_refused(self, tmp_path):
        (tmp_path / "shop.jsonl").mkdir()
        with pytest.raises(CatalogueError, match="is a folder"):
            read(tmp_path / "shop.jsonl")

    def test_a_parquet_file_without_title_is_refused(self, tmp_path):
        parquet.write_table(pa.table({"id": ["a"], "name": ["b"]}), tmp_path / "shop.parquet")
        with pytest.raises(CatalogueError, match="no column title: expected both id and title, got id, name"):
            read(tmp_path / "shop.parquet")

    def test_a_parquet_file_that_names_a_column_twice_is_refused(self, tmp_path):
        table = pa.table([pa.array(["a"]), pa.array(["Pan"]), pa.array(["Pot"])], names=["id", "title", "title"])
        parquet.write_table(table, tmp_path / "shop.parquet")
        with pytest.raises(CatalogueError, match="the header names title twice"):
            list(read(tmp_path / "shop.parquet"))

    def test_a_moment_in_a_time_zone_that_nobody_knows_is_a_rejected_row(self, tmp_path):
        moments = pa.array([0, None], pa.timestamp("us", tz="PST"))
        table = pa.table({"id": ["a", "b"], "title": ["Pan", "Pot"], "created_at": moments})
        parquet.write_table(table, tmp_path / "shop.parquet")
        bad, good = read(tmp_path / "shop.parquet")
        assert (bad.id, good.product.id) == ("a", "b")
        assert re.search(r"created_at cannot be read \(.*\): expected .* in a known time zone", bad.reason)
        assert "1970-01-01" in bad.record_text

    def test_a_parquet_file_without_rows_is_empty(self, tmp_path):
        parquet.write_table(
            pa.table({"id": pa.array([], pa.string()), "title": pa.array([], pa.string())}), tmp_path / "a.parquet"
        )
        with pytest.raises(CatalogueError, match="empty"):
            read(tmp_path / "a.parquet")


class TestFormats:
    CSV = (
        "id,title,price,category,categories,colour\n"
        "k1,Kettle,29.5,Kitchen > Kettles,,red\n"
        'm1,马克杯,,,Kitchen > Mugs|Gifts,"two\n\nlines, one comma"\n'
    )

    def products(self) -> list[dict]:
        return [
            {"id": "k1", "title": "Kettle", "price": 29.5, "category": ["Kitchen", "Kettles"], "colour": "red"},
            {
                "id": "m1",
                "title": "马克杯",
                "categories": [["Kitchen", "Mugs"], ["Gifts"]],
                "colour": "two\n\nlines, one comma",
            },
        ]

    def test_every_format_gives_the_same_products(self, tmp_path):
        plain = lines_file(tmp_path / "a.jsonl", *self.products())
        (tmp_path / "a.ndjson").write_bytes(plain.read_bytes())
        (tmp_path / "a.json").write_bytes(plain.read_bytes())
        (tmp_path / "A.JSONL.GZ").write_bytes(gzip.compress(plain.read_bytes()))
        (tmp_path / "a.csv").write_text(self.CSV, encoding="utf-8")
        (tmp_path / "b.csv").write_bytes(self.CSV.replace("\n", "\r\n").replace("two\r\n\r\n", "two\n\n").encode())
        (tmp_path / "a.csv.gz").write_bytes(gzip.compress(self.CSV.encode()))
        tabs = self.CSV.replace("lines, one", "lines; one").replace(",", "\t").replace("lines; one", "lines, one")
        (tmp_path / "a.tsv").write_text(tabs, encoding="utf-8")
        (tmp_path / "a.TSV.gz").write_bytes(gzip.compress(tabs.encode()))
        parquet.write_table(
            pa.Table.from_pylist(
                self.products(),
                schema=pa.schema(
                    [
                        ("id", pa.string()),
                        ("title", pa.string()),
                        ("price", pa.float64()),
                        ("category", pa.list_(pa.string())),
                        ("categories", pa.list_(pa.list_(pa.string()))),
                        ("colour", pa.string()),
                    ]
                ),
            ),
            tmp_path / "a.parquet",
        )
        expected = [row.product for row in rows_of(plain)]
        assert len(expected) == 2
        for path in sorted(tmp_path.iterdir()):
            assert [row.product for row in rows_of(path)] == expected, path.name

    def test_standard_input_is_json_lines(self, monkeypatch):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(KETTLE).encode())))
        assert [row.product.id for row in read("-")] == ["k1"]

    def test_standard_input_that_is_closed_is_refused(self, monkeypatch):
        monkeypatch.setattr(sys, "stdin", None)
        with pytest.raises(UsageError, match="standard input is closed: name a file"):
            read("-")
        with pytest.raises(UsageError, match="standard input is closed: name a file"):
            next(read_events("-"))

    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_the_delimiter_is_found_in_the_header(self, tmp_path, delimiter):
        rows = [["ID", " Title ", "sizes, all"], ["k1", "Kettle", "1"]]
        text = "\n".join(delimiter.join(f'"{cell}"' if delimiter in cell else cell for cell in row) for row in rows)
        (tmp_path / "shop.csv").write_text(text)
        (row,) = rows_of(tmp_path / "shop.csv")
        assert (row.product.id, row.product.title, row.product.attributes) == ("k1", "Kettle", {"sizes, all": "1"})

    @pytest.mark.parametrize(
        ("column", "cell", "categories"),
        [
            ("category", "['Home', 'Mugs']", [("Home", "Mugs")]),
            ("category", '["Home", "Mugs"]', [("Home", "Mugs")]),
            ("category", " ['Home' \"Men's\"\n 'Mugs'] ", [("Home", "Men's", "Mugs")]),  # numpy, of a long list
            ("category", "[['Home', 'Mugs'], ['Gifts']]", [("Home", "Mugs"), ("Gifts",)]),
            ("category", "[]", []),
            ("categories", "['Home > Mugs', 'Gifts']", [("Home", "Mugs"), ("Gifts",)]),
            ("category", "Home &gt; Mugs", [("Home", "Mugs")]),
            ("category", "[Sale] > Mugs", [("[Sale]", "Mugs")]),
            ("category", "[Sale]", [("[Sale]",)]),
            ("category", "[Sale] > [Pots]", [("[Sale]", "[Pots]")]),
            ("categories", "[New] A > B|C [Old]", [("[New] A", "B"), ("C [Old]",)]),
        ],
    )
    def test_a_list_in_a_cell_is_read_as_python_and_json_write_it(self, tmp_path, column, cell, categories):
        quoted = cell.replace('"', '""')
        (tmp_path / "shop.csv").write_text(f'id,title,{column}\na,Mug,"{quoted}"\n')
        (row,) = rows_of(tmp_path / "shop.csv")
        assert row.product.categories == tuple(categories)

    @pytest.mark.parametrize("cell", ["[Home, Mugs]", "['Home', 1j]", "['Home', '\\ud800']", "[" * 9999 + "]" * 9999])
    def test_a_cell_that_is_only_like_a_list_is_rejected_and_can_be_mended(self, tmp_path, cell):
        (tmp_path / "shop.csv").write_text(f'id,title,category\na,Mug,"{cell}"\nb,Pan,Home\n')
        bad, good = read(tmp_path / "shop.csv")
        assert (bad.line, bad.id, good.product.id) == (2, "a", "b")
        assert 'category begins and ends as a list, and is none: write ["A", "B"] or A > B' in bad.reason
        assert json.loads(bad.record_text) == {"id": "a", "title": "Mug", "category": cell}

    def test_blanks_in_a_cell_are_nothing_and_around_an_id_no_part_of_it(self, tmp_path):
        (tmp_path / "shop.csv").write_text(
            "id,title,price,variant_of,colour\n KT-1 ,Mug, ,, \nKT-1,Pot,,,\nKT-2,Pan,,KT-1 ,\n"
        )
        mug, pot, pan = read(tmp_path / "shop.csv")
        assert (mug.id, mug.product.price, mug.product.attributes) == ("KT-1", None, {})
        assert "product KT-1: duplicate id" in pot.reason
        assert pan.product.variant_of == "KT-1"

    def test_an_id_of_csv_that_was_made_a_float_is_rejected(self, tmp_path):
        (tmp_path / "shop.csv").write_text("id,title,variant_of\n1.0,Mug,\n2,Mug b,1.0\n3,Pan,v1.0\n")
        first, second, good = read(tmp_path / "shop.csv")
        assert first.reason == "id '1.0' looks like a whole number that was made a float: write 1"
        assert second.reason == "variant_of '1.0' looks like a whole number that was made a float: write 1"
        assert (first.id, second.id, good.product.id) == ("1.0", "2", "3")

    @pytest.mark.parametrize(
        ("delimiter", "cell", "price"),
        [
            (";", "103,13", 103.13),
            (";", " 1.299,50 ", 1299.5),
            (";", "1.234.567,8", 1234567.8),
            (";", "12345,6", 12345.6),
            (";", "1.234", 1.234),  # thousands or thousandths: as it stands
            (";", "103.13", 103.13),
            (";", "0,299", 0.299),
            (";", "1,299", None),  # thousands or thousandths: not as it stands
            (";", "1.2,5", None),
            (",", "103,13", None),
            ("\t", "103,13", None),
        ],
    )
    def test_where_semicolons_part_the_cells_a_number_may_have_a_decimal_comma(self, tmp_path, delimiter, cell, price):
        header, row = delimiter.join(["id", "title", "price", "size"]), delimiter.join(["a", "Mug", f'"{cell}"', "1"])
        (tmp_path / "shop.csv").write_text(f"{header}\n{row}\n")
        [read_row] = read(tmp_path / "shop.csv")
        if price is None:
            assert "price must be a number" in read_row.reason
        else:
            assert read_row.product.price == price

    def test_text_keeps_its_commas_and_so_do_attributes(self, tmp_path):
        (tmp_path / "shop.csv").write_text("id;title;popularity;width\n1,5;2,5;3,5;4,5\n")
        (row,) = rows_of(tmp_path / "shop.csv")
        assert (row.id, row.product.title, row.product.popularity) == ("1,5", "2,5", 3.5)
        assert row.product.attributes == {"width": "4,5"}

    def test_a_dead_letter_of_such_a_file_is_read_again(self, tmp_path):
        (tmp_path / "shop.csv").write_text("id;title;price;in_stock\na;Mug;9,90;perhaps\n")
        (rejected,) = rejected_of(tmp_path / "shop.csv")
        assert json.loads(rejected.record_text)["price"] == "9.90"

    @pytest.mark.parametrize("missing", ["nan", "NaN"])
    def test_what_pandas_makes_of_a_missing_value_is_none(self, tmp_path, missing):
        columns = ["category", "categories", "brand", "price", "variant_of", "in_stock", "created_at"]
        text = f"id,title,{','.join(columns)},grandmother\na,{missing}{f',{missing}' * (len(columns) + 1)}\n"
        (tmp_path / "shop.csv").write_text(text)
        (row,) = rows_of(tmp_path / "shop.csv")
        assert row.record == {"id": "a", "title": missing, "grandmother": missing}

    @pytest.mark.parametrize("line", ["sep=|\n", "\ufeffSEP=|\r\n", '"sep=|"\n\n'])
    def test_the_delimiter_is_the_one_that_excel_writes_before_the_header(self, tmp_path, line):
        (tmp_path / "shop.csv").write_bytes(f"{line}id|title|sizes, all\nk1|Kettle; steel|1\n".encode())
        (row,) = rows_of(tmp_path / "shop.csv")
        assert (row.product.title, row.product.attributes) == ("Kettle; steel", {"sizes, all": "1"})

    def test_a_csv_record_is_on_the_line_where_it_begins(self, tmp_path):
        (tmp_path / "shop.csv").write_text('id,title\na,"two\nlines"\n\nb,one\n')
        assert [(row.line, row.product.id) for row in rows_of(tmp_path / "shop.csv")] == [(2, "a"), (5, "b")]

    def test_a_cell_may_be_as_long_as_a_line(self, tmp_path):
        (tmp_path / "shop.csv").write_text(f'id,title,description\na,Mug,"<p>\n{"x" * 500_000}"\n')
        (row,) = rows_of(tmp_path / "shop.csv")
        assert len(row.product.description) == 500_004

    def test_a_quote_that_is_never_closed_costs_one_line(self, tmp_path):
        (tmp_path / "shop.csv").write_text('id,title\na,"never closed\nb,Kettle\nc,"Mug, red"\nd,Pan\n')
        rows = list(read(tmp_path / "shop.csv"))
        assert [(row.line, type(row)) for row in rows] == [(2, Rejected), (3, Row), (4, Row), (5, Row)]
        assert "not CSV" in rows[0].reason

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (b"x,Kettle,5", "expected 2 cells, as in the header, got 3"),
            (b"x", "expected 2 cells, as in the header, got 1"),
            (b"x,caf\xe9", "not UTF-8: byte 0xe9 at column 6"),
            (b'x,"Pan" 5', "not CSV"),
            (b",Kettle", "id is missing"),
        ],
    )
    def test_a_bad_csv_line_is_rejected_and_the_others_are_read(self, tmp_path, line, reason):
        (tmp_path / "shop.csv").write_bytes(b"id,title\na,Kettle\n" + line + b"\nb,Mug\n")
        rows = list(read(tmp_path / "shop.csv"))
        assert [(row.line, type(row)) for row in rows] == [(2, Row), (3, Rejected), (4, Row)]
        assert reason in rows[1].reason

    def test_parquet_types_that_json_does_not_know_become_what_the_contract_takes(self, tmp_path):
        import datetime
        import decimal

        record = {
            "id": 7,
            "title": "Kettle",
            "price": decimal.Decimal("9.50"),
            "popularity": float("nan"),
            "created_at": datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC),
            "size": {"cm": 3},
            "raw": b"x",
        }
        parquet.write_table(pa.Table.from_pylist([record]), tmp_path / "shop.parquet")
        (row,) = rows_of(tmp_path / "shop.parquet")
        assert (row.product.id, row.product.price, row.product.popularity) == ("7", 9.5, None)
        assert row.product.created_at == "2024-05-01T00:00:00+00:00"
        assert row.product.attributes == {"size": {"cm": 3}, "raw": "x"}

    def test_a_float32_of_parquet_is_the_decimal_that_was_meant(self, tmp_path):
        small = pa.float32()
        table = pa.table(
            {
                "id": ["k1", "m1"],
                "title": ["Kettle", "Mug"],
                "price": pa.array([49.9, None], small),
                "sizes": pa.array([[0.1, None], None], pa.list_(small)),
                "box": pa.array(
                    [{"weight": 1.7, "kind": "tall"}, None], pa.struct([("weight", small), ("kind", pa.string())])
                ),
            }
        )
        parquet.write_table(table, tmp_path / "shop.parquet")
        kettle, mug = (row.product for row in rows_of(tmp_path / "shop.parquet"))
        assert kettle.price == 49.9
        assert kettle.attributes == {"sizes": [0.1, None], "box": {"weight": 1.7, "kind": "tall"}}
        assert (mug.price, mug.attributes) == (None, {})

    def test_whole_decimals_of_parquet_are_whole_numbers(self, tmp_path):
        import decimal

        numbers = [decimal.Decimal(7), decimal.Decimal(8)]
        table = pa.table(
            {
                "id": pa.array(numbers, pa.decimal128(10, 0)),
                "title": ["Kettle", "Mug"],
                "variant_of": pa.array([None, decimal.Decimal(7)], pa.decimal128(10, 2)),
                "watts": pa.array(numbers, pa.decimal128(38, 0)),
                "litres": pa.array(numbers, pa.decimal128(10, 2)),
                "far": pa.array([decimal.Decimal(10**30)] * 2, pa.decimal128(38, 0)),
            }
        )
        parquet.write_table(table, tmp_path / "shop.parquet")
        kettle, mug = rows_of(tmp_path / "shop.parquet")
        assert (kettle.id, mug.id, mug.product.variant_of) == ("7", "8", "7")
        assert json.dumps(kettle.product.attributes) == '{"watts": 7, "litres": 7.0, "far": 1e+30}'

    def test_a_map_of_parquet_is_an_object(self, tmp_path):
        table = pa.table(
            {
                "id": ["k1", "m1"],
                "title": ["Kettle", "Mug"],
                "attributes": pa.array(
                    [[("colour", "red"), ("size", "tall")], None], pa.map_(pa.string(), pa.string())
                ),
                "weights": pa.array([[(1, 0.1)], []], pa.map_(pa.int32(), pa.float32())),
            }
        )
        parquet.write_table(table, tmp_path / "shop.parquet")
        kettle, mug = (row.product for row in rows_of(tmp_path / "shop.parquet"))
        assert kettle.attributes == {"colour": "red", "size": "tall", "weights": {"1": 0.1}}
        assert mug.attributes == {"weights": {}}

    def test_a_parquet_file_that_is_damaged_gives_its_rows_and_one_rejection(self, tmp_path):
        path = tmp_path / "shop.parquet"
        rows = pa.table({"id": [str(n) for n in range(4_000)], "title": [f"Kettle {n}" for n in range(4_000)]})
        parquet.write_table(rows, path, row_group_size=2_000, use_dictionary=False, compression="gzip")
        packed = bytearray(path.read_bytes())
        start = parquet.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
        packed[start : start + 200] = bytes(200)
        path.write_bytes(bytes(packed))
        *good, last = read(path)
        assert good
        assert all(isinstance(row, Row) for row in good)
        assert (last.line, last.cut_off) == (len(good) + 1, True)

    def test_text_of_parquet_that_is_not_utf8_costs_one_row(self, tmp_path):
        titles = pa.array([b"Kettle", b"caf\xe9", b"Mug"], pa.binary()).view(pa.binary())
        text = pa.StringArray.from_buffers(3, titles.buffers()[1], titles.buffers()[2])
        table = pa.table({"id": ["a", "b", "c"], "title": text, "colour": ["red", "blue", "red"]})
        parquet.write_table(table, tmp_path / "shop.parquet")
        rows = list(read(tmp_path / "shop.parquet"))
        assert [(row.line, type(row)) for row in rows] == [(1, Row), (2, Rejected), (3, Row)]
        assert "not UTF-8: byte 0xe9" in rows[1].reason
        assert rows[1].id == "b"
        assert rows[1].record_text == '{"id":"b","title":"caf\\xe9","colour":"blue"}'  # no JSON until it is mended

    def test_bytes_of_parquet_that_are_no_text_leave_the_rest_to_be_mended(self, tmp_path):
        image = {"bytes": b"\x89PNG" + bytes(range(256)) * 100, "path": None}
        table = pa.Table.from_pylist([{"id": "a", "title": "Mug", "price": 3, "image": image}])
        parquet.write_table(table, tmp_path / "shop.parquet")
        [bad] = read(tmp_path / "shop.parquet")
        assert (bad.id, "a value that JSON cannot hold" in bad.reason) == ("a", True)
        assert bad.record_text.startswith('{"id":"a","title":"Mug","price":3,"image":{"bytes":"\\x89PNG')
        assert len(bad.record_text) < 1500

    @pytest.mark.parametrize(
        ("kind", "value", "shown"),
        [
            (pa.timestamp("us"), 2**62, "out of range"),
            (pa.timestamp("us", "UTC"), 2**62, "17036-07-06"),
            (pa.date32(), 3_000_000, "10183-09-21"),
        ],
    )
    def test_a_moment_of_parquet_that_no_calendar_has_costs_one_row(self, tmp_path, kind, value, shown):
        moments = pa.array([0, value, 0], kind)
        table = pa.table({"id": ["a", "b", "c"], "title": ["Kettle", "Mug", "Pan"], "created_at": moments})
        parquet.write_table(table, tmp_path / "shop.parquet")
        rows = list(read(tmp_path / "shop.parquet"))
        assert [(row.line, row.id, type(row)) for row in rows] == [(1, "a", Row), (2, "b", Rejected), (3, "c", Row)]
        assert "created_at cannot be read" in rows[1].reason
        record = json.loads(rows[1].record_text)
        assert (record["title"], shown in record["created_at"]) == ("Mug", True)

    def test_whole_numbers_that_a_gap_in_their_column_made_floats_are_whole_again(self, tmp_path):
        columns = {"id": [1.0, 2.0], "title": ["Kettle", "Mug"], "variant_of": [None, 1.0], "in_stock": [1.0, None]}
        parquet.write_table(pa.table(columns), tmp_path / "shop.parquet")
        kettle, mug = (row.product for row in rows_of(tmp_path / "shop.parquet"))
        assert (kettle.id, kettle.variant_of, kettle.in_stock) == ("1", None, True)
        assert (mug.id, mug.variant_of, mug.in_stock) == ("2", "1", None)

    @pytest.mark.parametrize(
        ("column", "value", "reason"),
        [
            ("price", float("inf"), "price must be a finite number"),
            ("popularity", float("-inf"), "popularity must be a finite number"),
            ("variant_of", 1.5, "variant_of must be a string or a whole number"),
            ("id", 2.0**53, "id must be a string or a whole number"),
            ("in_stock", 2.0, "in_stock must be true or false"),
        ],
    )
    def test_a_float_of_parquet_that_its_field_cannot_hold_is_rejected(self, tmp_path, column, value, reason):
        columns = {"id": [7.0], "title": ["Kettle"], column: [value]}
        parquet.write_table(pa.table(columns), tmp_path / "shop.parquet")
        (rejected,) = rejected_of(tmp_path / "shop.parquet")
        assert reason in rejected.reason


class TestDeadLetters:
    def test_they_hold_file_line_id_reason_and_record(self, tmp_path):
        path = lines_file(tmp_path / "shop.jsonl", {"id": "x", "title": ""}, b"{broken", KETTLE)
        with DeadLetters(tmp_path / "letters.jsonl", source=path) as letters:
            for rejected in rejected_of(path):
                letters.write(rejected)
        first, second = map(json.loads, (tmp_path / "letters.jsonl").read_text().splitlines())
        assert letters.count == 2
        assert first == {
            "file": str(path),
            "line": 1,
            "id": "x",
            "record": {"id": "x", "title": ""},
            "reason": "product x: title is missing or empty: every product needs one",
        }
        assert (second["line"], second["id"], second["record"]) == (2, None, "{broken")

    def test_there_is_no_file_where_nothing_was_rejected(self, tmp_path):
        with DeadLetters(tmp_path / "letters.jsonl", source="shop.jsonl"):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_the_file_of_an_earlier_run_is_put_aside_and_where_is_said(self, tmp_path, capsys):
        path = tmp_path / "letters.jsonl"
        path.write_text("earlier")
        with DeadLetters(path, source="shop.jsonl"):
            pass
        assert not path.exists()
        assert (tmp_path / "letters.jsonl~1").read_text() == "earlier"
        assert f"{path}: the dead letters of an earlier run are in {path}~1 now" in capsys.readouterr().err

    def test_what_was_put_aside_is_never_overwritten(self, tmp_path):
        path = tmp_path / "letters.jsonl"
        path.write_text("mended")
        (tmp_path / "letters.jsonl~").write_text("of an older version")
        (tmp_path / "letters.jsonl~2").symlink_to(tmp_path / "elsewhere")
        for reason in ("first", "second"):
            with DeadLetters(path, source="shop.jsonl") as letters:
                letters.write(Rejected(1, reason, "{}"))
        kept = {one.name: one.read_text() for one in tmp_path.iterdir() if one.exists()}
        assert json.loads(kept.pop("letters.jsonl"))["reason"] == "second"
        assert json.loads(kept.pop("letters.jsonl~3"))["reason"] == "first"
        assert kept == {"letters.jsonl~": "of an older version", "letters.jsonl~1": "mended"}
        assert (tmp_path / "letters.jsonl~2").is_symlink()

    def test_letters_that_are_the_very_same_every_night_are_there_once(self, tmp_path):
        for _ in range(3):
            with DeadLetters(tmp_path / "letters.jsonl", source="shop.jsonl") as letters:
                letters.write(Rejected(1, "no title", "{}"))
        assert [one.name for one in tmp_path.iterdir()] == ["letters.jsonl"]

    def test_they_know_the_products_that_they_are_about(self, tmp_path):
        with DeadLetters(tmp_path / "letters.jsonl", source="shop.jsonl") as letters:
            for id_ in ("a", None, "b"):
                letters.write(Rejected(1, "no title", "{}", id_))
            assert letters.about(["b", "c", "a"]) == {"a", "b"}
            assert letters.nameless == 1

    def test_a_run_that_fails_leaves_those_of_the_last_one_that_did_not_where_they_are(self, tmp_path, capsys):
        path = tmp_path / "letters.jsonl"
        path.write_text("mended")
        (tmp_path / "letters.jsonl~1").write_text("earlier")

        def fail(reason):
            with pytest.raises(KeyboardInterrupt), DeadLetters(path, source="shop.jsonl") as letters:
                letters.write(Rejected(1, reason, "{}"))
                raise KeyboardInterrupt

        fail("first")
        fail("second")
        assert f"{path}.partial" in capsys.readouterr().err
        files = {one.name: one.read_text() for one in tmp_path.iterdir()}
        assert (files.pop("letters.jsonl"), files.pop("letters.jsonl~1")) == ("mended", "earlier")
        reasons = {name: json.loads(text)["reason"] for name, text in files.items()}
        assert reasons == {"letters.jsonl.partial": "second", "letters.jsonl.partial~1": "first"}
        with DeadLetters(path, source="shop.jsonl") as letters:
            letters.write(Rejected(1, "third", "{}"))
        assert json.loads(path.read_text())["reason"] == "third"
        assert (tmp_path / "letters.jsonl~2").read_text() == "mended"
        assert not (tmp_path / "letters.jsonl.partial").exists()

    def test_the_catalogue_is_not_overwritten_by_its_own_dead_letters(self, tmp_path):
        path = lines_file(tmp_path / "shop.jsonl", KETTLE)
        with pytest.raises(CatalogueError, match="is the catalogue itself"), DeadLetters(path, source=path):
            pass
        assert path.exists()

    def test_a_folder_is_no_file_for_dead_letters_and_stays_where_it_is(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        path = lines_file(tmp_path / "shop.jsonl", KETTLE)
        for folder in (".", tmp_path):
            with pytest.raises(CatalogueError, match="is a folder: name a file"), DeadLetters(folder, source=path):
                pass
        assert path.exists()

    def test_a_pipe_or_a_link_is_no_file_for_dead_letters_and_stays_where_it_is(self, tmp_path):
        path = lines_file(tmp_path / "shop.jsonl", KETTLE)
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
        for name in ("pipe", "link"):
            with pytest.raises(CatalogueError, match="is a link, a pipe or"), DeadLetters(tmp_path / name, path):
                pass
        assert sorted(one.name for one in tmp_path.iterdir()) == ["link", "pipe", "shop.jsonl"]

    def test_a_catalogue_whose_name_is_no_utf_8_has_dead_letters_too(self, tmp_path):
        with DeadLetters(tmp_path / "letters.jsonl", os.fsdecode(b"caf\xe9.jsonl")) as letters:
            letters.write(Rejected(1, "no title", '{"id": "x"}'))
        assert json.loads((tmp_path / "letters.jsonl").read_text())["file"] == "caf\\xe9.jsonl"

    def test_mended_letters_are_read_as_the_products_in_them(self, tmp_path):
        path = lines_file(
            tmp_path / "shop.jsonl", {"id": "x", "title": "Pan", "price": "dear"}, b'{"id": "y", "title": "Pot"', KETTLE
        )
        letters_path = tmp_path / "shop.dead-letters.jsonl"
        with DeadLetters(letters_path, source=path) as letters:
            for rejected in rejected_of(path):
                letters.write(rejected)
        assert [row.line for row in rejected_of(letters_path)] == [1, 2]  # nothing was mended yet
        priced, closed = map(json.loads, letters_path.read_text().splitlines())
        priced["record"]["price"] = 12
        closed["record"] += "}"
        rows = rows_of(lines_file(letters_path, priced, closed))
        assert [(row.line, row.product.id, row.product.price) for row in rows] == [(1, "x", 12.0), (2, "y", None)]

    @pytest.mark.parametrize("again", [1.0, " 1 "])
    def test_of_an_id_in_two_ways_the_first_product_is_kept_however_often_letters_are_read(self, tmp_path, again):
        path = lines_file(tmp_path / "shop.jsonl", {"id": 1, "title": "Pan"}, {"id": again, "title": "Pot"})
        with DeadLetters(tmp_path / "letters.jsonl", source=path) as letters:
            for rejected in rejected_of(path):
                letters.write(rejected)
        (rejected,) = read(tmp_path / "letters.jsonl")
        assert "duplicate id still" in rejected.reason

    def test_a_letter_whose_id_somebody_wrote_as_a_number_stays_a_letter(self, tmp_path):
        letter = {"line": 2, "id": 5, "reason": "product 5: duplicate id", "record": {"id": 5, "title": "Pot"}}
        (rejected,) = rejected_of(lines_file(tmp_path / "letters.jsonl", letter))
        with DeadLetters(tmp_path / "again.jsonl", source="letters.jsonl") as letters:
            letters.write(rejected)
            assert letters.about(["5", "6"]) == {"5"}

    def test_letters_about_letters_do_not_nest(self, tmp_path):
        letter = {"file": "f", "line": 1, "id": None, "reason": "r", "record": {"id": "x"}}
        (rejected,) = rejected_of(lines_file(tmp_path / "letters.jsonl", letter))
        assert json.loads(rejected.record_text) == {"id": "x"}

    def test_csv_and_parquet_rows_come_back_from_letters_too(self, tmp_path):
        (tmp_path / "shop.csv").write_text("id,title,price,categories\nx,Pan,dear,A > B|C\n")
        (rejected,) = rejected_of(tmp_path / "shop.csv")
        record = json.loads(rejected.record_text) | {"price": "3"}
        letter = {"file": "f", "line": 1, "id": None, "reason": "r", "record": record}
        (row,) = rows_of(lines_file(tmp_path / "letters.jsonl", letter))
        assert row.product.categories == (("A", "B"), ("C",))

    def test_a_later_stage_can_turn_a_row_away(self, tmp_path):
        (row,) = rows_of(lines_file(tmp_path / "shop.jsonl", KETTLE))
        rejected = row.rejected("the server refused it")
        assert (rejected.line, rejected.id, json.loads(rejected.record_text)) == (1, "k1", KETTLE)

    def test_what_was_written_survives_a_kill(self, tmp_path):
        script = (
            "import os, signal, sys\nfrom shelfwise_indexer.catalogue import DeadLetters, Rejected\n"
            "letters = DeadLetters(sys.argv[1], source='shop.jsonl').__enter__()\n"
            "for n in range(100): letters.write(Rejected(n, 'reason', '{}'))\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        subprocess.run(
            [sys.executable, "-c", script, tmp_path / "letters.jsonl"],
            check=False,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        written = (tmp_path / "letters.jsonl.partial").read_text()
        assert [json.loads(line)["line"] for line in written.splitlines()] == [*range(100)]

    @pytest.mark.parametrize(
        ("name", "letters"), [("a/shop.jsonl.gz", "shop"), ("shop.v2.csv", "shop.v2"), ("-", "stdin")]
    )
    def test_they_are_named_after_the_catalogue(self, name, letters):
        assert dead_letters_path(name) == Path(f"{letters}.dead-letters.jsonl")
        assert dead_letters_path(name, "shoes") == Path(f"{letters}.shoes.dead-letters.jsonl")


LETTER = {"file": "a", "line": 1, "id": None, "reason": "not JSON", "record": "{"}


class TestHoldsDeadLetters:
    @pytest.mark.parametrize(
        ("records", "so"),
        [([LETTER, b"", b"[", LETTER], True), ([KETTLE, b"{"], False), ([b"{"], False), ([LETTER | {"x": 1}], False)],
    )
    def test_the_records_tell(self, tmp_path, records, so):
        assert holds_dead_letters(lines_file(tmp_path / "shop.jsonl", *records)) is so

    def test_a_table_holds_none(self, tmp_path):
        (tmp_path / "shop.csv").write_text("file,line,id,reason,record\n")
        assert not holds_dead_letters(tmp_path / "shop.csv")

    def test_products_among_letters_are_refused(self, tmp_path):
        path = lines_file(tmp_path / "shop.jsonl", LETTER, KETTLE)
        with pytest.raises(CatalogueError, match="line 2: is no dead letter"):
            holds_dead_letters(path)

    @pytest.mark.parametrize("name", ["shop.jsonl", "shop.jsonl.gz"])
    def test_letters_among_products_are_refused(self, tmp_path, name):
        path = lines_file(tmp_path / "shop.jsonl", b"{", KETTLE, MUG, KETTLE | {"reason": "record"}, LETTER)
        if name.endswith(".gz"):
            path = lines_file(tmp_path / name, gzip.compress(path.read_bytes()))
        with pytest.raises(CatalogueError, match=f"{name}: line 5: is a dead letter, which those before it are not"):
            holds_dead_letters(path)


def test_the_hash_of_a_file_is_its_sha256(tmp_path):
    (tmp_path / "shop.jsonl").write_bytes(b"abc")
    assert file_hash(tmp_path / "shop.jsonl") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_standard_input_is_refused_where_a_file_is_read_twice():
    with pytest.raises(CatalogueError, match="-: a file is needed here, as it is read twice"):
        file_hash("-")


@pytest.mark.parametrize("reading", [file_hash, holds_dead_letters])
def test_a_pipe_is_refused_where_a_file_is_read_twice(tmp_path, reading):
    os.mkfifo(tmp_path / "shop.jsonl")
    with pytest.raises(CatalogueError, match="a file is needed here, as it is read twice"):
        reading(tmp_path / "shop.jsonl")
