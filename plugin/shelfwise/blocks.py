"""The blocks: settings by which an index, or a cluster, refuses some requests, and what there is to do about each."""

import re

WRITE = "index.blocks.write"
READ_ONLY = "index.blocks.read_only"
FLOOD_STAGE = "index.blocks.read_only_allow_delete"

# By the number that the server names them by (IndexMetadata.java, Metadata.java).
_SETTINGS = {
    "5": READ_ONLY,
    "6": "cluster.blocks.read_only",
    "7": "index.blocks.read",
    "8": WRITE,
    "9": "index.blocks.metadata",
    "12": FLOOD_STAGE,
    "13": "cluster.blocks.read_only_allow_delete",
}
_INDEX = re.compile(r"index \[([^\]]+)\] blocked by")
_NUMBER = re.compile(r"\[[A-Z_]+/(\d+)/")


def explained(reason: str) -> str | None:
    """Which block a refusal comes from, and what to do; None: from none that somebody has set.

    :param reason: type and reason of the server's error, as `reason_of` gives it.
    """
    if "cluster_block_exception" not in reason:
        return None
    settings = [_SETTINGS[number] for number in _NUMBER.findall(reason) if number in _SETTINGS]
    index = _INDEX.search(reason)
    return advice(settings[0], index[1] if index else "") if settings else None


def advice(setting: str, index: str = "") -> str:
    """That an index, or the cluster, has a block, and what to do."""
    where = f"index {index}" if setting.startswith("index.") else "the cluster"
    said = f"{where} has the block {setting}"
    if setting.endswith("read_only_allow_delete"):
        return (
            f"{said}, which the server sets where a disk is nearly full (flood stage) and takes away once there is "
            "room: make room on the disks of its nodes"
        )
    if setting == WRITE:
        said = f"{said}, as for a second while `shelfwise index` clones it; if it stays"
    if where == "the cluster":
        return f'{said}: take it away (PUT _cluster/settings {{"persistent": {{"{setting}": null}}}})'
    return f'{said}: take it away (PUT {index}/_settings {{"{setting}": null}})'
