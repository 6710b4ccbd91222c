"""The write block: for a moment an index takes no writes, and who writes then is told so (403)."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from elasticsearch import Elasticsearch

from shelfwise.blocks import FLOOD_STAGE, READ_ONLY, WRITE, advice
from shelfwise.errors import ServerError
from shelfwise.live_index import LiveIndex, described, rewrite_meta
from shelfwise.messages import tell
from shelfwise.server import one_line

OPEN: dict[str, Any] = {WRITE: None}


@contextmanager
def blocked(client: Elasticsearch, name: str) -> Iterator[None]:
    """An index takes no writes in this context, and what was on its way is written when it begins.

    A mark in `_meta` lets `release` end what a kill in between left; it is the name: a clone has its original's.
    A block that somebody else has set stays.
    """
    ours = WRITE not in blocks(client, name) or "cloning" in described(client, name).meta
    try:
        with one_line(f"blocking writes to index {name}"):
            if ours:
                rewrite_meta(client, name, {"cloning": name})
                client.indices.add_block(index=name, block="write")
        yield
    except BaseException:
        if ours:
            with suppress(ServerError):  # what went wrong first is what there is to say
                unblock(client, name)
        raise
    if ours:
        unblock(client, name)


def prepare(client: Elasticsearch, index: LiveIndex) -> None:
    """See to the blocks of an index that a run is to replace: end one that a killed run left, say what somebody set.

    :raises ServerError: the index has a block with which it cannot be replaced.
    """
    found = blocks(client, index.name)
    for setting in (READ_ONLY, FLOOD_STAGE):
        if setting in found:
            raise ServerError(f"{advice(setting, index.name)}, then run the same command again")
    release(client, index)
    if WRITE in found and "cloning" not in index.meta:
        tell(f"index {index.name} has the block {WRITE}: it keeps it, and the next index takes writes")


def release(client: Elasticsearch, index: LiveIndex) -> None:
    """Let an index take writes again that a run, killed while it blocked it, left so."""
    if index.meta.get("cloning"):
        unblock(client, index.name)


def unblock(client: Elasticsearch, name: str) -> None:
    """Let an index take writes again."""
    with one_line(f"opening index {name} for writes"):
        client.indices.put_settings(index=name, settings=OPEN)
    rewrite_meta(client, name, {"cloning": None})


def blocks(client: Elasticsearch, name: str) -> list[str]:
    """The blocks that an index has, such as `index.blocks.write`."""
    with one_line(f"reading the blocks of index {name}"):
        found = client.indices.get_settings(index=name, name="index.blocks.*", flat_settings=True).body
    settings = found.get(name, {}).get("settings", {})
    return sorted(setting for setting, value in settings.items() if str(value).lower() == "true")
