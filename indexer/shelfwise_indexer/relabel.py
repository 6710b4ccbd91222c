"""Relabelling: a catalogue whose categories follow the changes of a taxonomy; every other field stays as it is."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import orjson

from shelfwise.messages import SAID, tell
from shelfwise.taxonomy import Path, path_text, written_path
from shelfwise_indexer.catalogue import (
    JSON_LINES,
    MAX_LINE_BYTES,
    CatalogueError,
    DeadLetters,
    Rejected,
    dead_letters_path,
    holds_dead_letters,
    json_lines,
    read,
)
from shelfwise_indexer.records import Line
from shelfwise_indexer.taxonomy_changes import Changes, Followed


@dataclass(frozen=True, slots=True)
class Relabelled:
    """What was done: read = written + rejected."""

    out: FilePath
    read: int
    written: int
    changed: int
    undecided: int
    """Products that lost a category which was split, so that a person or the classifier gives them one."""
    rejected: int
    dead_letters: FilePath | None

    def to_json(self) -> dict[str, Any]:
        """What `shelfwise taxonomy migrate` prints of it."""
        return {
            "out": str(self.out),
            "read": self.read,
            "written": self.written,
            "changed": self.changed,
            "undecided": self.undecided,
            "rejected": self.rejected,
            "dead_letters": str(self.dead_letters) if self.dead_letters else None,
        }


def carried_paths(catalogue: str | os.PathLike[str]) -> set[Path]:
    """Every category that a product of a catalogue, or of a file of dead letters, carries.

    :raises CatalogueError: it cannot be read, or is neither.
    """
    holds_dead_letters(catalogue)  # refuses what is neither
    return {path for row in read(catalogue) if not isinstance(row, Rejected) for path in row.product.categories}


def has_followed(carried: Iterable[Path], changes: Changes) -> bool:
    """Whether the changes leave all paths as they are, as they do those of a catalogue that was relabelled."""
    return all(changes.follow(path) == Followed(path) for path in carried)


def relabel(
    catalogue: str | os.PathLike[str],
    changes: Changes,
    out: FilePath,
    dead_letters: str | os.PathLike[str] | None = None,
) -> Relabelled:
    """Write a catalogue, in its order, as JSON lines with its categories after the changes; whole or not at all.

    A category that was split is taken off its products. Dead letters stay letters: of each only `record` changes.

    :param out: ends in `.jsonl`, `.ndjson` or `.json`; may be the catalogue itself.
    :param dead_letters: file for rejected lines; default `<catalogue stem>.dead-letters.jsonl` in the current folder.
    :raises CatalogueError: the catalogue cannot be read or the file not be written.
    """
    if out.suffix not in JSON_LINES:
        raise CatalogueError(f"{out}: is written as JSON lines: give it a name that ends in .jsonl")
    envelopes = json_lines(os.fspath(catalogue), MAX_LINE_BYTES) if holds_dead_letters(catalogue) else None
    written = changed = undecided = 0
    partial = out.with_name(f".{out.name}.partial")
    letters = DeadLetters(dead_letters or dead_letters_path(catalogue), catalogue)
    try:
        with letters, partial.open("wb") as file:
            for row in read(catalogue):
                if isinstance(row, Rejected):
                    row.check_not_cut_off(letters.source)
                    letters.write(row)
                    _say(letters.count, f"{catalogue}, line {row.line}: {row.reason}")
                    continue
                record = relabelled(row.record, changes)
                waits = not all(changes.follow(path).decided for path in row.product.categories)
                written, changed, undecided = written + 1, changed + (record != row.record), undecided + waits
                if waits:
                    _say(undecided, f"{catalogue}, line {row.line}: product {row.product.id}: its category was split")
                if envelopes is not None:
                    record = _letter_on(row.line, envelopes) | {"record": record}
                file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
        partial.replace(out)
    except OSError as error:
        raise CatalogueError(f"{out}: cannot be written ({error.strerror}): make room or name another folder") from None
    finally:
        partial.unlink(missing_ok=True)
    rejected = letters.count
    return Relabelled(
        out, written + rejected, written, changed, undecided, rejected, letters.path if rejected else None
    )


def relabelled(record: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    """A catalogue's record with `category` and `categories` after the changes, each in the shape that it had."""
    new = dict(record)
    for name in ("category", "categories"):
        value = record.get(name)
        if value in (None, "", [], ()):
            continue
        nested = isinstance(value, (list, tuple)) and (name == "categories" or isinstance(value[0], (list, tuple)))
        before = list(value) if nested else [value]
        after = [moved for one in before if (moved := _moved(one, changes)) is not None]
        if after == before:
            continue
        each_once = [one for place, one in enumerate(after) if one not in after[:place]]
        if not each_once:
            del new[name]
        else:
            new[name] = each_once if nested else each_once[0]
    return new


def _moved(value: Any, changes: Changes) -> Any:
    """One path of a record as it is written there; None when it was split."""
    path = written_path(value)
    followed = changes.follow(path)
    if not followed.decided:
        return None
    if followed.path == path:
        return value
    return path_text(followed.path) if isinstance(value, str) else list(followed.path)


def _letter_on(number: int, its_lines: Iterator[Line]) -> dict[str, Any]:
    """The dead letter on a line, which comes after the one that was asked for before."""
    letter: dict[str, Any] = orjson.loads(next(line.content for line in its_lines if line.number == number))
    return letter


def _say(count: int, message: str) -> None:
    if count <= SAID:
        tell(message)
    elif count == SAID + 1:
        tell(f"and more like this one, which are only counted: {message}")
