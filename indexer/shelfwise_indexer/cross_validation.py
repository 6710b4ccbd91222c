"""Cross-validation: what a training is worth on k parts of a catalogue, each held back once."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from shelfwise.bundle import Bundle
from shelfwise.errors import InvalidBundle, UsageError
from shelfwise.text import field_names
from shelfwise_indexer.catalogue import file_hash
from shelfwise_indexer.config import settings_of
from shelfwise_indexer.evaluate import Scores
from shelfwise_indexer.folders import made
from shelfwise_indexer.good_rows import GoodRows
from shelfwise_indexer.preparation import TrainingError, groups_of, no_category
from shelfwise_indexer.settings import TrainSettings, classifier_only, uncompressed
from shelfwise_indexer.split import folds, with_every_label
from shelfwise_indexer.training import train


@dataclass(frozen=True, slots=True)
class CrossValidated:
    """The scores of each fold, and how many lines of the catalogue are no products."""

    folds: tuple[Scores, ...]
    rejected: int = 0

    def to_json(self) -> dict[str, Any]:
        """What `shelfwise cross-validate` prints: each score's mean and standard deviation (n - 1) over the folds."""
        levels = [
            {
                "level": level,
                **{
                    name: _spread([getattr(fold.levels[level - 1], name) for fold in self.folds])
                    for name in ("accuracy", "weighted_f1", "macro_f1")
                },
            }
            for level in range(1, min(len(fold.levels) for fold in self.folds) + 1)
        ]
        return {
            "folds": len(self.folds),
            "products": sum(fold.products for fold in self.folds),
            "rejected": self.rejected,
            "mean_weighted_f1": _spread([fold.mean_weighted_f1 for fold in self.folds]),
            "levels": levels,
        }


def cross_validate(
    catalogue: str | os.PathLike[str],
    work: str | os.PathLike[str],
    settings: TrainSettings | None = None,
    k: int = 5,
) -> CrossValidated:
    """Train k times; no product, variant or near-duplicate is in both parts of a fold, classes keep their proportions.

    Folds that `work` already holds are not trained again, so that an interrupted call goes on when it is repeated.

    :param work: folder for the parts and the k bundles; of another catalogue or other settings, another folder.
    :raises CatalogueError: the catalogue cannot be read, or not to its end.
    :raises TrainingError: no product carries a category, or too few are apart for k folds.
    :raises UsageError: k is less than 2, or `work` cannot be written or holds bundles of another catalogue, other
        settings or another k.
    """
    settings = settings or TrainSettings()
    folder = made(Path(work), "give --work a folder you may write")
    good = GoodRows(catalogue)
    rows = [row for row in good if row.product.categories]
    if not rows:
        raise no_category(catalogue, good.rejected, good.products, "nothing can be learnt")
    products = [row.product for row in rows]
    groups = groups_of(products, field_names(settings.text_fields))
    paths = [product.categories for product in products]
    apart = folds([several[0] for several in paths], groups, k, settings.fit.seed)
    parts = [with_every_label(part, paths, groups) for part in apart]
    if empty := sum(not len(part.held_back) for part in parts):
        raise TrainingError(
            f"{catalogue}: {empty} of {k} folds would hold back nothing, as too few products stand apart in their "
            "categories: give fewer --folds, or more products"
        )
    scores = []
    for number, fold in enumerate(parts):
        learn, hold = folder / f"{number}-train.jsonl", folder / f"{number}-held-back.jsonl"
        for path, part in ((learn, fold.train), (hold, fold.held_back)):
            path.write_bytes(b"".join(orjson.dumps(dict(rows[at].record)) + b"\n" for at in part))
        scores.append(_scores(learn, hold, folder / f"{number}-bundle", settings))
    return CrossValidated(tuple(scores), len(good.rejected))


def _scores(learn: Path, hold: Path, out: Path, settings: TrainSettings) -> Scores:
    settings = classifier_only(uncompressed(settings))
    try:
        done = Bundle.load(out)
    except InvalidBundle:
        return train(learn, out, hold, settings).scores
    if done.info["data"]["sha256"] != file_hash(learn) or settings_of(done) != settings:
        raise UsageError(
            f"{out} is of another catalogue, other settings or another number of folds: give --work a new folder"
        )
    return Scores.from_json(done.info["metrics"])


def _spread(values: list[float]) -> dict[str, float]:
    return {"mean": round(float(np.mean(values)), 4), "sd": round(float(np.std(values, ddof=1)), 4)}
