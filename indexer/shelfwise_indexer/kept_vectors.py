"""Kept vectors: those of the last run into an alias, on disk, found again by what they were made of.

They save the next run from reading them out of the index, where most of its time would go. A cache: without it, or
with a damaged one, a run reads the index.
"""

import contextlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shelfwise.messages import tell
from shelfwise_indexer.row_file import RowFile
from shelfwise_indexer.spool import forget_abandoned

Floats = npt.NDArray[np.float32]
_HASH = re.compile("[0-9a-f]{16}")
_VECTORS, _HASHES = "vectors.f32", "hashes.npy"


@dataclass(frozen=True, slots=True)
class KeptVectors:
    """Text hashes, uint64 [n], ascending, with the row of each in the file of vectors; or nothing."""

    hashes: npt.NDArray[np.uint64]
    rows: npt.NDArray[np.int64]
    _vectors: RowFile | None

    @classmethod
    def load(cls, folder: Path, dimension: int) -> "KeptVectors":
        """What was kept in a folder; nothing, if that cannot be read."""
        try:
            given = np.load(folder / _HASHES, allow_pickle=False)
            vectors = RowFile(folder / _VECTORS, np.float32, dimension)
        except (OSError, ValueError, EOFError):
            return cls(np.empty(0, np.uint64), np.empty(0, np.int64), None)
        size = (folder / _VECTORS).stat().st_size
        if given.dtype != np.uint64 or given.ndim != 1 or size != 4 * dimension * len(given):
            return cls(np.empty(0, np.uint64), np.empty(0, np.int64), None)
        rows = np.argsort(given, kind="stable")
        return cls(given[rows], rows, vectors)

    def at(self, rows: npt.NDArray[np.int64]) -> Floats:
        """The vectors of rows that `find` gave, float32 [n, dimension]."""
        return np.empty((0, 0), np.float32) if self._vectors is None else np.asarray(self._vectors[rows], np.float32)

    def __len__(self) -> int:
        return len(self.hashes)

    def find(self, text_hashes: Sequence[str]) -> npt.NDArray[np.int64]:
        """The rows of the vectors of these texts, int64 [n]; -1: it is not there."""
        wanted = as_numbers(text_hashes)
        if not len(self):
            return np.full(len(wanted), -1, dtype=np.int64)
        places = np.minimum(np.searchsorted(self.hashes, wanted), len(self.hashes) - 1)
        return np.where(self.hashes[places] == wanted, self.rows[places], -1).astype(np.int64)


def keep(folder: Path, text_hashes: npt.NDArray[np.uint64], vectors: Path) -> None:
    """Keep the vectors of a run instead of those of the one before; `vectors` is moved.

    Where they cannot be kept nothing is, which is said on stderr: the next run reads the index.

    :param text_hashes: uint64 [n]; see `as_numbers`.
    :param vectors: file of float32 [n, dimension], in the order of the hashes.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        np.save(folder / _HASHES, text_hashes, allow_pickle=False)
        shutil.move(vectors, folder / _VECTORS)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        tell(f"{folder}: vectors are not kept ({error.strerror}): the next run reads them out of the index")
    with contextlib.suppress(OSError):
        forget_abandoned(folder.parent, but=folder)


def as_numbers(text_hashes: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Text hashes, 16 hex digits each, as uint64 [n]; what is none is 0."""
    return np.array([as_number(one) for one in text_hashes], dtype=np.uint64)


def as_number(text_hash: str) -> int:
    """A text hash as a number below 2 ** 64; what is none is 0."""
    return int(text_hash, 16) if _HASH.fullmatch(text_hash) else 0
