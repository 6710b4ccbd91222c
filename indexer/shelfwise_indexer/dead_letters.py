"""Dead letters: the rejected lines of a catalogue on disk, there to be mended and read again."""

import filecmp
import itertools
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path as FilePath
from types import TracebackType
from typing import BinaryIO, cast

import numpy as np
import orjson

from shelfwise.messages import tell
from shelfwise_indexer.id_hashes import BYTES, IdHashes, digest
from shelfwise_indexer.records import CatalogueError, Rejected, writable


class DeadLetters:
    """Rejected lines on disk, a JSON line each, there to be mended and given to `read` again.

    Until the run is over they are in `<name>.partial`, which appears with the first letter; each is one unbuffered
    write, so a killed run keeps what it wrote. Once the run has ended well they take the place of those of an earlier
    one, which may have been mended there and are kept as `<name>~1`, `<name>~2` and so on, unless they are the very
    same: a file without the tilde always tells of the last run that did, and none is ever overwritten.
    """

    def __init__(self, path: str | os.PathLike[str], source: str | os.PathLike[str]) -> None:
        """:param source: the catalogue that the letters name."""
        self.path = FilePath(path)
        self.partial = _beside(self.path, ".partial")
        self.source = os.fspath(source)
        self.count = 0
        self._ids = bytearray()
        self._file: BinaryIO | None = None

    def __enter__(self) -> "DeadLetters":
        """Put aside what a run left that did not end well."""
        if self.source != "-" and self.path.resolve() == FilePath(self.source).resolve():
            raise CatalogueError(f"{self.path}: is the catalogue itself: name another file for the dead letters")
        if self.path.is_dir():
            raise CatalogueError(f"{self.path}: is a folder: name a file for the dead letters")
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_file()):
            raise CatalogueError(f"{self.path}: is a link, a pipe or a device: name a file for the dead letters")
        _put_aside(self.partial)
        return self

    def write(self, rejected: Rejected) -> None:
        """Append one letter.

        :raises CatalogueError: the file cannot be written.
        """
        letter = {
            "file": os.fsencode(self.source).decode("utf-8", "backslashreplace"),
            "line": rejected.line,
            "id": rejected.id,
            "reason": rejected.reason,
            "record": writable(rejected.record_text),
        }
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = cast(BinaryIO, self.partial.open("wb", buffering=0))
            unwritten = memoryview(orjson.dumps(letter, option=orjson.OPT_APPEND_NEWLINE))
            while unwritten:
                unwritten = unwritten[self._file.write(unwritten) :]
        except OSError as error:
            raise CatalogueError(
                f"{self.partial}: dead letters cannot be written ({error.strerror}): make room or name another folder"
            ) from error
        self.count += 1
        if rejected.id is not None:
            self._ids += digest(rejected.id, BYTES)

    @property
    def nameless(self) -> int:
        """How many letters are of lines that do not tell the id of their product."""
        return self.count - len(self._ids) // BYTES

    def about(self, ids: Sequence[str]) -> set[str]:
        """Those of these products that a letter is about."""
        return set(ids).difference(IdHashes(np.frombuffer(self._ids, dtype=np.uint64)).lacks(ids))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See to it that the letters are on the disk, and where they belong."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None
        if kind is not None:
            if self.count:
                tell(f"{self.partial} holds the dead letters of this run, which did not end well: run the same again")
            return
        if not (self.count and _same(self.partial, self.path)):
            _put_aside(self.path)
        if self.count:
            try:
                self.partial.replace(self.path)
            except OSError as reason:
                raise CatalogueError(
                    f"{self.path}: cannot be written ({reason.strerror}): the dead letters are in {self.partial}"
                ) from reason


def _same(one: FilePath, other: FilePath) -> bool:
    with suppress(OSError):
        return other.exists() and filecmp.cmp(one, other, shallow=False)
    return False


def _put_aside(path: FilePath) -> None:
    """Move a file, if it is there, to the first name with a tilde and a number that is free, and say so.

    :raises CatalogueError: it cannot be moved.
    """
    try:
        if path.exists():
            aside = _free(path)
            path.replace(aside)
            tell(f"{path}: the dead letters of an earlier run are in {aside} now")
    except OSError as error:
        raise CatalogueError(
            f"{path}: the dead letters of an earlier run cannot be put aside ({error.strerror}): move them"
        ) from error


def _free(path: FilePath) -> FilePath:
    """The first of these names that was free, and is an empty file now, so that nobody else takes it."""
    names = (_beside(path, f"~{number}") for number in itertools.count(1))
    while True:
        with suppress(FileExistsError):
            aside = next(names)
            aside.touch(exist_ok=False)
            return aside


def _beside(path: FilePath, ending: str) -> FilePath:
    return FilePath(f"{path}{ending}")
