"""Gone: products of the live index that the next one lacks. They are said; where they are most, nothing goes live.

A catalogue replaces what is live, so that half of one, of an export that broke off, takes the other half off sale.
"""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from elasticsearch import Elasticsearch

from shelfwise.errors import ShelfwiseError
from shelfwise.live_index import LiveIndex
from shelfwise.messages import first_of
from shelfwise.server import one_line
from shelfwise_indexer import bulk
from shelfwise_indexer.dead_letters import DeadLetters
from shelfwise_indexer.indexed import present
from shelfwise_indexer.meanwhile import Meanwhile
from shelfwise_indexer.spooled import Spooled

LARGE = 1_000  # products of a live index; of a smaller one more than half may well go
MOST = 0.5
NAMED = 3  # of the ids, in an error


class CatalogueShrank(ShelfwiseError):
    """Most of the live products would be gone, which nobody allowed; the alias is as it was."""


@dataclass(frozen=True, slots=True)
class Gone:
    """Products of a live index that go with it; none where there was no such index."""

    index: str = ""
    held: int = 0
    """Products of the index."""
    ids: tuple[str, ...] = ()
    """Those that go, sorted."""

    @classmethod
    def of(cls, server: Elasticsearch, live: LiveIndex, products: Spooled, meanwhile: Meanwhile | None) -> "Gone":
        """What a live index has and a run whose products are all spooled has not.

        :param meanwhile: what came into the live index since that was made does not go.
        :raises ServerError: the server did not answer.
        """
        with one_line(f"counting index {live.name}"):
            server.indices.refresh(index=live.name)
            held = int(server.count(index=live.name)["count"])
        lacking = sorted(products.lacks(bulk.ids(server, live.name)))
        came = meanwhile.came(lacking) if meanwhile else set()
        return cls(live.name, held - len(came), tuple(id_ for id_ in lacking if id_ not in came))

    def with_refused(self, server: Elasticsearch, refused: Collection[str]) -> "Gone":
        """Beside these, what the server did not take into the next index."""
        if not self.held or not refused:
            return self
        return replace(self, ids=tuple(sorted({*self.ids, *present(server, self.index, refused)})))

    def without(self, ids: Collection[str]) -> "Gone":
        """All but some that came into the next index after all."""
        return replace(self, ids=tuple(id_ for id_ in self.ids if id_ not in ids))

    def check(self, catalogue: str | os.PathLike[str], alias: str) -> None:
        """:raises CatalogueShrank: they are too many to go without being asked for."""
        if self.held < LARGE or len(self.ids) <= MOST * self.held:
            return
        raise CatalogueShrank(
            f"{os.fspath(catalogue)}: {len(self.ids):,} of the {self.held:,} products of index {self.index} would be "
            f"gone, the first {', '.join(self.ids[:NAMED])}: alias {alias} was not moved; get the catalogue anew if it "
            "is not whole, or mend what was rejected; if they are to go, run the same with --allow-shrink (in Python "
            "allow_shrink=True), which encodes nothing again"
        )

    def messages(self, new: str, letters: DeadLetters) -> Iterator[str]:
        """What there is to say of them, now that another index is live; first of those whose lines were rejected."""
        rejected = letters.about(self.ids)
        lacking = [id_ for id_ in self.ids if id_ not in rejected]
        if rejected:
            yield (
                f"{len(rejected)} products that are in {self.index} are not in {new}, which is live now, because they "
                f"were rejected: mend `record` in {letters.path} and index that file:"
            )
        yield from first_of(sorted(rejected), len(rejected), "products")
        if lacking:
            hidden = f", or has them on {letters.nameless} rejected lines without an id" if letters.nameless else ""
            yield (
                f"{len(lacking)} products that are in {self.index} are not in {new}, which is live now, because the "
                f"catalogue lacks them{hidden}:"
            )
        yield from first_of(lacking, len(lacking), "products")
