"""Bundle migration: a bundle for a changed taxonomy, with the same weights, vectors and scores of what stayed."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import orjson

from shelfwise.bundle import Bundle, content_version
from shelfwise.errors import UsageError
from shelfwise.messages import SAID
from shelfwise.taxonomy import Path, Taxonomy, parse_path, path_text
from shelfwise_indexer.page import note_copied
from shelfwise_indexer.taxonomy_changes import Change, Changes

NEVER = 1.0  # a threshold at which no prediction is accepted without a person


def migrate_bundle(
    bundle: Bundle, changes: Changes, out: FilePath, check: Callable[[str], object] = lambda _: None
) -> Bundle:
    """Write the bundle after the changes into a folder, whole or not at all; the same one there already is left.

    The model's files are copied as they are; `logit_leaves` in `bundle.json` says which leaf each output now is. A
    leaf that was renamed or moved keeps its probability and threshold. Of merged leaves the probabilities add up and
    the strictest threshold counts. What the model takes for a split leaf goes to what its parts have in common, and is
    never accepted without a person, until `train --from` has learnt the parts.

    :param check: given the new version before the folder is written; what it raises leaves everything as it was.
    :raises UsageError: the folder holds something else, or cannot be written.
    """
    info, taxonomy = _migrated(bundle, changes)
    staging = out.absolute().parent / f".{out.name}.migrating"
    try:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.copytree(bundle.path, staging)
        (staging / "taxonomy.json").write_bytes(orjson.dumps(taxonomy.to_json(), option=orjson.OPT_INDENT_2))
        info["version"] = content_version(staging, info)
        check(info["version"])
        note_copied(staging / "report", _note(bundle, changes))
        (staging / "bundle.json").write_bytes(orjson.dumps(info, option=orjson.OPT_INDENT_2))
        if not _holds(out, info["version"]):
            if out.exists():
                out.rmdir()  # an empty folder; of any other the call fails
            staging.rename(out)
    except OSError as error:
        raise UsageError(
            f"{out} cannot be written ({error.strerror}): give --out a new folder in one that you may write"
        ) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Bundle.load(out)


def changes_since(meta: Mapping[str, Any], bundle: Bundle) -> Changes:
    """The changes that lead from an index's categories to a bundle's, in one migration or several.

    From those of the bundle that the index was written with, or, where this one was not made of that, from the same
    categories: those of a bundle that was only trained again. None where nothing is known to lead there.

    :param meta: of the index.
    """
    steps = _steps(bundle)
    for name in ("bundle", "taxonomy"):
        for count, step in enumerate(steps):
            if step[name] == meta.get(name):
                return _changes(steps[1 : count + 1])
    return Changes(())


def _steps(bundle: Bundle) -> list[Mapping[str, Any]]:
    """The bundle, and those that it was made of, the last first; each after the first with the changes made of it."""
    steps: list[Mapping[str, Any]] = [{"bundle": bundle.version, "taxonomy": bundle.taxonomy.hash}]
    made_of = bundle.info.get("migrated_from")
    while made_of:
        steps.append(made_of)
        made_of = made_of.get("before")
    return steps


def _changes(steps: Sequence[Mapping[str, Any]]) -> Changes:
    done = [change for step in reversed(steps) for change in step["changes"]]
    return Changes(
        tuple(
            Change(number, one["change"], _paths(one["from"]), _paths(one["to"]))
            for number, one in enumerate(done, start=1)
        )
    )


def _migrated(bundle: Bundle, changes: Changes) -> tuple[dict[str, Any], Taxonomy]:
    """`bundle.json` after the changes, its version aside, and the taxonomy."""
    leaves = bundle.taxonomy.leaves
    followed = [changes.follow(leaf) for leaf in leaves]
    taxonomy = Taxonomy.of(one.path for one in followed)
    new_of = np.array([taxonomy.leaf_number[one.path] for one in followed], dtype=np.int64)
    before = np.arange(len(leaves)) if bundle.logit_leaves is None else bundle.logit_leaves
    undecided = {new_of[number] for number, one in enumerate(followed) if not one.decided}
    info: dict[str, Any] = dict(bundle.info) | {
        "taxonomy": taxonomy.hash,
        "logit_leaves": new_of[before].tolist(),
        "migrated_from": {
            "bundle": bundle.version,
            "taxonomy": bundle.taxonomy.hash,
            "changes": [
                {"change": change.kind, "from": _texts(change.sources), "to": _texts(change.targets)}
                for change in changes.changes
            ],
            "before": bundle.info.get("migrated_from"),
        },
    }
    if bundle.thresholds is not None or undecided:
        own = np.full(len(leaves), bundle.threshold) if bundle.thresholds is None else bundle.thresholds
        info["thresholds"] = _strictest(own.tolist(), new_of.tolist(), undecided, len(taxonomy.leaves))
    if bundle.label_thresholds is not None:
        own = bundle.label_thresholds
        info["label_thresholds"] = _strictest(own.tolist(), new_of.tolist(), undecided, len(taxonomy.leaves))
    return info, taxonomy


def _note(bundle: Bundle, changes: Changes) -> str:
    """What the page that is copied has to say of the bundle after the changes."""
    done = [
        f"{' and '.join(_texts(change.sources))} {change.kind} to {' and '.join(_texts(change.targets))}"
        for change in changes.changes[:SAID]
    ]
    more = f" and {len(changes.changes) - SAID} more" if len(changes.changes) > SAID else ""
    return (
        f"Copied from bundle {bundle.version}, with its categories and figures. Since then categories were "
        f"changed: {'; '.join(done)}{more}."
    )


def _strictest(thresholds: Sequence[float], new_of: Sequence[int], undecided: set[int], leaves: int) -> list[float]:
    most = [0.0] * leaves
    for threshold, leaf in zip(thresholds, new_of, strict=True):
        most[leaf] = max(most[leaf], NEVER if leaf in undecided else threshold)
    return most


def _texts(paths: Sequence[tuple[str, ...]]) -> list[str]:
    return [path_text(path) for path in paths]


def _paths(texts: Sequence[str]) -> tuple[Path, ...]:
    return tuple(map(parse_path, texts))


def _holds(out: FilePath, version: str) -> bool:
    return (out / "bundle.json").is_file() and Bundle.load(out).version == version
