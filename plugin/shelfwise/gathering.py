"""Gathering: what several threads ask for at the same time is done together."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Gathering(Generic[Item, Result]):
    """A function of some items, called by many threads: one call works, and all that come meanwhile are the next.

    Nobody waits for company: a call that finds nobody at work begins at once, alone.

    :param work: gives a result for each item, in their order.
    """

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Result]]) -> None:
        self._work = work
        self._turn = threading.Lock()
        self._adding = threading.Lock()
        self._waiting: list[_Call[Item, Result]] = []

    def __call__(self, items: Sequence[Item]) -> Sequence[Result]:
        """The results of these items.

        :raises Exception: what `work` raises for them. What it raises for several calls together, is tried one by one.
        """
        call: _Call[Item, Result] = _Call(items)
        with self._adding:
            self._waiting.append(call)
        with self._turn:
            if not call.done:
                self._do_all_waiting()
        if call.error is not None:
            raise call.error
        return call.results

    def _do_all_waiting(self) -> None:
        with self._adding:
            calls, self._waiting = self._waiting, []
        try:
            if not (len(calls) > 1 and _do(calls, self._work)):
                for call in calls:
                    _alone(call, self._work)
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


def _do(calls: Sequence[_Call[Item, Result]], work: Callable[[Sequence[Item]], Sequence[Result]]) -> bool:
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


def _alone(call: _Call[Item, Result], work: Callable[[Sequence[Item]], Sequence[Result]]) -> None:
    try:
        call.results = work(call.items)
    except Exception as error:  # noqa: BLE001 - raised by the thread that called
        call.error = error
    call.done = True
