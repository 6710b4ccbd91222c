"""The clone: a copy of the live index that is changed while the live one serves.

The server links the files of the live index and copies none, so that it takes a second whatever the size, and
`rollback` still has the index before. For that second the live index takes no writes: whoever writes then is told so
(403, `cluster_block_exception`) and can write again; nothing is accepted and lost. A clone that the server has nowhere
to start is given up after CLONE_TIMEOUT, so that a shop is not kept from writing for longer.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from elastic_transport import TransportError
from elasticsearch import ApiError, BadRequestError, Elasticsearch

from shelfwise.blocks import FLOOD_STAGE, READ_ONLY, WRITE
from shelfwise.bundle import Bundle
from shelfwise.errors import ServerError
from shelfwise.index import FILLING, named_anew
from shelfwise.live_index import LiveIndex
from shelfwise.write_block import blocked

CLONE_TIMEOUT = 20.0  # seconds that the live index takes no writes at most; linking takes one
CLIENT_WAITS_ON = 30.0  # seconds, so that it is the server that says no
UNBLOCKED = dict.fromkeys((WRITE, READ_ONLY, FLOOD_STAGE))  # a clone inherits the blocks of its original


class NotCloned(ServerError):
    """A clone did not start, and was deleted: a new index can be filled instead."""


def clone_index(
    client: Elasticsearch,
    original: LiveIndex,
    alias: str,
    bundle: Bundle,
    catalogue_hash: str,
    written: Mapping[str, Any] | None = None,
    run: str | None = None,
) -> str:
    """Clone a live index, and give the clone's name: to be filled further, then finished and swapped as a new one.

    :param written: how far the original is written, for `is_whole_clone`.
    :param run: as of `create_index`.
    :raises NotCloned: it did not start within CLONE_TIMEOUT seconds.
    :raises ServerError: the server refused.
    """
    of = {"cloned_from": original.name, "cloned_at": written, "neighbours_at": neighbours_at(original)}
    begun: set[str] = set()

    def clone(name: str, meta: Mapping[str, Any]) -> None:
        begun.add(name)
        try:
            _start(client, original.name, name)
        except BadRequestError:
            begun.remove(name)  # an index of this name is somebody else's
            raise
        # A clone begins as its original says it is: complete.
        client.indices.put_mapping(index=name, meta={"shelfwise": dict(meta) | of})

    try:
        with blocked(client, original.name):
            return named_anew(alias, bundle, catalogue_hash, clone, run)
    except BaseException:
        for name in begun:
            with suppress(ApiError, TransportError):  # what went wrong first is what there is to say
                client.indices.delete(index=name, ignore_unavailable=True)
        raise


def is_whole_clone(index: LiveIndex, original: str, written: Mapping[str, Any] | None) -> bool:
    """Whether an index is a clone that lacks nothing of what was written into its original since.

    :param written: how far the original is written now; None: not known.
    """
    return index.meta.get("cloned_from") == original and written is not None and index.meta.get("cloned_at") == written


def _start(client: Elasticsearch, original: str, name: str) -> None:
    patient = client.options(request_timeout=CLONE_TIMEOUT + CLIENT_WAITS_ON, max_retries=0)
    settings = {f"index.{key}": value for key, value in FILLING.items()}
    answer = patient.indices.clone(
        index=original, target=name, settings=settings | UNBLOCKED, timeout=f"{CLONE_TIMEOUT * 1000:.0f}ms"
    )
    if not answer["shards_acknowledged"]:
        raise NotCloned(
            f"index {name}, a clone of {original}, did not start within {CLONE_TIMEOUT:g} seconds and was deleted: is "
            "the server's disk full, does it start no shards (cluster.routing.allocation.enable), or can its file "
            "system not link files, so that it copies them?"
        )


def neighbours_at(index: LiveIndex) -> str | None:
    """When the neighbours that its documents hold were last computed for all of them, ISO 8601.

    What was encoded since may stand in no list, or with an old score: `similar` looks for it live.
    """
    moment = index.meta.get("neighbours_at") or index.meta.get("completed_at")
    return None if moment is None else str(moment)
