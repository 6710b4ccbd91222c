"""The choice: the precision that was found best for a bundle on this machine, remembered on disk."""

import contextlib
import hashlib
import importlib.metadata
import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import orjson

from shelfwise.bundle import Bundle
from shelfwise.capacity import capacity
from shelfwise.compressed import entry
from shelfwise.encoder import Precision
from shelfwise.machine import cache_folder


class Choice:
    """Where it is kept: one small file for a bundle, a processor and a runtime.

    :param precisions: those that there were to choose from.
    :param folder: default: `precision` in the cache folder.
    """

    def __init__(self, bundle: Bundle, precisions: Sequence[Precision], folder: Path | None = None) -> None:
        machine = capacity()
        self.precisions = precisions
        self._of = {
            "bundle": bundle.version,
            "int8": entry(bundle).get("hash"),
            "processor": machine.processor,
            "cores": machine.cores,
            "openvino": importlib.metadata.version("openvino"),
            "precisions": list(precisions),
        }
        key = hashlib.sha256(orjson.dumps(self._of, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
        self._file = (folder or cache_folder(os.environ, None) / "precision") / f"{key}.json"

    def read(self) -> Precision | None:
        """The one that was chosen; None: none was, or what is there cannot be read."""
        try:
            content = orjson.loads(self._file.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return None
        chosen = content.get("chosen") if isinstance(content, dict) else None
        return cast(Precision, chosen) if chosen in self.precisions else None

    def write(self, chosen: Precision) -> None:
        """Remember it. Where that cannot be written, the next run only measures again."""
        new = self._file.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(orjson.dumps(self._of | {"chosen": chosen}, option=orjson.OPT_INDENT_2))
            new.replace(self._file)
