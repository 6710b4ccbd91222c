"""Kept lines: what the last run into an alias made of each line of its catalogue, found again by the line's hash.

A line that stands as it stood is not parsed, compared or asked for again. That holds while nobody has written into the
live index since, which the server's sequence numbers tell, and while this program is the one that made the documents.
A cache: without it, or with a damaged one, a run reads every line and asks the index for every product.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import orjson

import shelfwise
from shelfwise.mapping import mapping_hash
from shelfwise_indexer.kept_vectors import KeptVectors
from shelfwise_indexer.spool import Spool

Document = dict[str, Any]
_LINES, _SOURCES, _ENDS, _STATE = "lines.jsonl", "sources.npy", "ends.npy", "lines.json"
_EMPTY = np.empty(0, np.uint64)


@dataclass(frozen=True, slots=True)
class KeptLines:
    """The first 8 bytes of the hashes of lines, uint64 [n], ascending, with the row of each in the file; or nothing."""

    sources: npt.NDArray[np.uint64] = field(default_factory=lambda: _EMPTY)
    rows: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    _ends: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    _file: BinaryIO | None = None
    _vectors: KeptVectors | None = None

    @classmethod
    def load(cls, folder: Path, vectors: KeptVectors, written: Mapping[str, Any] | None) -> "KeptLines":
        """What was kept in a folder; nothing, if it cannot be read or somebody has written into the index since.

        :param vectors: a line whose product has none there counts as unknown.
        :param written: how far the live index is written now, by `position`; None: not known.
        """
        if written is None or not len(vectors):
            return cls()
        try:
            if orjson.loads((folder / _STATE).read_bytes()) != _state(written):
                return cls()
            sources = np.load(folder / _SOURCES, allow_pickle=False)
            ends = np.load(folder / _ENDS, allow_pickle=False)
            file = (folder / _LINES).open("rb")
        except (OSError, ValueError, EOFError):
            return cls()
        whole = sources.dtype == np.uint64 and ends.dtype == np.int64 and ends.shape == (len(sources) + 1,)
        if not whole or ends[-1] != (folder / _LINES).stat().st_size:
            file.close()
            return cls()
        rows = np.argsort(sources, kind="stable")
        return cls(sources[rows], rows, ends, file, vectors)

    def __len__(self) -> int:
        return len(self.sources)

    def documents(self, sources: Sequence[str]) -> list[Document | None]:
        """What the live index holds of the products on these lines, without vector and neighbours; None: not known.

        :param sources: hashes as `source_of` gives them.
        """
        if not len(self) or self._file is None or self._vectors is None:
            return [None] * len(sources)
        wanted = np.array([int(source[:16], 16) for source in sources], dtype=np.uint64)
        places = np.minimum(np.searchsorted(self.sources, wanted), len(self) - 1)
        here = np.flatnonzero(self.sources[places] == wanted)
        found: dict[int, Document] = {}
        for place, row in zip(here.tolist(), self.rows[places[here]].tolist(), strict=True):
            start, end = int(self._ends[row]), int(self._ends[row + 1])
            _, _, _, source, document = orjson.loads(os.pread(self._file.fileno(), end - start, start))
            if source == sources[place]:
                found[place] = document
        hashes = [document["shelfwise"]["text_hash"] for document in found.values()]
        vectors = dict(zip(found, self._vectors.find(hashes).tolist(), strict=True))
        return [found[place] if vectors.get(place, -1) >= 0 else None for place in range(len(sources))]

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()


def keep_lines(folder: Path, spool: Spool, refused: Mapping[str, str], written: Mapping[str, Any] | None) -> None:
    """Keep the lines of a run beside its vectors; where they cannot be kept the next run reads all lines again.

    :param refused: ids that did not get into the index.
    :param written: how far the index was written by this run.
    """
    if written is None:
        return
    sources, ends, size = array("Q"), array("q", [0]), 0
    with contextlib.suppress(OSError), (folder / _LINES).open("wb") as file:
        for line in spool.lines():
            source = line.split(b'"', 2)[1]  # the first text on a line of the spool
            if len(source) != 32 or (refused and orjson.loads(line)[-1]["id"] in refused):
                continue
            file.write(line)
            size += len(line)
            sources.append(int(source[:16], 16))
            ends.append(size)
        np.save(folder / _SOURCES, np.frombuffer(sources, dtype=np.uint64) if sources else _EMPTY, allow_pickle=False)
        np.save(folder / _ENDS, np.frombuffer(ends, dtype=np.int64), allow_pickle=False)
        (folder / _STATE).write_bytes(orjson.dumps(_state(written)))


def _state(written: Mapping[str, Any]) -> dict[str, Any]:
    return {"written": dict(written), "program": _program(), "mapping": mapping_hash()}


@functools.cache
def _program() -> str:
    """What tells whether a line would become another document: a hash of this program and what it reads lines with."""
    digest = hashlib.sha256(sys.version.encode())
    for name in ("orjson", "ftfy", "tokenizers"):
        digest.update(importlib.metadata.version(name).encode())
    for package in (Path(shelfwise.__file__).parent, Path(__file__).parent):
        for file in sorted(package.glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
