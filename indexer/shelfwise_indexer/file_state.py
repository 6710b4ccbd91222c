"""The file's state: whether a catalogue still lies there as it did when a run began to read it."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path as FilePath

from shelfwise_indexer.records import CatalogueError


@dataclass(frozen=True, slots=True)
class FileState:
    """How a file lay there at one moment."""

    name: str
    lay: tuple[int, int] | None
    """Its size in bytes and when it was last written, in nanoseconds; None: a pipe, or nothing at all, has none."""

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> "FileState":
        """As it lies there now."""
        return cls(os.fspath(path), _lies(os.fspath(path)))

    def check(self) -> None:
        """:raises CatalogueError: somebody has written it since."""
        if self.lay is None or (now := _lies(self.name)) == self.lay:
            return
        lies = f"it has {now[0]:,} bytes now, and had {self.lay[0]:,}" if now else "it is not there any more"
        raise CatalogueError(
            f"{self.name}: was written while it was read ({lies}): nothing went live; once it is whole, run the same "
            "again, which starts over"
        )


def _lies(name: str) -> tuple[int, int] | None:
    try:
        found = FilePath(name).stat()
    except (OSError, ValueError):
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None
