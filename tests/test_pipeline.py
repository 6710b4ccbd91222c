"""Stages that overlap give what they would one after the other, and end together."""

import os
import signal
import threading
import time

import pytest

from shelfwise_indexer.pipeline import WAITING, ahead, behind

ENOUGH = 10.0  # seconds, in which any machine gets so far


def run(items, work):
    """Through all three stages: made in one thread, doubled here, worked on in another."""
    with behind(work) as written, ahead(lambda: items) as made:
        for item in made:
            written(2 * item)


def endless(closed):
    """Items without an end, which say when they are let go of."""
    try:
        while True:
            yield 1
    finally:
        closed.set()


def test_items_come_out_in_order_and_each_once():
    done = []
    run(range(100), done.append)
    assert done == [2 * n for n in range(100)]


def test_the_next_item_is_made_while_one_is_in_use():
    second_made = threading.Event()

    def items():
        yield 1
        second_made.set()
        yield 2

    with ahead(items) as made:
        assert next(made) == 1
        assert second_made.wait(ENOUGH)


def test_an_item_is_worked_on_while_the_next_is_made():
    go_on = threading.Event()
    done = []

    def work(item):
        assert go_on.wait(ENOUGH)
        done.append(item)

    with behind(work) as written:
        written(1)  # would wait for ever, were it worked on here
        go_on.set()
    assert done == [1]


def test_a_source_is_never_further_ahead_than_it_may():
    made = []

    def items():
        for n in range(50):
            made.append(n)
            yield n

    with ahead(items) as taken:
        for number, _ in enumerate(taken, start=1):
            time.sleep(0.002)
            assert len(made) <= number + WAITING + 1  # one more is in the maker's hand


def test_what_a_source_raises_comes_after_the_items_before_it():
    def items():
        yield 1
        raise ValueError("line 2")

    done = []
    with pytest.raises(ValueError, match="line 2"):
        run(items(), done.append)
    assert done in ([], [2])


def test_what_work_raises_stops_a_source_without_an_end():
    closed = threading.Event()

    def work(_):
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        run(endless(closed), work)
    assert closed.is_set()


def test_an_interruption_stops_both_sides_and_is_what_comes_out():
    done, closed = [], threading.Event()
    with pytest.raises(KeyboardInterrupt), behind(done.append) as written, ahead(lambda: endless(closed)) as made:
        for number, item in enumerate(made):
            written(item)
            if number == 3:
                raise KeyboardInterrupt
    assert closed.is_set()
    assert len(done) <= 4
    assert not {"ahead", "behind"} & {thread.name for thread in threading.enumerate()}


@pytest.fixture
def interruptible():
    """Ctrl-C interrupts, also where the tests run in the background of a shell, which has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_while_the_next_item_is_waited_for_ends_all_threads():
    done = []

    def items():
        yield 1
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            time.sleep(0.01)
            yield 2

    with pytest.raises(KeyboardInterrupt):
        run(items(), done.append)
    assert not {"ahead", "behind"} & {thread.name for thread in threading.enumerate()}
