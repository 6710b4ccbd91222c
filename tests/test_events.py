"""The event log: what it tells of each user, and what it tells twice."""

import pytest

from shelfwise_indexer.events import DOUBLED, read_histories
from test_cli import lines_of

KETTLE, CUP = {"user": "u", "product": "kettle"}, {"user": "u", "product": "cup"}
BOTH, OTHER = {"user": "u", "history": ["kettle", "cup"]}, {"user": "v", "history": ["kettle", "cup"]}


@pytest.fixture
def read(tmp_path):
    def written(*lines):
        (tmp_path / "events.jsonl").write_text(lines_of(lines))
        found = read_histories(tmp_path / "events.jsonl")
        products = {user: [event.product for event in history] for user, history in found.by_user.items()}
        return products, (found.read, found.repeated, found.rejected)

    return written


def test_a_history_that_a_user_had_before_counts_once_and_is_said(read, capsys):
    assert read(BOTH, OTHER, BOTH, {"user": "u", "history": ["cup"]}, {"user": "u"}) == (
        {"u": ["kettle", "cup", "cup"], "v": ["kettle", "cup"]},
        (5, 1, 1),
    )
    assert "events.jsonl: 1 lines tell again what was told before, and count once\n" in capsys.readouterr().err


def test_a_log_line_by_line_of_which_the_second_half_is_the_first_counts_once(read):
    others = [{"user": f"v{number}", "product": "cup"} for number in range(DOUBLED)]
    once = {"u": ["kettle", "cup", "kettle"], **{other["user"]: ["cup"] for other in others}}
    log = [KETTLE, *others, CUP, KETTLE]
    assert read(*log) == (once, (len(log), 0, 0))
    assert read(*log, *log) == (once, (2 * len(log), len(log), 0))
    assert read(*log, KETTLE, CUP, *others, KETTLE)[1] == (2 * len(log), 0, 0)


def test_so_does_one_of_histories_and_events(read):
    others = [{"user": "v", "product": f"cup {number}"} for number in range(DOUBLED)]
    log = [BOTH, KETTLE, *others, BOTH]
    products, (_, repeated, _) = read(*log, *log)
    assert products["u"] == ["kettle", "cup", "kettle"]
    assert (len(products["v"]), repeated) == (DOUBLED, len(log) + 1)


def test_a_few_lines_that_come_again_are_no_log_put_together_twice(read):
    assert read(KETTLE, KETTLE) == ({"u": ["kettle", "kettle"]}, (2, 0, 0))
    assert read(KETTLE, CUP, KETTLE, CUP) == ({"u": ["kettle", "cup", "kettle", "cup"]}, (4, 0, 0))


def test_a_product_that_comes_again_is_bought_again(read, capsys):
    assert read(KETTLE, CUP, KETTLE) == ({"u": ["kettle", "cup", "kettle"]}, (3, 0, 0))
    assert read({"user": "u", "history": ["kettle"]}, CUP, KETTLE)[1] == (3, 0, 0)
    assert capsys.readouterr().err == ""


def test_histories_with_other_times_are_two(read):
    baskets = [{"user": "u", "history": [{"product": "cup", "time": time}]} for time in ("2026-01-01", "2026-02-01")]
    assert read(*baskets, *baskets) == ({"u": ["cup", "cup"]}, (4, 2, 0))
