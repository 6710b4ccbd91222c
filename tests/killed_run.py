"""Runs of `index` that do not come to their end: killed in a process of its own, or interrupted at a step."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROGRAM = (
    "import sys; from shelfwise_indexer import index_run, ingest; index_run.SEGMENT = int(sys.argv[5])\n"
    "ingest.index(sys.argv[1], sys.argv[2], sys.argv[3], url=sys.argv[4])"
)


def index_and_kill(catalogue: Path, bundle: Path, alias: str, url: str, segment: int, cache: Path, after: int) -> int:
    """SIGKILL once so many segments were sent; how many were by then."""
    run = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(catalogue), str(bundle), alias, url, str(segment)],
        stderr=subprocess.DEVNULL,
    )
    marks = _wait_for_marks(cache, run, after)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    return len(marks.read_text().split())


def interrupted_after(step: Callable[..., object]) -> Callable[..., None]:
    """The step, during which Ctrl-C was pressed."""

    def call(*given: object) -> None:
        step(*given)
        raise KeyboardInterrupt

    return call


def _wait_for_marks(cache: Path, run: "subprocess.Popen[bytes]", after: int) -> Path:
    until = time.monotonic() + 120
    while time.monotonic() < until and run.poll() is None:
        for marks in cache.glob("shelfwise/runs/*/sent-*"):
            if len(marks.read_text().split()) >= after:
                return marks
        time.sleep(0.002)
    raise AssertionError(f"the run neither sent {after} segments nor stayed alive")
