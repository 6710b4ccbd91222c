"""The spool: what a run of `index` has encoded so far, on disk, so that a killed run goes on where it was.

A run is known by catalogue, bundle, alias and the index that was live when it began. Its rows are kept in segments,
each written whole or not at all.
"""

import fcntl
import hashlib
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
import orjson

from shelfwise.errors import ShelfwiseError
from shelfwise.position import Position
from shelfwise_indexer.row_file import RowFile

Floats = npt.NDArray[np.float32]

FORMAT = "3"  # of the files; a spool of another one is not gone on with
KEPT_SECONDS = 14 * 24 * 3600  # of a run that nobody goes on with


class SpoolError(ShelfwiseError):
    """The spool cannot be written, or another run holds it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One product on its way: its line, its document without vector and neighbours.

    `carried`: it was not encoded, its enrichment comes from the live index. `same`: that holds this very document.
    `source`: hash of the line that it stands on, hex; empty where there is none.
    """

    line: int
    document: dict[str, Any]
    carried: bool
    same: bool = False
    source: str = ""


class Spool:
    """The folder of one run; a context manager that holds the run's lock."""

    def __init__(self, parent: Path, *identity: str | None) -> None:
        digest = hashlib.sha256("\0".join(part or "" for part in (FORMAT, *identity)).encode()).hexdigest()[:16]
        self.folder = parent / digest
        self._lock: IO[str] | None = None

    def __enter__(self) -> "Spool":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / "lock").open("w")
        except OSError as error:
            raise SpoolError(
                f"{self.folder} cannot be written ({error.strerror}): free some space, or set XDG_CACHE_HOME to a "
                "folder that you may write"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise SpoolError("the same catalogue is being indexed into this alias right now: wait for it") from None
        forget_abandoned(self.folder.parent, but=self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def began(self, written: Position | None) -> Position | None:
        """How far the live index was written when the run began; kept the first time, `written` being how far it is."""
        path = self.folder / "began.json"
        if path.exists():
            return cast("Position | None", orjson.loads(path.read_bytes()))
        with self.writing():
            self._whole(path, orjson.dumps(written))
        return written

    def token(self) -> str:
        """What no other run has, by which it knows the index that it fills; drawn the first time."""
        path = self.folder / "token"
        if not path.exists():
            with self.writing():
                self._whole(path, secrets.token_hex(8).encode())
        return path.read_text()

    def segments(self) -> int:
        """How many segments are there, without a gap."""
        count = 0
        while self._path(count, "jsonl").exists():
            count += 1
        return count

    def write(self, number: int, entries: Sequence[Entry], vectors: Floats) -> None:
        """Keep a segment: its entries and their vectors, float32 [entries, dimension]."""
        lines = b"".join(
            orjson.dumps([entry.line, entry.carried, entry.same, entry.source, entry.document]) + b"\n"
            for entry in entries
        )
        with self.writing():
            self._whole(self._path(number, "npy"), vectors)
            self._whole(self._path(number, "jsonl"), lines)  # last: its presence says that the segment is whole

    def entries(self, number: int) -> list[Entry]:
        """The entries of a segment."""
        with self._path(number, "jsonl").open("rb") as file:
            return list(map(_entry, file))

    def everything(self, number: int) -> tuple[int, list[tuple[int, Entry]]]:
        """As `changed`, of all entries."""
        entries = self.entries(number)
        return len(entries), list(enumerate(entries))

    def changed(self, number: int) -> tuple[int, list[tuple[int, Entry]]]:
        """How many entries a segment has, and its rows with those that are not as they stand in the live index.

        The others, most of them after a night, are not even parsed.
        """
        with self._path(number, "jsonl").open("rb") as file:
            lines = list(file)
        return len(lines), [(row, _entry(line)) for row, line in enumerate(lines) if not _stays(line)]

    def lines(self) -> Iterator[bytes]:
        """The entries of all segments as they lie on disk: line, carried, same, source, document."""
        for number in range(self.segments()):
            with self._path(number, "jsonl").open("rb") as file:
                yield from file

    def vectors(self, number: int) -> Floats:
        """The vectors of a segment, float32 [entries, dimension]."""
        return np.asarray(np.load(self._path(number, "npy"), allow_pickle=False), dtype=np.float32)

    def vector_file(self, dimension: int) -> RowFile:
        """All vectors, float32 [n, dimension], on disk: only what is asked for is read into memory."""
        with self.writing(), self.vectors_path.open("wb") as file:
            for number in range(self.segments()):
                file.write(self.vectors(number).tobytes())
        return RowFile(self.vectors_path, np.float32, dimension)

    @property
    def vectors_path(self) -> Path:
        """The file behind `vector_file`."""
        return self.folder / "vectors.f32"

    def sent(self, index: str) -> set[int]:
        """Segments that were sent to an index, every document of them answered for."""
        marks = self.folder / f"sent-{index}"
        return {int(line) for line in marks.read_text().split()} if marks.exists() else set()

    def mark_sent(self, index: str, numbers: Sequence[int]) -> None:
        """Remember that segments are in the index."""
        self._append(f"sent-{index}", (b"%d" % number for number in numbers))

    def refused(self, index: str) -> dict[str, str]:
        """Ids that the server refused in the segments sent so far, with the reason.

        A line that a kill cut short is passed over: its segment counts as not sent, and is refused anew.
        """
        return dict(self._appended(f"refused-{index}"))

    def mark_refused(self, index: str, refused: Mapping[str, str]) -> None:
        """Remember what the server refused."""
        self._append(f"refused-{index}", map(orjson.dumps, refused.items()))

    def arrived(self, index: str) -> set[str]:
        """Ids of products written into an index beside those of the run; some of the last may be missing there."""
        return set(self._appended(f"arrived-{index}"))

    def mark_arrived(self, index: str, ids: Iterable[str]) -> None:
        """Remember what is to be written into an index beside the products of the run."""
        self._append(f"arrived-{index}", map(orjson.dumps, ids))

    def _append(self, name: str, lines: Iterable[bytes]) -> None:
        """Lines at the end of a file, each behind a newline, which ends one that a kill cut short."""
        with self.writing(), (self.folder / name).open("ab") as file:
            file.writelines(b"\n" + line + b"\n" for line in lines)

    def _appended(self, name: str) -> Iterator[Any]:
        """What stands on the lines of such a file, but for what a kill cut short."""
        path = self.folder / name
        for line in path.read_bytes().splitlines() if path.exists() else ():
            with suppress(orjson.JSONDecodeError):
                yield orjson.loads(line)

    def remove(self) -> None:
        """The run is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def stream(self) -> Iterator[Entry]:
        """The entries of all segments, each let go of when the next is asked for.

        A list of them would keep the collector of garbage, which looks at every dictionary again, busier than parsing.
        """
        return map(_entry, self.lines())

    def _path(self, number: int, kind: str) -> Path:
        return self.folder / f"segment-{number:06d}.{kind}"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """:raises SpoolError: what is written within cannot be."""
        try:
            yield
        except OSError as error:
            raise SpoolError(
                f"{self.folder} cannot be written ({error.strerror}): free some space, run again"
            ) from None

    def _whole(self, path: Path, content: bytes | Floats) -> None:
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                np.save(file, content, allow_pickle=False)
        partial.replace(path)


def _entry(line: bytes) -> Entry:
    number, carried, same, source, document = orjson.loads(line)
    return Entry(number, document, carried, same, source)


def _stays(line: bytes) -> bool:
    """Whether a line as `Spool.write` writes it was carried over and is the same."""
    return line.split(b",", 3)[1:3] == [b"true", b"true"]


def forget_abandoned(parent: Path, but: Path) -> None:
    """Remove the folders of runs that nobody went on with: their catalogue or their live index has changed since."""
    oldest = time.time() - KEPT_SECONDS
    for folder in parent.iterdir():
        if folder != but and folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)
