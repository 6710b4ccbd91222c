"""Answering line by line: JSON lines come in and are answered as they come; a bad one is said and holds up nobody."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

import orjson

from shelfwise.errors import UsageError
from shelfwise.machine import SAID, tell

AT_ONCE = 100  # lines that are answered together: what a stop in the middle can lose
SAY_EVERY = 10.0  # seconds

Value = TypeVar("Value")


@dataclass
class Lines(Generic[Value]):
    """What the lines of a file hold, or of standard input, in their order.

    :param name: of the file; `-` for standard input.
    :param expected: a line, as an example for people.
    :param parse: what a line holds, from its JSON; raises UsageError where it holds nothing to answer.
    """

    name: str
    expected: str
    parse: Callable[[Any], Value]
    read: int = 0
    rejected: int = 0

    def batches(self) -> Iterator[list[Value]]:
        """Up to AT_ONCE good lines at a time; bad ones are said on stderr, and every while how many lines are done.

        :raises UsageError: the file is not there, or holds no line.
        """
        said = time.monotonic()
        batch: list[Value] = []
        with self._opened() as stream:
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                self.read += 1
                try:
                    batch.append(self._parsed(line))
                except UsageError as error:
                    self._reject(number, error)
                if len(batch) == AT_ONCE:
                    yield batch
                    batch = []
                    if time.monotonic() - said > SAY_EVERY:
                        said = time.monotonic()
                        tell(f"{self.read - self.rejected} lines of {self.name} answered")
        if batch:
            yield batch
        if not self.read:
            raise UsageError(f"{self.name} is empty: expected JSON lines such as {self.expected}")
        if self.rejected > SAID:
            tell(f"{self.name}: {self.rejected - SAID} more lines were passed over")

    def _opened(self) -> BinaryIO:
        try:
            return sys.stdin.buffer if self.name == "-" else Path(self.name).open("rb")
        except OSError as error:
            raise UsageError(
                f"{self.name} cannot be read ({error.strerror}): expected JSON lines such as {self.expected}"
            ) from None

    def _parsed(self, line: bytes) -> Value:
        try:
            return self.parse(orjson.loads(line))
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise UsageError(f"expected an object such as {self.expected}") from None

    def _reject(self, number: int, error: UsageError) -> None:
        self.rejected += 1
        if self.rejected <= SAID:
            tell(f"{self.name}, line {number}: {error}")
