"""Calls of many threads done together: each gets its own, whatever happens to the others."""

import threading

from patience import until
from shelfwise.gathering import Gathering


class Work:
    """Doubles numbers; waits at the gate first, and keeps what it was asked for."""

    def __init__(self):
        self.asked, self.gate, self.begun = [], threading.Event(), threading.Event()

    def __call__(self, numbers):
        self.asked.append(list(numbers))
        self.begun.set()
        assert self.gate.wait(10)
        if 13 in numbers:
            raise ValueError("13 cannot be doubled")
        return [2 * number for number in numbers]


def called_while_one_is_at_work(work, calls, first=(1,)):
    """What each of the calls got, the first of them alone at work when the others come."""
    double, got = Gathering(), {}

    def call(place, numbers):
        try:
            got[place] = double.results(numbers, work)
        except (ValueError, KeyboardInterrupt) as error:
            got[place] = error

    threads = [threading.Thread(target=call, args=(place, given)) for place, given in enumerate([first, *calls])]
    threads[0].start()
    assert work.begun.wait(10)
    for count, thread in enumerate(threads[1:], start=1):
        thread.start()
        until(lambda count=count: len(double._waiting) == count)
    work.gate.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    return [got[place] for place in range(len(threads))]


def test_a_call_with_nobody_at_work_is_done_at_once():
    work = Work()
    work.gate.set()
    double = Gathering()
    assert (double.results([1, 2], work), double.results([3], work)) == ([2, 4], [6])
    assert work.asked == [[1, 2], [3]]


def test_what_comes_meanwhile_is_done_together_and_each_gets_its_own():
    work = Work()
    assert called_while_one_is_at_work(work, [[2, 3], [4], [5, 6]]) == [[2], [4, 6], [8], [10, 12]]
    assert work.asked == [[1], [2, 3, 4, 5, 6]]


def test_a_call_that_cannot_be_done_takes_no_other_with_it():
    work = Work()
    got = called_while_one_is_at_work(work, [[2], [13], [4]])
    assert (got[0], got[1], got[3]) == ([2], [4], [8])
    assert str(got[2]) == "13 cannot be doubled"
    assert work.asked == [[1], [2, 13, 4], [2], [13], [4]]


def test_an_interruption_is_of_its_own_thread_alone():
    work = Work()

    def interrupted_once(numbers):
        if len(work.asked) == 1:
            work.asked.append(list(numbers))
            raise KeyboardInterrupt
        return work(numbers)

    interrupted_once.begun, interrupted_once.gate = work.begun, work.gate
    got = called_while_one_is_at_work(interrupted_once, [[2], [3], [4]])
    assert sum(isinstance(one, KeyboardInterrupt) for one in got) == 1
    assert [one for one in got if not isinstance(one, KeyboardInterrupt)] == [
        [2 * number] for number, one in enumerate(got, start=1) if not isinstance(one, KeyboardInterrupt)
    ]


def test_many_threads_get_what_they_asked_for():
    double, wrong = Gathering(), []

    def work(numbers):
        return [2 * number for number in numbers]

    def ask(first):
        wrong.extend(n for n in range(first, first + 2000) if double.results([n, -n], work) != [2 * n, -2 * n])

    threads = [threading.Thread(target=ask, args=(10_000 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
