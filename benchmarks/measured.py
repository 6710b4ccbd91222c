"""Measured: a command run by itself, with the most memory it held, and what its progress bars say of the time."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# A process of its own between the two: what a child inherits of its parent's memory counts as its own until it execs.
_LAUNCH = """
import json, os, sys
pid = os.fork()
if not pid:
    os.execv(sys.argv[2], sys.argv[2:])
_, status, used = os.wait4(pid, 0)
with open(int(sys.argv[1]), "w") as out:
    json.dump([os.waitstatus_to_exitcode(status), used.ru_maxrss * 1024, used.ru_utime + used.ru_stime], out)
"""
_BAR = re.compile(r"([a-z, ]+): +\d+(?:%\||product)")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a command did and took."""

    status: int
    seconds: float
    processor_seconds: float
    peak_rss_bytes: int
    stages: dict[str, float]
    """Seconds from the first to the last line of each progress bar."""
    stdout: str
    stderr: str


def run(command: Sequence[str], **more: Any) -> Measured:
    """Run a command to its end."""
    here, there = os.pipe()
    launcher = [sys.executable, "-S", "-c", _LAUNCH, str(there), *command]
    started = time.monotonic()
    with subprocess.Popen(
        launcher, pass_fds=(there,), stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, **more
    ) as process:
        os.close(there)
        assert process.stderr and process.stdout  # noqa: S101
        said, stages = _watched(process.stderr)
        output = process.stdout.read().decode()
    seconds = time.monotonic() - started
    with open(here) as results:  # noqa: PTH123
        status, peak, processor = json.load(results)
    return Measured(status, seconds, processor, peak, stages, output, said)


def _watched(stderr: Any) -> tuple[str, dict[str, float]]:
    """Everything that was said, and how long each bar moved."""
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    said = b""
    while piece := stderr.read(1 << 16):
        said = (said + piece)[-1_000_000:]
        now = time.monotonic()
        for line in re.split(r"[\r\n]", piece.decode(errors="replace")):
            if found := _BAR.match(line):
                first.setdefault(found[1], now)
                last[found[1]] = now
    return said.decode(errors="replace"), {name: round(last[name] - first[name], 1) for name in first}
