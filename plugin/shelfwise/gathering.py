"""Gathering: what several threads ask for at the same time is done together."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Sequence[Item]], Sequence[Result]]


class Gathering(Generic[Item, Result]):
    """Work that many threads ask for: one of them does it, and what all others ask for meanwhile is the next.

    Nobody waits for company: who finds nobody at work begins at once, alone.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._adding = threading.Lock()
        self._waiting: list[_Call[Item, Result]] = []

    def results(self, items: Sequence[Item], work: Work[Item, Result]) -> Sequence[Result]:
        """The results of these items.

        :param work: gives a result for each item, in their order; the same in all calls, for it does others' too.
        :raises Exception: what `work` raises for them. What it raises for several calls together is tried one by one.
        """
        call: _Call[Item, Result] = _Call(items)
        with self._adding:
            self._waiting.append(call)
        with self._turn:
            if not call.done:
                self._do_all_waiting(work)
        if call.error is not None:
            raise call.error
        return call.results

    def _do_all_waiting(self, work: Work[Item, Result]) -> None:
        with self._adding:
            calls, self._waiting = self._waiting, []
        try:
            if not (len(calls) > 1 and _do(calls, work)):
                for call in calls:
                    _alone(call, work)
        except BaseException:  # an interruption is of this thread alone
            with self._adding:
                self._waiting[:0] = [call for call in calls if not call.done]
            raise


class _Call(Generic[Item, Result]):
    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self.results: Sequence[Result] = ()
        self.error: Exception | None = None
        self.done = False


def _do(calls: Sequence[_Call[Item, Result]], work: Work[Item, Result]) -> bool:
    """Work on several calls at once; whether that went well."""
    try:
        results = work([item for call in calls for item in call.items])
    except Exception:  # noqa: BLE001 - whose it is shows when each is tried alone
        return False
    start = 0
    for call in calls:
        call.results, call.done = results[start : start + len(call.items)], True
        start += len(call.items)
    return True


def _alone(call: _Call[Item, Result], work: Work[Item, Result]) -> None:
    try:
        call.results = work(call.items)
    except Exception as error:  # noqa: BLE001 - raised by the thread that called
        call.error = error
    call.done = True
