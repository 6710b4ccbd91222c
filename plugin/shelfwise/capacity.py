"""The capacity of this machine: cores, instruction sets, memory, GPUs, as far as this process may use them."""

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

ROOT = Path("/")
# Of x86 and ARM, what makes the arithmetic of a model faster, by the names in /proc/cpuinfo.
INSTRUCTION_SETS = {
    "avx2": ("avx2",),
    "avx512": ("avx512f",),
    "avx512_bf16": ("avx512_bf16",),
    "amx": ("amx_tile",),
    "vnni": ("avx512_vnni", "avx_vnni"),
    "neon": ("asimd", "neon"),
    "sve": ("sve",),
    "bf16": ("bf16",),
    "i8mm": ("i8mm",),
}
ENOUGH_FOR_A_LIBRARY = 60.0  # seconds to import torch on a busy machine
_ASK_TORCH = """
import json, torch
found = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
print(json.dumps([{"name": one.name, "memory_bytes": one.total_memory} for one in found]))
"""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What this process may use; None where the system does not say."""

    processor: str | None
    cores_of_machine: int
    cores: float
    """That this process may use: those it may run on, or fewer by a quota."""
    instruction_sets: tuple[str, ...]
    memory_bytes: int | None
    memory_available_bytes: int | None
    memory_limit_bytes: int | None
    """Of the control group; None: no limit below the machine's memory."""


@dataclass(frozen=True, slots=True)
class Gpus:
    """What training and indexing may use beside the processor."""

    torch: str | None
    """Its version; None: it is not installed."""
    devices: tuple[dict[str, object], ...]
    """`name` and `memory_bytes` of each that torch can use."""


def capacity(root: Path = ROOT) -> Capacity:
    """The capacity as `/proc` and `/sys` below `root` have it; without them what Python knows."""
    processor = _text(root / "proc/cpuinfo")
    memory = dict(re.findall(r"^(\w+):\s+(\d+) kB", _text(root / "proc/meminfo"), re.M))
    total, available = (int(memory[name]) * 1024 if name in memory else None for name in ("MemTotal", "MemAvailable"))
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = memory_limit(root)
    name = re.search(r"^model name\s*:\s*(.+)$", processor, re.M)
    return Capacity(
        name[1].strip() if name else None,
        os.cpu_count() or 1,
        min([float(allowed), *core_quotas(root)]),
        instruction_sets(processor),
        total,
        available,
        None if limit is None or (total is not None and limit >= total) else limit,
    )


def instruction_sets(cpuinfo: str) -> tuple[str, ...]:
    """Those of INSTRUCTION_SETS that the text of `/proc/cpuinfo` lists."""
    listed = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.M)
    flags = set(listed[1].split()) if listed else set()
    return tuple(name for name, any_of in INSTRUCTION_SETS.items() if flags & {*any_of})


def core_quotas(root: Path = ROOT) -> Iterator[float]:
    """How many cores' time each control group of this process may take, where it has a quota."""
    for folder in _groups(root, "cpu"):
        both = _text(folder / "cpu.max").split() or [
            _text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")
        ]
        if len(both) == 2 and both[0].isdigit() and both[1].isdigit() and int(both[1]):
            yield int(both[0]) / int(both[1])


def memory_limit(root: Path = ROOT) -> int | None:
    """The least limit of this process's control groups, bytes."""
    limits = [
        int(text)
        for folder in _groups(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        if (text := _text(folder / name).strip()).isdigit()
    ]
    return min(limits, default=None)


def gpus() -> Gpus:
    """What torch says; a process of its own asks it, so that this one stays light."""
    if importlib.util.find_spec("torch") is None:
        return Gpus(None, ())
    version = importlib.metadata.version("torch")
    try:
        asked = subprocess.run(  # noqa: S603
            [sys.executable, "-c", _ASK_TORCH],
            capture_output=True,
            timeout=ENOUGH_FOR_A_LIBRARY,
            check=True,
        )
        return Gpus(version, tuple(orjson.loads(asked.stdout)))
    except (OSError, subprocess.SubprocessError, orjson.JSONDecodeError):
        return Gpus(version, ())


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's control groups of a controller, version 2 and 1, each with those above it."""
    mount = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            tops = [mount, mount / "unified"]
        elif controller in controllers.split(","):
            tops = [mount / controllers, mount / controller]
        else:
            continue
        for top in dict.fromkeys(tops):
            own = top / path.lstrip("/")
            yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(top))


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""
