"""Events: a shop's log of who did what with which product, read as a stream in which one bad line costs one line."""

import os
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from shelfwise.errors import UsageError
from shelfwise.history import Event, check_user, parse_event, parse_history
from shelfwise.messages import Complaints, tell
from shelfwise.standard_input import standard_input
from shelfwise_indexer.catalogue import JSON_LINES, MAX_LINE_BYTES, unpacked
from shelfwise_indexer.records import CatalogueError, Record, Rejected, json_records, json_text, lines, opened

EXPECTED = "expected an object with user and product, or with user and history"
DOUBLED = 20  # lines, of which a half does not come again by chance
EXTENSIONS = tuple(kind + packed for kind in JSON_LINES for packed in ("", ".gz"))


@dataclass(frozen=True, slots=True)
class Told:
    """What one line tells of one user, oldest first, and where it stands."""

    line: int
    user: str
    events: tuple[Event, ...]
    whole: bool = False
    """Whether it is a history, not one event."""


@dataclass(frozen=True, slots=True)
class Histories:
    """What a log tells: read = used + repeated + rejected, in lines."""

    by_user: dict[str, list[Event]]
    """As they were told."""
    read: int
    repeated: int
    """Lines that tell once more what was told."""
    rejected: int


def read_events(path: str | os.PathLike[str]) -> Iterator[Told | Rejected]:
    """Every non-blank line of an event log, in order, as what it tells or as the reason why it tells nothing.

    JSON lines, also `.gz`; `-` is standard input. A line is one event (`user`, `product`, optionally `time`, `kind`,
    `weight`) or a history (`user`, `history`, a list of ids or events, oldest first); other fields are passed over.

    :raises CatalogueError: the file is not there, or of no known kind.
    :raises UsageError: standard input is closed.
    """
    name = os.fspath(path)
    if name != "-" and not name.lower().endswith(EXTENSIONS):
        opened(name).close()
        raise CatalogueError(f"{name}: of no known kind: expected a name that ends in {', '.join(EXTENSIONS)}")
    for record in _records(name):
        yield record if isinstance(record, Rejected) else _told(*record)


def read_histories(events: str | os.PathLike[str]) -> Histories:
    """The events of each user. What is told twice counts once, and is said on stderr as are lines that are rejected.

    Without times, who is told twice seems to have bought everything again. So a history that the same user had before
    counts once, and so does a log of DOUBLED lines or more of which the second half is the first, line by line (an
    export put together twice). A single event that comes again alone is another one: there is nothing to tell it from.

    :raises CatalogueError: the log cannot be read, or not to its end, or holds nothing.
    """
    histories: dict[str, list[Event]] = {}
    whole: set[tuple[str, tuple[Event, ...]]] = set()
    hashes, singles = array("q"), Counter[str]()  # of all lines, and of each user the lines of one event
    read, repeated, complaints = 0, 0, Complaints("lines that were rejected")
    for told in read_events(events):
        read += 1
        if isinstance(told, Rejected):
            told.check_not_cut_off(os.fspath(events))
            complaints.add(f"{os.fspath(events)}, line {told.line}: {told.reason}")
            continue
        content = told.user, told.events
        hashes.append(hash(content))
        if told.whole:
            if content in whole:
                repeated += 1
                continue
            whole.add(content)
        else:
            singles[told.user] += 1
        histories.setdefault(told.user, []).extend(told.events)
    complaints.end()
    if not read:
        raise CatalogueError(f"{os.fspath(events)}: the event log is empty: expected at least one event")
    if _halves_alike(hashes):
        again = {user: count // 2 for user, count in singles.items()}
        histories = {user: history[: len(history) - again.get(user, 0)] for user, history in histories.items()}
        repeated += sum(again.values())
    if repeated:
        tell(f"{os.fspath(events)}: {repeated} lines tell again what was told before, and count once")
    return Histories(histories, read, repeated, complaints.count)


def _halves_alike(numbers: "array[int]") -> bool:
    half, odd = divmod(len(numbers), 2)
    return len(numbers) >= DOUBLED and not odd and numbers[:half] == numbers[half:]


def _records(name: str) -> Iterator[Record | Rejected]:
    if name == "-":
        yield from json_records(lines(standard_input(), MAX_LINE_BYTES), EXPECTED)
        return
    packed = name.lower().endswith(".gz")
    with opened(name) as file, unpacked(file, name) if packed else nullcontext(file) as stream:
        yield from json_records(lines(stream, MAX_LINE_BYTES), EXPECTED)


def _told(line: int, content: Mapping[str, Any]) -> Told | Rejected:
    try:
        user = check_user(content.get("user"))
        if ("history" in content) == ("product" in content):
            raise UsageError(f"{EXPECTED}, got {', '.join(sorted(content)) or 'nothing'}")
        events = parse_history(content["history"]) if "history" in content else [parse_event(content)]
    except UsageError as error:
        return Rejected(line, str(error), json_text(content))
    return Told(line, str(user), tuple(events), "history" in content)
