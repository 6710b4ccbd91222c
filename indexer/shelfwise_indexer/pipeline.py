"""The pipeline: stages of a run that overlap, each in a thread of its own, a bounded queue between two.

What a stage raises is raised where the pipeline is used, and ends the other stages; so does an interruption there.
"""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from queue import SimpleQueue
from typing import Generic, TypeVar

WAITING = 1  # items between two stages; beside it each stage holds one

Item = TypeVar("Item")


class _Line(Generic[Item]):
    """A queue whose putting side waits for room, and whose ends may be shut from the other side at any moment."""

    def __init__(self) -> None:
        self._items: SimpleQueue[Item | None] = SimpleQueue()
        self._room = threading.Semaphore(WAITING)
        self.shut = False
        self.error: BaseException | None = None

    def put(self, item: Item) -> bool:
        """Wait for room; whether it was taken."""
        self._room.acquire()
        if self.shut:
            self._room.release()
            return False
        self._items.put(item)
        return True

    def end(self) -> None:
        """Nothing more will be put."""
        self._items.put(None)

    def stop(self) -> None:
        """Nothing more is wanted; who waits for room need not."""
        self.shut = True
        self._room.release()

    def __iter__(self) -> Iterator[Item]:
        while (item := self._items.get()) is not None:
            self._room.release()
            yield item


@contextmanager
def ahead(source: Callable[[], Iterable[Item]]) -> Iterator[Iterator[Item]]:
    """The items of a source, none of them None, made by a thread while earlier ones are in use.

    The source is opened, run and closed in that thread. What it raises comes after the items before it. Leaving the
    context early stops it at its next item.
    """
    line: _Line[Item] = _Line()

    def produce() -> None:
        try:
            with closing(_generator(source)) as items:
                for item in items:
                    if not line.put(item):
                        break
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that takes the items
            line.error = error
        finally:
            line.end()

    def taken() -> Iterator[Item]:
        yield from line
        if line.error is not None:
            raise line.error

    thread = threading.Thread(target=produce, name="ahead", daemon=True)
    try:
        thread.start()  # in here: an interruption comes at any moment
        yield taken()
    finally:
        line.stop()
        _join(thread)


@contextmanager
def behind(work: Callable[[Item], object]) -> Iterator[Callable[[Item], None]]:
    """A function that hands items, none of them None, to a thread which works on them in their order.

    What `work` raises is raised by the next hand-over or when the context is left. Leaving waits until all is done;
    leaving by an exception only for the item in work, the others are dropped.
    """
    line: _Line[Item] = _Line()

    def consume() -> None:
        for item in line:
            if line.shut:
                continue
            try:
                work(item)
            except BaseException as error:  # noqa: BLE001 - raised again by the thread that hands over
                line.error = error
                line.stop()

    def hand_over(item: Item) -> None:
        line.put(item)
        if line.error is not None:
            raise line.error

    thread = threading.Thread(target=consume, name="behind", daemon=True)
    try:
        thread.start()
        yield hand_over
    except BaseException:
        line.stop()
        raise
    finally:
        line.end()
        _join(thread)
    if line.error is not None:
        raise line.error


def _join(thread: threading.Thread) -> None:
    if thread.is_alive():  # else it ended, or was never begun
        thread.join()


def _generator(source: Callable[[], Iterable[Item]]) -> Generator[Item, None, None]:
    yield from source()
