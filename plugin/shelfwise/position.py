"""The position: how far an index is written, by the server's sequence numbers, and what was written since.

Every write into a shard, of a document or its deletion, has the next number there; `_seq_no` of a document is that of
the write that made it what it is.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from elastic_transport import TransportError
from elasticsearch import ApiError, Elasticsearch

from shelfwise.filters import Body

Position = Mapping[str, Any]


def position(client: Elasticsearch, index: str) -> dict[str, Any] | None:
    """How far an index is written: what changes with every write into it, and with nothing else.

    None: the server does not say, or not to this login.
    """
    try:
        answer = client.indices.stats(index=index, metric="docs", level="shards")["indices"][index]
        shards = {
            number: [copy["commit"]["user_data"]["history_uuid"], copy["seq_no"]["max_seq_no"]]
            for number, copies in answer["shards"].items()
            for copy in copies
            if copy["routing"]["primary"]
        }
        uuid, every_shard = answer["uuid"], len(shards) == len(answer["shards"])
    except (ApiError, TransportError, KeyError):
        return None
    return {"index": index, "uuid": uuid, "shards": shards} if uuid and shards and every_shard else None


def since(began: Position, now: Position | None) -> Iterator[tuple[str, Body]]:
    """Where to ask for what, to find the products that were written after a position: of each shard a preference, and
    a query for them there. It finds all of a shard whose numbers have begun anew.

    :param now: where the index is now; None: not known.
    """
    for shard, (history, last) in began["shards"].items():
        counted_on = now is None or _history(now, shard) == history
        yield f"_shards:{shard}", {"range": {"_seq_no": {"gt": last if counted_on else -1}}}


def same_history(began: Position, now: Position) -> bool:
    """Whether the numbers of no shard have begun anew, so that `since` finds only what was written since."""
    return all(_history(now, shard) == history for shard, (history, _) in began["shards"].items())


def _history(of: Position, shard: str) -> str | None:
    history: str | None = of["shards"].get(shard, [None])[0]
    return history
