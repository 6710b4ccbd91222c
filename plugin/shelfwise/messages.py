"""Messages: what a run says of its progress, and of what was wrong with its input, on stderr."""

import sys
from collections.abc import Iterable, Iterator
from itertools import islice

SAID = 20  # complaints of a kind that are said one by one; the others are counted


def tell(message: str) -> None:
    """Write one line of progress to stderr."""
    sys.stderr.write(f"{message}\n")


def first_of(complaints: Iterable[str], count: int, others: str) -> Iterator[str]:
    """The first SAID of so many complaints, and how many others there are."""
    yield from islice(complaints, SAID)
    if count > SAID:
        yield f"and {count - SAID} more {others}"


class Complaints:
    """Says complaints of a kind on stderr as they come, the first SAID, and in the end how many others there are."""

    def __init__(self, others: str) -> None:
        self.count = 0
        self._others = others

    def add(self, complaint: str) -> None:
        """One more."""
        self.count += 1
        if self.count <= SAID:
            tell(complaint)

    def end(self) -> None:
        """That was the last."""
        if self.count > SAID:
            tell(f"and {self.count - SAID} more {self._others}")
