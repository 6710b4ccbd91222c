"""The run: what `index` does of a catalogue, stage by stage, until the alias stands for the index that it filled."""

import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elasticsearch import Elasticsearch

from shelfwise.bundle import Bundle
from shelfwise.clone import NotCloned, clone_index, is_whole_clone
from shelfwise.index import MERGE_TIMEOUT, create_index, finish, swap, unfinished
from shelfwise.live_index import LiveIndex, check_not_migrated, described
from shelfwise.messages import SAID
from shelfwise.position import Position, position
from shelfwise.search import ProductSearch
from shelfwise.trial import on_trial
from shelfwise_indexer.carried import Carried
from shelfwise_indexer.catalogue import CatalogueError, DeadLetters, Row, read
from shelfwise_indexer.decisions import Following, carry_decisions
from shelfwise_indexer.delta import Anew, Delta, addition, delta, in_clone
from shelfwise_indexer.document_encoder import DocumentEncoder
from shelfwise_indexer.encoding import encode, say
from shelfwise_indexer.file_state import FileState
from shelfwise_indexer.gate import Gate, GateFailed
from shelfwise_indexer.gone import Gone
from shelfwise_indexer.indexed import count_present
from shelfwise_indexer.kept_lines import KeptLines
from shelfwise_indexer.meanwhile import Meanwhile
from shelfwise_indexer.sending import check, complete, send
from shelfwise_indexer.similar_lists import SimilarLists
from shelfwise_indexer.spool import Spool
from shelfwise_indexer.spooled import Spooled
from shelfwise_indexer.unknown_categories import UnknownDecisions
from shelfwise_indexer.view import View

SEGMENT = 2048  # products encoded, kept and sent together


@dataclass(frozen=True, slots=True)
class Filled:
    """An index that holds what it is to hold, and that no alias stands for yet."""

    index: str
    changes: Delta | None
    """From the index that it was cloned from; None: it was filled from nothing."""
    refused: Mapping[str, str]
    """Products that the server refused, to its reasons."""
    gone: Gone
    """What of the live index is not in it."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of `index`, and where it reads, keeps and writes; its methods are its stages, in their order."""

    server: Elasticsearch
    alias: str
    bundle: Bundle
    catalogue: str | os.PathLike[str]
    state: FileState
    """Of the catalogue, before anything of it was read."""
    digest: str
    """Of the catalogue."""
    live: LiveIndex | None
    grown: LiveIndex | None
    """The live index where the catalogue holds dead letters, which join what it has."""
    kept: Path
    """What is kept from one run to the next."""
    spool: Spool
    letters: DeadLetters
    meanwhile: Meanwhile | None
    as_read: Position | None
    """How far the live index was written when it was read."""
    began: Position | None
    """The same when the run began, which may have been interrupted since."""
    goes_on: bool
    """Whether it was."""
    allow_shrink: bool

    def encode(self, encoder: DocumentEncoder) -> int:
        """Read the catalogue, encode what is new, keep all of it in the spool; how many lines were read."""
        carried = Carried.of(self.server, self.live, self.bundle, self.kept)
        lines = KeptLines.load(self.kept, carried.kept, self.as_read)
        read_lines = encode(self.catalogue, encoder, carried, lines, self.spool, self.letters, SEGMENT)
        lines.close()
        encoder.release()
        self._check_unwritten()
        self._check_some_left(read_lines)
        return read_lines

    def fill(self, products: Spooled, read_lines: int, merge: int | None) -> Filled:
        """Write what was encoded into an index, and see that this holds it, and nothing else.

        :raises ServerError: it does not.
        """
        server, spool = self.server, self.spool
        gone, changes = self._compare(products)
        name, changes = _target(server, self.alias, self.bundle, self.digest, self.live, changes, spool.token())
        if changes is not None and not (self.grown is None and self._live_stands_still()):
            changes = in_clone(server, name, changes, products)
        # A file of dead letters is no catalogue to find neighbours in: `similar` finds those of what it adds live.
        wanted = None if changes is None else ~products.carried & (self.grown is None)
        similar = SimilarLists.of(spool, products, self.bundle.dimension, wanted)
        refused = send(server, name, spool, similar, changes)
        _write_refused(self.catalogue, refused, self.letters)
        if refused:
            self._check_unwritten()
        self._check_some_left(read_lines)
        gone = gone.with_refused(server, refused)
        self._check_shrink(gone)
        _finish(server, name, merge)
        expected = read_lines - self.letters.count + _beside(server, name, changes, refused)
        # What came meanwhile, into an index that a run which was killed just before the swap left.
        expected += count_present(server, name, spool.arrived(name))
        if changes is not None:
            complete(server, name, spool, similar, expected, refused)
        check(server, name, spool, expected, refused)
        return Filled(name, changes, refused, gone)

    def _compare(self, products: Spooled) -> tuple[Gone, Delta | None]:
        """What of the live index is gone, and what there is to change in a clone of it; None: a new one is filled.

        :raises CatalogueShrank: too much is gone.
        """
        if self.live is None:
            return Gone(), None
        if self.grown is not None:
            return Gone(), addition(products)
        gone = Gone.of(self.server, self.live, products, self.meanwhile)
        self._check_shrink(gone)
        changes = delta(self.server, self.live, self.bundle, products, gone)
        if isinstance(changes, Anew):
            say(f"a new index is filled, instead of a clone of {self.live.name}: {changes.reason}")
            return gone, None
        return gone, changes

    def _check_shrink(self, gone: Gone) -> None:
        if not self.allow_shrink:
            gone.check(self.catalogue, self.alias)

    def _live_stands_still(self) -> bool:
        """Whether nobody is known to have written into the live index since the run read it."""
        if self.live is None or self.as_read is None:
            return False
        return position(self.server, self.live.name) == self.as_read

    def check_gate(self, gate: Gate, name: str, before: ProductSearch | None) -> None:
        """:raises GateFailed: the new index is significantly worse than `before`."""
        live = self.live.name if self.live else ""
        with on_trial(self.server, self.alias, name) as trial:
            verdict = gate.check(ProductSearch(self.server, trial, self.bundle, gate.settings), before, live)
        if verdict is None:
            say(f"gate: {self.alias} has no live index to compare with: passed")
        elif not verdict.passed:
            raise GateFailed(verdict, self.alias, name)
        else:
            say(f"gate: {verdict}")

    def go_live(self, filled: Filled) -> dict[str, Any] | None:
        """Let the alias stand for an index, with what people decided and the shop wrote meanwhile.

        :returns: how far it was written before anybody knew of it; None: it holds something else than what was read.
        :raises ServerError: the live index was migrated meanwhile, or the alias moved.
        """
        server, live, name, meanwhile = self.server, self.live, filled.index, self.meanwhile
        # A clone may hold what was written after its original was read, and what a killed run left may hold what was
        # carried there, and then no line tells of that.
        as_it_was_read = filled.changes is None or self._live_stands_still()
        holds_only_what_was_read = live is None or (not self.goes_on and as_it_was_read)
        changed = self._carry_decisions(name) + self._carry_writes(name)
        written = position(server, name) if holds_only_what_was_read and not changed else None
        if meanwhile is None:
            swap(server, self.alias, name, expected=live.name if live else None)
            return written
        with closing(View(server, name)) as went_live:
            swap(server, self.alias, name, expected=live.name if live else None)
            if late := meanwhile.carry_last(name, went_live):
                say(f"{late} products that were written in the moment of the swap keep that")
        return written

    def _carry_decisions(self, name: str) -> int:
        """What people decided while the run filled an index, written there too; of how many products."""
        if self.live is None:
            return 0
        check_not_migrated(self.server, self.alias, self.live)
        decided = carry_decisions(self.server, self.live.name, name, Following.of(self.live, self.bundle))
        if decided:
            say(f"{len(decided)} products that a person decided on meanwhile keep that")
        unknown = UnknownDecisions(self.bundle)
        for id_, decision in decided.items():
            unknown.look(id_, decision)
        for message in unknown.messages():
            say(message)
        return len(decided)

    def _carry_writes(self, name: str) -> int:
        """What the shop wrote while the run filled an index, written there too; how many products."""
        if self.meanwhile is None:
            return 0
        count = self.meanwhile.carry_all(name)
        count += self.meanwhile.carry_new(self.began, name) if self.began else 0
        if count:
            say(f"{count} products that were written into the live index meanwhile keep that")
        for complaint in self.meanwhile.untold(self.began, name) if self.began else ():
            say(complaint)
        return count

    def _check_unwritten(self) -> None:
        """:raises CatalogueError: somebody has written the catalogue since the run began to read it."""
        try:
            self.state.check()
        except CatalogueError:
            self.spool.remove()  # else a file that is as it was in the end would go on with what was read in between
            raise

    def _check_some_left(self, read_lines: int) -> None:
        """:raises CatalogueError: every line was rejected, so that there would be nothing to search."""
        if self.letters.count == read_lines:
            raise CatalogueError(
                f"{self.letters.source}: all {read_lines} lines were rejected, alias {self.alias} is left as it was: "
                f"see {self.letters.partial}"
            )


def _target(
    server: Elasticsearch,
    alias: str,
    bundle: Bundle,
    digest: str,
    live: LiveIndex | None,
    changes: Delta | None,
    run: str,
) -> tuple[str, Delta | None]:
    """The index to write into: what a killed run left of the same kind, else a clone of the live one, or a new one.

    A clone whose original was written into since is not gone on with: what others wrote there would be lost.

    :param run: what no other run has, which may be filling an index of the same kind at this moment.
    :returns: also what there is to change in it; None: all is to be written, as where the server makes no clone.
    :raises ServerError: the live index was migrated meanwhile.
    """
    if live is not None:
        check_not_migrated(server, alias, live)
    left = unfinished(server, alias, bundle, digest, run)
    found = described(server, left) if left else None
    if live is None or changes is None:
        if found and "cloned_from" not in found.meta:
            return found.name, None
        return create_index(server, alias, bundle, digest, run), None
    written = position(server, live.name)
    if found and is_whole_clone(found, live.name, written):
        return found.name, changes
    if found and "cloned_from" in found.meta:
        say(f"index {found.name} of an interrupted run can be deleted: {live.name} was written into since")
    say(f"only what changed: {changes}; the rest is taken from index {live.name}")
    try:
        return clone_index(server, live, alias, bundle, digest, written, run), changes
    except NotCloned as error:
        if changes.kept is not None:
            raise
        say(f"{error} A new index is filled instead")
        return _target(server, alias, bundle, digest, live, None, run)


def _beside(server: Elasticsearch, name: str, changes: Delta | None, refused: Mapping[str, str]) -> int:
    """How many products an index has that was added to, beside those that were; of the refused what was there stays."""
    if changes is None or changes.kept is None:
        return 0
    return changes.kept + count_present(server, name, refused)


def _finish(server: Elasticsearch, name: str, merge: int | None) -> None:
    if merge is not None:
        say(f"merging to {merge} segments a shard: minutes for a million products")
    if not finish(server, name, merge):
        say(f"index {name} is not merged after {MERGE_TIMEOUT / 60:.0f} minutes: the server goes on by itself")


def _write_refused(catalogue: str | os.PathLike[str], refused: Mapping[str, str], letters: DeadLetters) -> None:
    if not refused:
        return
    for row in read(catalogue):  # once more, for the records as the shop wrote them
        if isinstance(row, Row) and (reason := refused.get(row.product.id)):
            letters.write(row.rejected(f"the server refused it: {reason}"))
            if letters.count <= SAID:
                say(f"{catalogue}, line {row.line}: product {row.product.id}: the server refused it: {reason}")
