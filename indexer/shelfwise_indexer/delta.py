"""The delta: what a run has to change in a copy of the live index, where most of that stays as it is.

A product whose document is the same is not sent, one with another price or stock is rewritten without its vector, one
with another text is encoded and sent whole. Lists of neighbours are computed for what was encoded only; `similar` finds
live what they do not know of yet, and once STALE of the products were encoded since all lists were computed, a run
fills a new index with new lists.
"""

from dataclasses import dataclass, replace

from elasticsearch import Elasticsearch

from shelfwise.bundle import Bundle
from shelfwise.clone import neighbours_at
from shelfwise.errors import IncompatibleIndex
from shelfwise.live_index import LiveIndex, check_compatible
from shelfwise.mapping import mapping_hash
from shelfwise.query import VECTOR, enriched_after
from shelfwise.server import one_line
from shelfwise_indexer import bulk
from shelfwise_indexer.gone import Gone
from shelfwise_indexer.id_hashes import IdHashes
from shelfwise_indexer.spooled import Spooled

MOST_CHANGED = 0.25  # of the products; beyond it filling a new index takes hardly longer and leaves it tidier
STALE = 0.2


@dataclass(frozen=True, slots=True)
class Delta:
    """What differs between a catalogue and the live index, or a clone of it."""

    encoded: int
    rewritten: int
    gone: tuple[str, ...]
    """Ids that the index has and the catalogue has not, sorted."""
    kept: int | None = None
    """Where nothing is deleted, of a run that only adds: how many such the clone has; 0 until there is one."""

    @property
    def written(self) -> int:
        """Documents to send."""
        return self.encoded + self.rewritten

    def __str__(self) -> str:
        return f"{self.encoded} encoded, {self.rewritten} rewritten without encoding, {len(self.gone)} gone"


@dataclass(frozen=True, slots=True)
class Anew:
    """A run has to fill a new index, and why."""

    reason: str


def delta(server: Elasticsearch, live: LiveIndex, bundle: Bundle, products: Spooled, gone: Gone) -> Delta | Anew:
    """What a run whose products are all spooled has to change in a clone of the live index.

    :param gone: what the live index has and the run has not.
    """
    if live.meta.get("bundle") != bundle.version:
        return Anew("it was written with another bundle")
    if live.meta.get("mapping") != mapping_hash():
        return Anew("it has the mapping of another version of shelfwise")
    held, vectors, stale = _counts(server, live)
    if vectors < held and (without := _carried_without_vector(server, live, products)):
        return Anew(f"{without} of its products have lost their vectors")
    changes, count = _changes(products, gone.ids), len(products)
    if changes.written > MOST_CHANGED * count:
        return Anew(f"{changes.written} of {count} products changed, more than {MOST_CHANGED:.0%}")
    if stale + changes.encoded > STALE * count:
        encoded = f"{stale + changes.encoded} of {count} products were encoded"
        return Anew(f"{encoded} since the neighbours of all were computed, more than {STALE:.0%}")
    if len(gone.ids) > MOST_CHANGED * held:
        return Anew(f"{len(gone.ids)} of its {held} products are gone, more than {MOST_CHANGED:.0%}")
    return changes


def addition(products: Spooled) -> Delta:
    """What a run changes that adds to the live index and deletes nothing; see `check_takes`."""
    return replace(_changes(products, ()), kept=0)


def in_clone(server: Elasticsearch, clone: str, changes: Delta, products: Spooled) -> Delta:
    """What there is to change once the clone is made, which has what came into the live index until that moment."""
    beside = tuple(sorted(products.lacks(bulk.ids(server, clone))))
    return replace(changes, gone=beside) if changes.kept is None else replace(changes, kept=len(beside))


def _changes(products: Spooled, gone: tuple[str, ...]) -> Delta:
    encoded, rewritten = ~products.carried, products.carried & ~products.same
    return Delta(int(encoded.sum()), int(rewritten.sum()), gone)


def check_takes(live: LiveIndex, bundle: Bundle) -> None:
    """:raises IncompatibleIndex: products cannot be added to the live index, but only replace it."""
    check_compatible(live, bundle)
    if live.meta.get("mapping") != mapping_hash():
        raise IncompatibleIndex(
            f"index {live.name} has the mapping of another version of shelfwise: index the whole catalogue with this "
            "one, then add to it"
        )


def _carried_without_vector(server: Elasticsearch, live: LiveIndex, products: Spooled) -> int:
    """How many products would have no vector in a clone: what is encoded gets one, what is gone needs none."""
    without = list(bulk.ids(server, live.name, {"bool": {"must_not": {"exists": {"field": VECTOR}}}}))
    return len(without) - sum(1 for _ in IdHashes(products.id_hashes[products.carried]).lacks(without))


def _counts(server: Elasticsearch, live: LiveIndex) -> tuple[int, int, int]:
    """Products of an index, those with a vector, and those encoded since neighbours were computed for all."""
    since = neighbours_at(live)
    parts = {"vectors": {"filter": {"exists": {"field": VECTOR}}}}
    if since is not None:
        parts["stale"] = {"filter": enriched_after(since)}
    with one_line(f"counting index {live.name}"):
        server.indices.refresh(index=live.name)
        found = server.search(
            index=live.name, size=0, track_total_hits=True, aggs=parts, allow_partial_search_results=False
        )
    products = int(found["hits"]["total"]["value"])
    counts = {name: int(part["doc_count"]) for name, part in found["aggregations"].items()}
    return products, counts["vectors"], counts.get("stale", products)
