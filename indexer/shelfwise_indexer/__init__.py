"""The offline half of shelfwise: from a catalogue to a bundle, and from both to an index."""

from typing import TYPE_CHECKING, Any

import shelfwise  # noqa: F401 before OpenVINO: see there

if TYPE_CHECKING:
    from shelfwise_indexer.ingest import index
    from shelfwise_indexer.training import train

__all__ = ["index", "train"]

_ROOMS = {"index": "shelfwise_indexer.ingest", "train": "shelfwise_indexer.training"}


def __getattr__(name: str) -> Any:
    """Load a room when something of it is first asked for: the command line must not wait for torch.

    No room has the name of what it gives: as the attribute of this package it would stand in its place.
    """
    if name not in _ROOMS:
        raise AttributeError(f"module 'shelfwise_indexer' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_ROOMS[name]), name)
