"""The doctor: what this machine and its server have, what shelfwise makes of it, and what would make it faster."""

import importlib.metadata
import importlib.util
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from elasticsearch import Elasticsearch

from shelfwise.advice import advise
from shelfwise.bulk_encoder import BulkEncoder
from shelfwise.bundle import Bundle
from shelfwise.capacity import capacity, gpus
from shelfwise.encoder import Encoder, Precision
from shelfwise.errors import InvalidBundle, ServerError
from shelfwise.machine import cache_folder
from shelfwise.precision import measure, precisions, sample
from shelfwise.processor import capabilities
from shelfwise.server import address, connect, one_line, server_version

INDEXER_NEEDS = ("torch", "transformers", "sentence_transformers", "faiss", "sklearn")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found, as JSON has it, and the advice that follows from it."""

    found: Mapping[str, Any]
    advice: tuple[str, ...]

    @property
    def works(self) -> bool:
        """Whether a model can run here: the runtime does, and the bundle that was named can be read."""
        return self.found["runtime"]["problem"] is None and not (self.found["bundle"] or {}).get("problem")

    def to_json(self) -> dict[str, Any]:
        """What `shelfwise doctor` prints."""
        return {**self.found, "advice": list(self.advice)}


def diagnose(bundle: Path | None, url: str | None) -> Diagnosis:
    """Look at machine, runtime, server and, if one is named, a bundle; changes nothing.

    A server that does not answer and a bundle that cannot be read are findings, no errors.

    :raises UsageError: the URL is not one.
    """
    cache = cache_folder(os.environ, None)
    found: dict[str, Any] = {
        "machine": asdict(capacity())
        | {"gpus": asdict(gpus()), "cache": str(cache), "cache_free_bytes": shutil.disk_usage(_existing(cache)).free},
        "runtime": runtime(),
        "install": install(),
        "server": server(url, os.environ),
        "bundle": None,
    }
    if bundle is not None:
        found["bundle"] = bundle_found(bundle, found["runtime"]["problem"] is None)
    return Diagnosis(found, tuple(advise(found)))


def runtime() -> dict[str, Any]:
    """The inference runtime: its version, and what its processor plug-in can do."""
    try:
        can = capabilities()
    except (OSError, RuntimeError) as error:
        return {"openvino": None, "capabilities": [], "problem": str(error).strip().split("\n")[0]}
    version = importlib.metadata.version("openvino")
    return {"openvino": version, "capabilities": can, "problem": None}


def install() -> dict[str, Any]:
    """Versions, and what the offline half lacks."""
    return {
        "shelfwise": importlib.metadata.version("shelfwise"),
        "client": importlib.metadata.version("elasticsearch"),
        "missing": [name for name in INDEXER_NEEDS if importlib.util.find_spec(name) is None],
    }


def server(url: str | None, env: Mapping[str, str]) -> dict[str, Any]:
    """The server as its address, without any login, has it; what a login may not ask is null.

    :raises UsageError: the URL is not one.
    """
    found: dict[str, Any] = {"url": address(url, env), "reachable": False, "problem": None}
    try:
        with closing(connect(url, env)) as client:
            return found | {"reachable": True} | _asked(client)
    except ServerError as error:
        return found | {"problem": str(error)}


def bundle_found(path: Path, runs: bool) -> dict[str, Any]:
    """The bundle, and how fast and exact it is in each precision."""
    try:
        bundle = Bundle.load(path)
    except InvalidBundle as error:
        return {"path": str(path), "problem": str(error)}
    found: dict[str, Any] = {
        "path": str(path),
        "version": bundle.version,
        "dimension": bundle.dimension,
        "leaves": len(bundle.taxonomy.leaves),
        "problem": None,
        "compressed": dict(bundle.info.get("compressed", {})),
        "precision": None,
    }
    if runs:
        try:
            encoders: dict[Precision, Encoder] = {kind: BulkEncoder(bundle, kind) for kind in precisions(bundle)}
        except InvalidBundle as error:
            return found | {"problem": str(error)}
        found["precision"] = measure(encoders, sample(bundle)).to_json()
    return found


def _asked(client: Elasticsearch) -> dict[str, Any]:
    found: dict[str, Any] = {"version": server_version(client), "licence": None, "status": None, "nodes": None}
    questions: dict[str, Callable[[], Any]] = {
        "licence": lambda: client.license.get()["license"]["type"],
        "status": lambda: client.cluster.health()["status"],
        "nodes": lambda: [_node(node) for node in client.nodes.stats(metric=["jvm", "fs"])["nodes"].values()],
    }
    for name, ask in questions.items():
        try:
            with one_line(f"asking for the server's {name}"):
                found[name] = ask()
        except ServerError as error:
            found["problem"] = str(error)
    return found


def _node(node: Mapping[str, Any]) -> dict[str, Any]:
    heap, disk = node["jvm"]["mem"], node["fs"]["total"]
    return {
        "name": node["name"],
        "heap_bytes": heap["heap_max_in_bytes"],
        "heap_used_bytes": heap["heap_used_in_bytes"],
        "disk_bytes": disk["total_in_bytes"],
        "disk_free_bytes": disk["available_in_bytes"],
    }


def _existing(folder: Path) -> Path:
    """The folder, or the deepest above it that is there and that this user may look into."""
    for path in (folder, *folder.parents):
        with suppress(OSError):
            if path.exists():
                return path
    return Path("/")
