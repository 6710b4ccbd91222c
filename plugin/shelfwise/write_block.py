"""The write block: for a moment an index takes no writes, and who writes then is told so (403)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from elasticsearch import Elasticsearch

from shelfwise.live_index import LiveIndex, rewrite_meta
from shelfwise.server import one_line

OPEN: dict[str, Any] = {"index.blocks.write": None}


@contextmanager
def blocked(client: Elasticsearch, name: str) -> Iterator[None]:
    """An index takes no writes in this context, and what was on its way is written when it begins.

    A mark in `_meta` lets `release` end what a kill in between left.
    """
    try:
        with one_line(f"blocking writes to index {name}"):
            rewrite_meta(client, name, {"cloning": True})
            client.indices.add_block(index=name, block="write")
        yield
    finally:
        unblock(client, name)


def release(client: Elasticsearch, index: LiveIndex) -> None:
    """Let an index take writes again that a run, killed while it blocked it, left so."""
    if index.meta.get("cloning"):
        unblock(client, index.name)


def unblock(client: Elasticsearch, name: str) -> None:
    """Let an index take writes again."""
    with one_line(f"opening index {name} for writes"):
        client.indices.put_settings(index=name, settings=OPEN)
    rewrite_meta(client, name, {"cloning": None})
