"""Good rows: what is no product is said and counted, and a catalogue that is cut off is none."""

import gzip
import os

import orjson
import pytest

from shelfwise.messages import SAID
from shelfwise_indexer.catalogue import CatalogueError
from shelfwise_indexer.good_rows import GoodRows

MUG = b'{"id": "m1", "title": "Mug"}\n'


def cut_off(folder):
    """A gzip file of products whose second half is lost."""
    lines = (orjson.dumps({"id": str(n), "title": f"Mug {os.urandom(40).hex()}", "category": "A"}) for n in range(500))
    packed = gzip.compress(b"\n".join(lines))
    path = folder / "half.jsonl.gz"
    path.write_bytes(packed[: len(packed) // 2])
    return path


def test_products_come_in_order_and_the_others_are_said(tmp_path, capsys):
    (tmp_path / "shop.jsonl").write_bytes(b"{nope\n" + MUG + b'{"id": "m2"}\n')
    rows = GoodRows(tmp_path / "shop.jsonl")
    assert [row.id for row in rows] == ["m1"]
    assert [one.line for one in rows.rejected] == [1, 3]
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{tmp_path / 'shop.jsonl'}, line 1: not JSON")
    assert "line 3: product m2: title is missing" in second


def test_of_many_rejects_the_first_are_said_and_the_rest_counted(tmp_path, capsys):
    (tmp_path / "shop.jsonl").write_bytes(b"{nope\n" * (SAID + 3) + MUG)
    rows = GoodRows(tmp_path / "shop.jsonl")
    assert len(list(rows)) == 1
    assert len(rows.rejected) == SAID + 3
    said = capsys.readouterr().err.splitlines()
    assert len(said) == SAID + 1
    assert said[-1] == "and 3 more lines that were rejected"


def test_a_catalogue_that_is_cut_off_is_refused(tmp_path):
    with pytest.raises(CatalogueError, match=r"half\.jsonl\.gz, line \d+: the file is cut off.* get it anew"):
        list(GoodRows(cut_off(tmp_path)))
