"""The work folder: where a training keeps its checkpoints beside the bundle to be, until it ends well."""

import glob
import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from shelfwise.messages import tell
from shelfwise_indexer.fit import last_checkpoint

DIGITS = 12  # of the hash in its name
PROCESS = "process"  # file with the id of one that is, or was, at work


def work_folder(folder: Path, inputs: Sequence[Any]) -> Path:
    """The folder, made where it is not there: found again only by a run of the same data, settings and models.

    Those that other runs for the same bundle left are named.
    """
    run = hashlib.sha256(orjson.dumps(inputs, option=orjson.OPT_SORT_KEYS)).hexdigest()[:DIGITS]
    work = folder.absolute().parent / f".{folder.name}.training-{run}"
    if last_checkpoint(work / "fit"):
        tell(f"going on with an interrupted training in {work}")
    if others := [str(other) for other in _left(folder) if other != work and not _runs(other)]:
        tell(
            f"interrupted trainings of {folder} with another catalogue or other settings left {', '.join(others)}: "
            "deleted when this training ends well; to go on with one of them, give what it was given"
        )
    work.mkdir(exist_ok=True)
    (work / PROCESS).write_text(str(os.getpid()))
    return work


def forget(folder: Path, own: Path | None = None) -> None:
    """Delete what trainings of this bundle left, so that none goes on from there; not of one that runs.

    :param own: the folder of the training that ends, whichever of its processes wrote there last.
    """
    for work in _left(folder):
        if work == own or not _runs(work):
            shutil.rmtree(work, ignore_errors=True)


def _runs(work: Path) -> bool:
    """Whether another process of this machine is at work there."""
    try:
        process = int((work / PROCESS).read_text())
        os.kill(process, 0)
    except (OSError, ValueError):
        return False
    return process != os.getpid()


def _left(folder: Path) -> list[Path]:
    pattern = f".{glob.escape(folder.name)}.training-{DIGITS * '[0-9a-f]'}"
    return sorted(folder.absolute().parent.glob(pattern))
