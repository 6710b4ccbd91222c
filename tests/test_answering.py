"""Lines that are answered as they come, and bad ones among them."""

import codecs
import gzip
import os
from types import SimpleNamespace

import pytest

from shelfwise import answering
from shelfwise.answering import AT_ONCE, Lines
from shelfwise.console import FAILED, REJECTED, status_of
from shelfwise.errors import UsageError
from shelfwise.messages import SAID


def number_of(record):
    if record["n"] < 0:
        raise UsageError(f"n must be at least 0, got {record['n']}")
    return record["n"]


@pytest.fixture
def lines(tmp_path):
    def of(content):
        (tmp_path / "in.jsonl").write_bytes(content)
        return Lines(str(tmp_path / "in.jsonl"), '{"n": 1}', number_of)

    return of


def test_good_lines_come_in_their_order_so_many_at_once(lines):
    asked = lines(b"".join(b'{"n": %d}\n' % number for number in range(AT_ONCE + 1)))
    assert [len(batch) for batch in asked.batches()] == [AT_ONCE, 1]
    assert [number for batch in asked.batches() for number in batch] == list(range(AT_ONCE + 1))
    assert status_of(asked) == 0


def test_a_line_from_a_pipe_is_given_before_the_pipe_is_closed(monkeypatch):
    read, write = os.pipe()
    with os.fdopen(read, "rb") as pipe, os.fdopen(write, "wb", buffering=0) as shop:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=pipe))
        batches = Lines("-", '{"n": 1}', number_of).batches()
        for number in (1, 2):
            shop.write(b'{"n": %d}\n' % number)
            assert next(batches) == [number]


def test_standard_input_that_is_closed_is_refused(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UsageError, match="standard input is closed: name a file"):
        next(Lines("-", '{"n": 1}', number_of).batches())


def test_a_byte_order_mark_and_packed_lines_are_read(lines, tmp_path):
    assert list(lines(codecs.BOM_UTF8 + b'{"n": 1}\r\n{"n": 2}').batches()) == [[1], [2]]
    packed = tmp_path / "in.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"n": 1}\n'))
    assert list(Lines(str(packed), "{}", number_of).batches()) == [[1]]
    packed.write_bytes(b'{"n": 1}')
    with pytest.raises(UsageError, match="cannot be read to its end"):
        list(Lines(str(packed), "{}", number_of).batches())


def test_a_bad_line_is_named_and_the_others_go_on(lines, capsys):
    asked = lines(b'{"n": 1}\n\n{"n": -2}\nnope\n\xff\n[1]\n{}\n7\n{"n": 3}')
    assert [number for batch in asked.batches() for number in batch] == [1, 3]
    assert (asked.read, asked.rejected, status_of(asked)) == (8, 6, REJECTED)
    said = [line.partition("in.jsonl, ")[2] for line in capsys.readouterr().err.splitlines()]
    assert said[0] == "line 3: n must be at least 0, got -2"
    assert said[1:] == [f'line {number}: expected an object such as {{"n": 1}}' for number in (4, 5, 6, 7, 8)]


def test_of_many_bad_lines_the_first_are_named_and_the_rest_counted(lines, capsys):
    asked = lines(b"nope\n" * (SAID + 5))
    assert list(asked.batches()) == []
    said = capsys.readouterr().err.splitlines()
    assert len(said) == SAID + 1
    assert said[-1].endswith("5 more lines were passed over")
    assert status_of(asked) == FAILED


def test_lines_that_were_answered_with_nothing_are_told_by_the_status(lines):
    asked = lines(b'{"n": 1}\n')
    assert list(asked.batches()) == [[1]]
    assert status_of(asked, failed=1) == REJECTED


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_a_file_without_a_line_is_refused(lines, content):
    with pytest.raises(UsageError, match=r'in\.jsonl is empty: expected JSON lines such as \{"n": 1\}'):
        list(lines(content).batches())


def test_a_file_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="none cannot be read"):
        list(Lines("none", "{}", number_of).batches())


def test_how_far_it_is_is_said_every_while(lines, capsys, monkeypatch):
    monkeypatch.setattr(answering, "SAY_EVERY", 0.0)
    list(lines(b'{"n": 1}\n' * (2 * AT_ONCE)).batches())
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == [str(AT_ONCE), str(2 * AT_ONCE)]
