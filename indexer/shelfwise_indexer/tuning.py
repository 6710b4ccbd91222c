"""Tuning: a search for the settings that serve a catalogue best, cut short where a trial has no prospect."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import orjson
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from shelfwise.errors import UsageError
from shelfwise_indexer.catalogue import file_hash
from shelfwise_indexer.folders import made
from shelfwise_indexer.preparation import TrainingError, read_labelled
from shelfwise_indexer.settings import TrainSettings, classifier_only, uncompressed
from shelfwise_indexer.training import train
from shelfwise_indexer.work_folder import forget

COUNTED = (TrialState.COMPLETE, TrialState.PRUNED)
STARTUP_TRIALS = 4  # that run to their end before others are compared with them


@dataclass(frozen=True, slots=True)
class Tuned:
    """The best trial: its settings, its held-back mean weighted F1, and how many trials there were.

    `rejected` counts the lines of the catalogues that are no products.
    """

    settings: TrainSettings
    score: float
    trials: int
    pruned: int
    rejected: int = 0

    def to_json(self) -> dict[str, Any]:
        """What `shelfwise tune` prints beside the configuration it writes."""
        counts = {"trials": self.trials, "pruned": self.pruned, "rejected": self.rejected}
        return {"mean_weighted_f1": round(self.score, 4), **counts}


def tune(
    catalogue: str | os.PathLike[str],
    work: str | os.PathLike[str],
    validation: str | os.PathLike[str] | None = None,
    settings: TrainSettings | None = None,
    trials: int = 20,
) -> Tuned:
    """Train `trials` times with other rates, dropouts and weights, each epoch held against the earlier trials.

    Trials that `work` already holds count, so that an interrupted search goes on when it is repeated. The trial with
    the highest held-back score wins, which makes that score optimistic: measure the winner on others.

    A trial that failed or was interrupted does not count, and a later one is made for it.

    `retention` is not searched for: only categories are measured, and less of it gives better ones and worse vectors.

    :param settings: what is not searched for stays as it is here.
    :raises CatalogueError: a catalogue cannot be read, or not to its end.
    :raises TrainingError: nothing can be held back.
    :raises UsageError: no trial ran to its end, or `work` cannot be written or holds those of another catalogue or
        other settings.
    """
    base = settings or TrainSettings()
    folder = made(Path(work), "give --work a folder you may write")
    files = [file_hash(catalogue), file_hash(validation) if validation else None]
    rejected = sum(len(read_labelled(file).rejected) for file in (catalogue, validation) if file)
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # what ends a trial is raised, and said once
    storage = JournalStorage(JournalFileBackend(str(folder / "trials.log")))
    name = hashlib.sha256(orjson.dumps([*files, asdict(base)], option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]
    if any(one.get_trials(states=COUNTED) for one in _others(storage, name)):
        raise UsageError(f"{folder} holds a search for another catalogue or other settings: give --work a new folder")
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        load_if_exists=True,
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS),
    )
    study.sampler = optuna.samplers.TPESampler(seed=base.fit.seed + len(study.trials))  # of the same it draws the same
    if not _was_tried(study, _as_they_are(base)):
        study.enqueue_trial(_as_they_are(base))  # the search starts from what it must beat

    def objective(trial: optuna.Trial) -> float:
        def on_epoch(epoch: int, score: float) -> None:
            trial.report(score, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        out = folder / f"trial-{trial.number}"
        drawn = classifier_only(uncompressed(tried(base, _draw(trial))))
        settings = replace(drawn, use_held_back=False)  # only its scores are wanted
        try:
            scores = train(catalogue, out, validation, settings, on_epoch).scores
        finally:
            forget(out)  # no later trial has this number
        if not scores.products:
            raise TrainingError(
                f"{catalogue}: nothing can be held back (too few products apart), so no trial can be told from "
                "another: give a --validation catalogue"
            )
        return scores.mean_weighted_f1

    study.optimize(objective, n_trials=max(trials - len(study.get_trials(states=COUNTED)), 0))
    done = study.get_trials(states=COUNTED)
    pruned = sum(trial.state == TrialState.PRUNED for trial in done)
    if pruned == len(done):
        raise UsageError(f"no trial in {folder} ran to its end, so there is nothing to choose from: give more --trials")
    return Tuned(tried(base, study.best_params), study.best_value, len(done), pruned, rejected)


def tried(base: TrainSettings, drawn: Mapping[str, Any]) -> TrainSettings:
    """The settings with what a trial drew."""
    rates = {name: drawn[name] for name in ("learning_rate", "head_learning_rate")}
    rest = {name: drawn[name] for name in ("dropout", "field_dropout")}
    loss = replace(base.loss, level_weight=drawn["level_weight"], label_smoothing=drawn["label_smoothing"])
    return replace(base, fit=replace(base.fit, **rates), loss=loss, **rest)


def _others(storage: JournalStorage, name: str) -> list[optuna.Study]:
    names = optuna.get_all_study_names(storage)
    return [optuna.load_study(study_name=other, storage=storage) for other in names if other != name]


def _was_tried(study: optuna.Study, wanted: Mapping[str, float]) -> bool:
    """Whether a trial that counts had these values, or one is yet to have them."""
    waiting = study.get_trials(states=(TrialState.WAITING,))
    return bool(waiting) or any(trial.params == wanted for trial in study.get_trials(states=COUNTED))


def _draw(trial: optuna.Trial) -> dict[str, float]:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 3e-5, 5e-4, log=True),
        "head_learning_rate": trial.suggest_float("head_learning_rate", 3e-4, 1e-2, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.4),
        "field_dropout": trial.suggest_float("field_dropout", 0.0, 0.6),
        "level_weight": trial.suggest_float("level_weight", 0.0, 1.0),
        "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2),
    }


def _as_they_are(base: TrainSettings) -> dict[str, float]:
    return {
        "learning_rate": base.fit.learning_rate,
        "head_learning_rate": base.fit.head_learning_rate,
        "dropout": base.dropout,
        "field_dropout": base.field_dropout,
        "level_weight": base.loss.level_weight,
        "label_smoothing": base.loss.label_smoothing,
    }
