"""Changes of a taxonomy: a file of renamed, moved, merged and split categories, and where they take a path."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal, get_args

from shelfwise.errors import UnknownCategory, UsageError
from shelfwise.taxonomy import Path, Taxonomy, ancestors, parse_path, path_text
from shelfwise_indexer.records import Rejected, json_records, lines, opened

ChangeKind = Literal["renamed", "moved", "merged", "split"]
KINDS: tuple[ChangeKind, ...] = get_args(ChangeKind)
MAX_LINE_BYTES = 1_000_000
EXPECTED = 'expected an object such as {"change": "renamed", "from": "Kitchen > Pots", "to": "Kitchen > Pans"}'


class InvalidChanges(UsageError):
    """A file of changes cannot be read, or its changes cannot all be made; names the line."""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the file.

    `renamed` and `moved` take a node with everything below it from one source to one target, `merged` several sources
    to one target, `split` the products of one source to whichever of several targets a person chooses.
    """

    line: int
    kind: ChangeKind
    sources: tuple[Path, ...]
    targets: tuple[Path, ...]

    def follow(self, path: Path) -> "Followed":
        """Where this change takes a path."""
        if self.kind == "split":
            return Followed(common(self.targets), False) if path == self.sources[0] else Followed(path)
        for source in sorted(self.sources, key=len, reverse=True):
            if path[: len(source)] == source:
                return Followed((*self.targets[0], *path[len(source) :]))
        return Followed(path)


@dataclass(frozen=True, slots=True)
class Followed:
    """A path after the changes."""

    path: Path
    decided: bool = True
    """False: its category was split; `path` is what the parts have in common, and a person chooses among them."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes in the order in which they are made, each on what those before it left."""

    changes: tuple[Change, ...]

    @classmethod
    def read(cls, file: str | os.PathLike[str]) -> "Changes":
        """The changes of a file of JSON lines: `change` (a kind), `from` and `to`.

        A path is text (`"A > B"`) or a list of names. `from` of `merged` and `to` of `split` are lists of paths.

        :raises CatalogueError: there is no such file.
        :raises InvalidChanges: a line is no change, or there is none.
        """
        name, changes = os.fspath(file), []
        with opened(name) as stream:
            for record in json_records(lines(stream, MAX_LINE_BYTES), EXPECTED):
                if isinstance(record, Rejected):
                    raise InvalidChanges(f"{name}, line {record.line}: {record.reason}")
                try:
                    changes.append(_change(*record))
                except ValueError as error:
                    raise InvalidChanges(f"{name}, line {record[0]}: {error}") from None
        if not changes:
            raise InvalidChanges(f"{name} holds no change: {EXPECTED}")
        return cls(tuple(changes))

    def follow(self, path: Path) -> Followed:
        """Where the changes take a path: of a leaf, a node, or a category that no bundle knows."""
        decided = True
        for change in self.changes:
            followed = change.follow(path)
            path, decided = followed.path, decided and followed.decided
        return Followed(path, decided)

    def check(self, paths: Iterable[Path]) -> None:
        """Refuse changes that cannot be made of a taxonomy; names the line.

        A name that a change took away is not given again by the same file: which one an old label means must be plain,
        and changes made twice must come to the same.

        :param paths: what products carry.
        :raises UnknownCategory: a source is no node; the message names the closest three.
        :raises InvalidChanges: a change contradicts one before it, is of another kind than it says, or makes a circle.
        """
        carried, gone = set(paths), dict[Path, Change]()
        for change in self.changes:
            nodes = {node for path in carried for node in ancestors(path)}
            for source in change.sources:
                _check_source(change, source, nodes, gone)
            _CHECKS[change.kind](change, nodes, carried)
            followed = {path: change.follow(path).path for path in carried}
            after = {*followed.values(), *(change.targets if change.kind == "split" else ())}
            now = {node for path in after for node in ancestors(path)}
            # Of those that are merged one may be what they become, or lie above it.
            moved = set(change.sources) - {node for target in change.targets for node in ancestors(target)}
            kept = set() if change.kind == "split" else now & moved
            if back := sorted(now & gone.keys() | kept):
                by = gone.get(back[0], change)
                raise InvalidChanges(
                    f"line {change.line}: brings back {path_text(back[0])}, which line {by.line} {_done(by)}: "
                    "changes that go in a circle are refused; give a name again in a file of its own"
                )
            taken = [path for path in nodes if any(path[: len(source)] == source for source in change.sources)]
            gone.update((path, change) for path in taken if path not in now)
            carried = after


def common(paths: Sequence[Path]) -> Path:
    """The deepest node above all paths, or one of them; empty when they share no root."""
    return tuple(level[0] for level in takewhile(lambda names: len(set(names)) == 1, zip(*paths, strict=False)))


def _change(line: int, record: Mapping[str, Any]) -> Change:
    """:raises ValueError: it is none; says what was expected."""
    kind = record.get("change")
    if kind not in KINDS:
        raise ValueError(f"change must be one of {', '.join(KINDS)}, got {str(kind)[:60]!r}")
    if unknown := record.keys() - {"change", "from", "to"}:
        raise ValueError(f"unknown {', '.join(sorted(unknown))}: {EXPECTED}")
    sources = _paths(record, "from", kind == "merged")
    targets = _paths(record, "to", kind == "split")
    if sources == targets:
        raise ValueError(f"from and to are the same: {path_text(sources[0])}")
    if kind == "split" and len(targets) < 2:
        raise ValueError("a split has at least two different categories in `to`")
    if kind == "split" and not common(targets):
        raise ValueError(
            f"{' and '.join(path_text(path) for path in targets[:2])} have no node in common for products to wait "
            "under: split under one root, and move a part afterwards"
        )
    return Change(line, kind, sources, targets)


def _paths(record: Mapping[str, Any], name: str, several: bool) -> tuple[Path, ...]:
    value = record.get(name)
    if several and (not isinstance(value, list) or not value):
        raise ValueError(f"{name} must be a list of paths")
    try:
        return tuple(
            dict.fromkeys(parse_path(one) for one in (value if several and isinstance(value, list) else [value]))
        )
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _check_source(change: Change, source: Path, nodes: set[Path], gone: Mapping[Path, Change]) -> None:
    if source in nodes:
        return
    if by := gone.get(source):
        raise InvalidChanges(
            f"line {change.line}: {path_text(source)} is there no more, because line {by.line} {_done(by)}: "
            "changes are made in order; name what it is called then, or take one of the two out"
        )
    closest = ", ".join(repr(path_text(path)) for path in Taxonomy.of(nodes).closest(source))
    raise UnknownCategory(f"line {change.line}: there is no category {path_text(source)!r}: the closest are {closest}")


def _check_place(change: Change, nodes: set[Path], _: set[Path]) -> None:
    [source], [target] = change.sources, change.targets
    if change.kind == "renamed" and source[:-1] != target[:-1]:
        raise InvalidChanges(
            f"line {change.line}: a rename stays under its parent, {path_text(source)} would not: call it moved"
        )
    _check_no_circle(change)
    if target in nodes:
        raise InvalidChanges(
            f"line {change.line}: {path_text(target)} is there already: to put {path_text(source)} into it, call it "
            "merged"
        )


def _check_no_circle(change: Change, *_: set[Path]) -> None:
    [target] = change.targets
    for source in change.sources:
        if target != source and target[: len(source)] == source:
            raise InvalidChanges(
                f"line {change.line}: {path_text(target)} lies below {path_text(source)}: a category cannot go into a "
                "part of itself"
            )


def _check_split(change: Change, _: set[Path], carried: set[Path]) -> None:
    [source] = change.sources
    if source not in carried:
        raise InvalidChanges(
            f"line {change.line}: no product is filed under {path_text(source)} itself: split a category below it"
        )


_CHECKS: dict[ChangeKind, Callable[[Change, set[Path], set[Path]], None]] = {
    "renamed": _check_place,
    "moved": _check_place,
    "merged": _check_no_circle,
    "split": _check_split,
}


def _done(change: Change) -> str:
    goal = ", ".join(path_text(path) for path in change.targets)
    return f"{change.kind} it {'into' if change.kind in ('merged', 'split') else 'to'} {goal}"
