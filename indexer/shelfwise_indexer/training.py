"""Training: a catalogue becomes a bundle."""

import importlib.metadata
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import set_seed
from transformers.utils import logging as transformers_logging

from shelfwise.bundle import Bundle
from shelfwise.errors import UsageError
from shelfwise.messages import tell
from shelfwise.product import Product
from shelfwise.taxonomy import Taxonomy, ancestors, path_text
from shelfwise.text import field_names
from shelfwise_indexer import own_encoder
from shelfwise_indexer.catalogue import Rejected, file_hash
from shelfwise_indexer.continuation import check_continuation, warn_dropped
from shelfwise_indexer.evaluate import Scores
from shelfwise_indexer.export import ENCODER
from shelfwise_indexer.id_hashes import Hashes
from shelfwise_indexer.packing import put_in_place, stage
from shelfwise_indexer.preparation import (
    Labelled,
    Prepared,
    TrainingError,
    check_fields,
    no_category,
    prepare,
    read_labelled,
    warn_unknown,
)
from shelfwise_indexer.settings import TrainSettings
from shelfwise_indexer.smaller import losses_of
from shelfwise_indexer.starting_point import StartingPoint
from shelfwise_indexer.student import taxonomy_of
from shelfwise_indexer.task import Task, finish, learn, learn_held_back
from shelfwise_indexer.trained_on import trained_on, write_trained_on
from shelfwise_indexer.work_folder import forget, work_folder

LONGEST_END = timedelta(hours=12)
LIBRARIES = ("shelfwise", "torch", "transformers", "sentence-transformers", "openvino", "tokenizers")


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training gave: the bundle's folder and version, the scores on the held-back part, what was left out."""

    bundle: Path
    version: str
    scores: Scores
    trained_on: int
    unlabelled: int
    rejected: tuple[Rejected, ...]
    losses: Mapping[str, Any] = field(default_factory=dict)
    """What a smaller bundle lost, as `bundle.json` has it."""
    encoder: Mapping[str, Any] | None = None
    """What a separate encoder learnt and finds, as `bundle.json` has it."""
    accepted: Mapping[str, Any] = field(default_factory=dict)
    """What needs no person, of the held-back part: coverage and precision, as `bundle.json` has them."""

    def to_json(self) -> dict[str, Any]:
        """What `shelfwise train` prints."""
        return {
            "bundle": str(self.bundle),
            "version": self.version,
            "trained_on": self.trained_on,
            "unlabelled": self.unlabelled,
            "rejected": len(self.rejected),
            **self.scores.to_json(),
            "accepted": dict(self.accepted),
            **self.losses,
            **({ENCODER: self.encoder} if self.encoder else {}),
        }


def train(
    catalogue: str | os.PathLike[str],
    out: str | os.PathLike[str],
    validation: str | os.PathLike[str] | None = None,
    settings: TrainSettings | None = None,
    on_epoch: Callable[[int, float], object] | None = None,
    start: Bundle | None = None,
    teacher: Bundle | None = None,
    events: str | os.PathLike[str] | None = None,
) -> Trained:
    """Train on a catalogue and write a bundle.

    Without `validation` a stratified part is held back that shares no product, variant or near-duplicate with the
    training part, nor with what the bundle that training continues from has learnt. The held-back part (or
    `validation`) also stops the training early and sets temperature and threshold, so its scores are optimistic; for
    untouched figures classify a file that was not given here. Once it has done so, the head, the memory and the words
    learn the held-back part too (never a `validation`): the scores are those from before.

    A training that was interrupted goes on from its last epoch when it is called again with the same input.

    :param start: a bundle to continue from, when categories or products have been added: its trunk is the backbone, and
        its head is the start for the leaves that both know. The retention loss holds the embedding to that bundle's.
        The catalogue is the whole one: categories that it lacks are forgotten, and said.
    :param teacher: a bundle to distil instead: its trunk with layers left out is the backbone, its taxonomy is kept,
        and the retention loss holds the embedding to the teacher's.
    :param events: an event log, which teaches a separate encoder (`settings.encoder`) what is bought together.
    :param on_epoch: told the epoch (1 = first) and its held-back mean weighted F1; what it raises ends the training.
    :raises CatalogueError, BackboneError, TrainingError, UsageError: before anything is written to `out`.
    """
    settings = own_encoder.going_on(settings or TrainSettings(), start)
    _check_choices(settings, start, teacher, events)
    folder = Path(out)
    folder = folder.resolve() if folder.is_symlink() else folder  # what it points to is replaced
    _check_target(folder)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    digest, files = file_hash(catalogue), [file_hash(file) if file else None for file in (validation, events)]
    known = trained_on(start or teacher, validation is not None)
    labelled, prepared, taxonomy = _parts(catalogue, validation, settings, teacher, known)
    if start:
        warn_dropped(start, labelled.products, taxonomy, catalogue)
    # One, or those of `accelerate launch`, which wait while the first learns the head again and exports.
    processes = PartialState(cpu=not torch.cuda.is_available(), timeout=LONGEST_END)
    models = StartingPoint.load(settings, start, teacher, prepared.train, str(processes.device))
    own = models.lessons(prepared.train, taxonomy, settings, events)
    task = Task(settings, prepared, taxonomy, models, start, teacher, str(processes.device))
    _tell_parts(task, bool(len(known)))
    set_seed(settings.fit.seed)
    work = work_folder(folder, [digest, *files, asdict(settings), *models.identity()])
    learnt = learn(task, work / "fit", on_epoch)
    encoder = own_encoder.learn(own, prepared.held_back, settings, work / ENCODER) if own else None
    if processes.is_main_process:
        everything = validation is None and settings.use_held_back and bool(prepared.held_back)
        info = {
            **finish(task, learnt, digest),
            **({ENCODER: encoder} if encoder else {}),
            "data": {
                "sha256": digest,
                "products": len(prepared.train),
                "held_back": len(prepared.held_back),
                "used_held_back": everything,
                **({"validation": files[0]} if files[0] else {}),
            },
            **_made_with(settings, taxonomy),
        }
        complete = partial(learn_held_back, task, learnt) if everything else None
        staging = stage(
            work / "bundle", learnt.model, taxonomy, info, prepared, learnt.epochs, settings, teacher, complete
        )
        write_trained_on(staging, prepared.train, known, prepared.held_back if everything else ())
        put_in_place(staging, folder)
        forget(folder, work)
    processes.wait_for_everyone()
    written = Bundle.load(folder)
    scores = Scores.from_json(written.info["metrics"])
    products, rejected = (len(prepared.train), labelled.unlabelled), (*labelled.rejected, *prepared.rejected)
    losses, encoder = losses_of(written.info), written.info.get(ENCODER)
    return Trained(folder, written.version, scores, *products, rejected, losses, encoder, written.info["accepted"])


def _tell_parts(task: Task, known: bool) -> None:
    """:param known: whether the bundle that training continues from has learnt some of the products."""
    held_back = task.prepared.held_back
    counts = (
        f"{len(task.prepared.train)} products in {len(task.taxonomy.leaves)} categories, {len(held_back)} held back"
    )
    tell(f"training on {counts}, {task.models}")
    if not held_back:
        why = "the bundle of --from was trained on the rest" if known else "too few products apart"
        tell(f"nothing could be held back ({why}): no scores, and every prediction waits for review; give --validation")
    warn_unknown(held_back, task.taxonomy)
    if not (task.settings.loss.multi_label or task.start or task.teacher):  # those two have decided it
        _tell_several([*task.prepared.train, *held_back])


def _tell_several(products: Sequence[Product]) -> None:
    """Say how many products stand in several leaves, of which one is given: a path above another of them is none."""
    above = ({node for path in product.categories for node in ancestors(path)[:-1]} for product in products)
    several = sum(len(set(one.categories) - nodes) > 1 for one, nodes in zip(products, above, strict=True))
    if several:
        tell(
            f"{several} of {len(products)} products stand in several categories, and each product is given one of "
            "them: --multi-label learns them all"
        )


def _made_with(settings: TrainSettings, taxonomy: Taxonomy) -> dict[str, Any]:
    """What `bundle.json` says of how it came to be."""
    return {
        "taxonomy": taxonomy.hash,
        "settings": asdict(settings),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _check_choices(
    settings: TrainSettings, start: Bundle | None, teacher: Bundle | None, events: str | os.PathLike[str] | None
) -> None:
    if start and teacher:
        raise UsageError(
            "--from and --distil exclude each other: give the bundle to continue from, or the one to distil"
        )
    if teacher:
        own_encoder.refuse_student(teacher, settings)
        check_continuation(teacher, settings, "the teacher")
    if start:
        check_continuation(start, settings, "the bundle that training continues from,")
    if events and settings.encoder is None:
        raise UsageError("an event log teaches a separate encoder: give --encoder NAME with --events")


def _parts(
    catalogue: str | os.PathLike[str],
    validation: str | os.PathLike[str] | None,
    settings: TrainSettings,
    teacher: Bundle | None,
    known: Hashes,
) -> tuple[Labelled, Prepared, Taxonomy]:
    """What was read, its parts, and the categories that are learnt: those of the training part, or the teacher's."""
    labelled = read_labelled(catalogue)
    if not labelled.products:
        raise no_category(catalogue, labelled.rejected, labelled.unlabelled, "nothing can be learnt")
    fields = field_names(settings.text_fields)
    prepared = prepare(labelled, validation, fields, settings.fit.seed, settings.preparation, known)
    check_fields([*prepared.train, *prepared.held_back], fields)
    taxonomy = Taxonomy.of(path for product in prepared.train for path in product.categories)
    if len(taxonomy.leaves) < 2:
        raise TrainingError(
            f"{catalogue}: all products are in {path_text(taxonomy.leaves[0])}: a classifier needs two categories"
        )
    return labelled, prepared, taxonomy_of(teacher, taxonomy) if teacher else taxonomy


def _check_target(folder: Path) -> None:
    if not folder.name or os.path.ismount(folder):
        raise TrainingError(f"{folder} cannot be replaced as a whole: give --out a folder in it")
    if folder.exists() and not (folder / "bundle.json").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise TrainingError(f"{folder} is there and is not a bundle: give --out a new folder, or one with a bundle")
    parent = folder.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{parent} cannot be made ({error.strerror}): give --out a folder you may write") from None
    if not os.access(parent, os.W_OK):
        raise TrainingError(f"{parent} cannot be written: give --out a folder you may write")
