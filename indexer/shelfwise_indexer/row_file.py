"""Row files: an array in a file, read and written row by row, of which nothing stays in memory.

A mapped file would do the same in fewer lines, but what was touched of it counts as memory of the process: with a
million products that is gigabytes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shelfwise.errors import ShelfwiseError

FILLED_AT_ONCE = 4 << 20  # bytes

Array = npt.NDArray[Any]
RowNumbers = npt.NDArray[np.int64]


class RowFileError(ShelfwiseError):
    """A row file cannot be written."""


class RowFile:
    """An array [n, width] in a file; `array[rows]` reads rows by their numbers, `array[rows] = values` writes them."""

    def __init__(self, path: Path, dtype: npt.DTypeLike, width: int) -> None:
        """Open a file that is there; its size says how many rows it has."""
        self.path, self.dtype = path, np.dtype(dtype)
        self._row_bytes = width * self.dtype.itemsize
        self._file = path.open("r+b", buffering=0)
        self.shape = (path.stat().st_size // self._row_bytes, width)

    @classmethod
    def full(cls, path: Path, n: int, width: int, fill: float, dtype: npt.DTypeLike) -> "RowFile":
        """Make a file of n rows that all hold one value.

        :raises RowFileError: it cannot be written.
        """
        row = np.full((1, width), fill, dtype=dtype).tobytes()
        at_once = max(1, FILLED_AT_ONCE // len(row))
        with _writing(path), path.open("wb", buffering=0) as file:
            for start in range(0, n, at_once):
                _write_all(file.fileno(), row * min(at_once, n - start), start * len(row))
        return cls(path, dtype, width)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: RowNumbers | slice) -> Array:
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        values = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
        for start, end in _runs(rows):
            _read_all(self._file.fileno(), values[start:end], int(rows[start]) * self._row_bytes)
        return values

    def __setitem__(self, rows: RowNumbers, values: Array) -> None:
        given = np.ascontiguousarray(values, dtype=self.dtype)
        with _writing(self.path):
            for start, end in _runs(rows):
                _write_all(self._file.fileno(), given[start:end].tobytes(), int(rows[start]) * self._row_bytes)

    def close(self) -> None:
        """Let go of the file; it stays on disk."""
        self._file.close()


def _runs(rows: RowNumbers) -> Iterator[tuple[int, int]]:
    """From where to where the numbers follow each other, so that one read takes them."""
    if len(rows):
        edges = np.flatnonzero(np.diff(rows) != 1) + 1
        yield from zip((0, *edges.tolist()), (*edges.tolist(), len(rows)), strict=True)


def _read_all(file: int, into: Array, offset: int) -> None:
    view = into.data.cast("B")
    while len(view):
        count = os.preadv(file, [view], offset)
        if not count:
            raise RowFileError(f"a row file ends at byte {offset}: rows beyond its end were asked for, or it was cut")
        view, offset = view[count:], offset + count


def _write_all(file: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while len(view):
        count = os.pwrite(file, view, offset)
        view, offset = view[count:], offset + count


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RowFileError(f"{path} cannot be written ({error.strerror}): free some space, run again") from None
