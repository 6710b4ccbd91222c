"""Answering line by line: JSON lines come in and are answered as they come; a bad one is said and holds up nobody."""

import codecs
import gzip
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import orjson

from shelfwise.errors import UsageError
from shelfwise.messages import SAID, tell
from shelfwise.standard_input import standard_input

AT_ONCE = 100  # lines that are answered together: what a stop in the middle can lose
PORTION = 64 * 1024  # bytes that are read at once, at most
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
        """Up to AT_ONCE good lines at a time, and fewer where no more are there yet.

        Bad ones are said on stderr, and every while how many lines are done.

        :raises UsageError: the file is not there, cannot be unpacked, or holds no line.
        """
        said = time.monotonic()
        number = 0
        for arrived in self._arriving():
            for start in range(0, len(arrived), AT_ONCE):
                lines = arrived[start : start + AT_ONCE]
                batch = self._good(lines, number + 1)
                number += len(lines)
                if not batch:
                    continue
                yield batch
                if time.monotonic() - said > SAY_EVERY:
                    said = time.monotonic()
                    tell(f"{self.read - self.rejected} lines of {self.name} answered")
        if not self.read:
            raise UsageError(f"{self.name} is empty: expected JSON lines such as {self.expected}")
        if self.rejected > SAID:
            tell(f"{self.name}: {self.rejected - SAID} more lines were passed over")

    def _arriving(self) -> Iterator[list[bytes]]:
        """The whole lines of each portion that is there; a pipe is not waited for while lines of it can be answered."""
        rest = b""
        with self._opened() as stream:
            try:
                portion = stream.read1(PORTION).removeprefix(codecs.BOM_UTF8)
                while portion:
                    *lines, rest = (rest + portion).split(b"\n")
                    yield lines
                    portion = stream.read1(PORTION)
            except (OSError, EOFError, zlib.error) as error:
                raise UsageError(f"{self.name} cannot be read to its end: {error}") from None
        yield [rest]

    def _good(self, lines: list[bytes], number: int) -> list[Value]:
        """What the good ones of some lines hold.

        :param number: of the first line.
        """
        good = []
        for at, line in enumerate(lines, start=number):
            if not line.strip():
                continue
            self.read += 1
            try:
                good.append(self._parsed(line))
            except UsageError as error:
                self._reject(at, error)
        return good

    def _opened(self) -> Any:
        try:
            if self.name == "-":
                return standard_input()
            return gzip.open(self.name) if self.name.endswith(".gz") else Path(self.name).open("rb")
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
