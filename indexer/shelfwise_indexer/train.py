"""Training: a catalogue becomes a bundle."""

import hashlib
import importlib.metadata
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import numpy.typing as npt
import orjson
import torch
from accelerate import PartialState
from pydantic import Field
from sentence_transformers import SentenceTransformer
from torch import nn
from transformers import set_seed
from transformers.utils import logging as transformers_logging

from shelfwise.bundle import FORMAT, Bundle, content_version
from shelfwise.encoder import Encoder, sigmoid, softmax
from shelfwise.errors import UsageError
from shelfwise.machine import tell
from shelfwise.product import DEFAULT_TEXT_FIELDS, Product
from shelfwise.taxonomy import Taxonomy, path_text
from shelfwise.text import TextRecipe, field_names
from shelfwise_indexer.augment import View, views
from shelfwise_indexer.backbone import Backbone, resolve
from shelfwise_indexer.calibrate import (
    PROMISED_PRECISION,
    accept_thresholds,
    fit_temperature,
    label_thresholds,
)
from shelfwise_indexer.catalogue import Rejected, file_hash
from shelfwise_indexer.enrich import MOST
from shelfwise_indexer.evaluate import Epoch, Scores, score
from shelfwise_indexer.export import export, load_checkpoint
from shelfwise_indexer.fit import FitSettings, Texts, fit, last_checkpoint
from shelfwise_indexer.heads import HeadKind
from shelfwise_indexer.loss import HierarchicalLoss, LossSettings
from shelfwise_indexer.memory import MemorySettings
from shelfwise_indexer.model import ShelfModel, load_trunk
from shelfwise_indexer.preparation import (
    CATEGORY_HINT,
    PreparationSettings,
    Prepared,
    TrainingError,
    prepare,
    read_labelled,
    warn_unknown,
    write_stages,
)
from shelfwise_indexer.refit import RefitSettings, fit_memory, move_back, refit_head, weights_of
from shelfwise_indexer.report import ReportData, write_report_page

EXPORT_SAMPLES = 16
TUNED_SHARE = 0.6
LIBRARIES = ("shelfwise", "torch", "transformers", "sentence-transformers", "openvino", "tokenizers")


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """What a bundle is trained with; kept in `bundle.json`."""

    backbone: Annotated[str, Field(description="auto, english, multilingual, a folder or a hub name.")] = "auto"
    text_fields: Annotated[
        tuple[str, ...], Field(min_length=1, description='Fields or attributes, in order; "description:40" cuts at 40.')
    ] = DEFAULT_TEXT_FIELDS
    max_tokens: Annotated[int, Field(ge=4, description="Of a text; the rest is cut.")] = 64
    field_dropout: Annotated[
        float, Field(ge=0, le=1, description="Share of readings in training that lack a field.")
    ] = 0.3
    head: Annotated[HeadKind, Field(description="What reads the backbone's tokens.")] = "linear"
    dropout: Annotated[float, Field(ge=0, lt=1, description="Before the head's last layer.")] = 0.1
    retention: Annotated[
        float, Field(ge=0, description="How hard the embedding is held near the backbone's own, for search.")
    ] = 4.0
    tuned_share: Annotated[
        float | None,
        Field(
            gt=0, le=1, description="Of the way from the backbone to the tuned weights; default .6, 1 but for linear."
        ),
    ] = None
    auto_accept_precision: Annotated[
        float, Field(gt=0, lt=1, description="Share of the categories accepted without a person that must be right.")
    ] = PROMISED_PRECISION
    l1: Annotated[float, Field(ge=0, description="Weight of the sum of the head's absolute weights.")] = 0.0
    loss: LossSettings = field(default_factory=LossSettings)
    fit: FitSettings = field(default_factory=FitSettings)
    refit: RefitSettings = field(default_factory=RefitSettings)
    memory: MemorySettings = field(default_factory=MemorySettings)
    preparation: PreparationSettings = field(default_factory=PreparationSettings)

    def __post_init__(self) -> None:
        if self.tuned_share is not None and not 0 < self.tuned_share <= 1:
            raise UsageError(f"tuned_share must be above 0 and at most 1, got {self.tuned_share}")
        if self.head != "linear" and self.tuned_share not in (None, 1.0):
            raise UsageError(
                f"tuned_share {self.tuned_share} needs the linear head, which can be learnt again: got {self.head}"
            )

    @property
    def share_of_tuning(self) -> float:
        """`tuned_share`, or its default for the head."""
        return self.tuned_share or (TUNED_SHARE if self.head == "linear" else 1.0)


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training gave: the bundle's folder and version, the scores on the held-back part, what was left out."""

    bundle: Path
    version: str
    scores: Scores
    trained_on: int
    unlabelled: int
    rejected: tuple[Rejected, ...]

    def to_json(self) -> dict[str, Any]:
        """What `shelfwise train` prints."""
        return {
            "bundle": str(self.bundle),
            "version": self.version,
            "trained_on": self.trained_on,
            "unlabelled": self.unlabelled,
            "rejected": len(self.rejected),
            **self.scores.to_json(),
        }


def train(
    catalogue: str | os.PathLike[str],
    out: str | os.PathLike[str],
    validation: str | os.PathLike[str] | None = None,
    settings: TrainSettings | None = None,
    on_epoch: Callable[[int, float], object] | None = None,
    start: Bundle | None = None,
) -> Trained:
    """Train on a catalogue and write a bundle.

    Without `validation` a stratified part is held back that shares no product, variant or near-duplicate with the
    training part. The held-back part (or `validation`) also stops the training early and sets temperature and
    threshold, so its scores are slightly kind; for untouched figures classify a file that was not given here.

    A training that was interrupted goes on from its last epoch when it is called again with the same input.

    :param start: a bundle to go on from, when categories or products have been added: its trunk is the backbone, and
        its head is the start for the leaves that both know. The retention loss holds the embedding to that bundle's.
    :param on_epoch: told the epoch (1 = first) and its held-back mean weighted F1; what it raises ends the training.
    :raises CatalogueError, BackboneError, TrainingError: before anything is written to `out`.
    """
    settings = settings or TrainSettings()
    folder = Path(out)
    _check_target(folder)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    labelled = read_labelled(catalogue)
    if not labelled.products:
        raise TrainingError(f"{catalogue}: no product carries a category, nothing can be learnt: {CATEGORY_HINT}")
    fields = field_names(settings.text_fields)
    prepared = prepare(labelled, validation, fields, settings.fit.seed, settings.preparation)
    train_part, held_back = prepared.train, prepared.held_back
    taxonomy = Taxonomy.of(path for product in train_part for path in product.categories)
    if len(taxonomy.leaves) < 2:
        raise TrainingError(
            f"{catalogue}: all products are in {path_text(taxonomy.leaves[0])}: a classifier needs two categories"
        )
    backbone = _going_on(start) if start else resolve(settings.backbone, (product.title for product in train_part))
    processes = PartialState(cpu=not torch.cuda.is_available())  # one, or those of `accelerate launch`
    trunk = load_trunk(backbone.source, settings.max_tokens, device=str(processes.device))
    tell(
        f"training on {len(train_part)} products in {len(taxonomy.leaves)} categories, "
        f"{len(held_back)} held back, backbone {backbone.name}"
    )
    if not held_back:
        tell("nothing could be held back (too few products apart): no scores, and every prediction waits for review")
    warn_unknown(held_back, taxonomy)
    set_seed(settings.fit.seed)
    digest = file_hash(catalogue)
    work = _work_folder(folder, digest, validation, settings, backbone)
    backbone_weights = weights_of(trunk)
    readings = views(settings.text_fields, settings.field_dropout)
    learned = _texts(trunk, taxonomy, train_part, settings, readings, with_original=settings.retention > 0)
    loss = HierarchicalLoss(taxonomy, settings.loss, learned.labels.sum(axis=0))
    model = ShelfModel(trunk, taxonomy, loss, settings.head, settings.dropout, settings.retention, settings.l1)
    if start:
        carry_over(load_checkpoint(start).head, start.taxonomy, model.head, taxonomy)
    unseen = _texts(trunk, taxonomy, held_back, settings, readings[:1])
    epochs = fit(model, taxonomy, learned, unseen, settings.fit, work / "fit", on_epoch)
    if processes.is_main_process:
        if settings.head == "linear":
            tell("learning the head again on the finished trunk")
            move_back(trunk, backbone_weights, settings.share_of_tuning)
            refit_head(model, loss, learned, settings.refit, settings.memory, settings.fit.seed)
            fit_memory(model, unseen)
        info = _runtime_settings(trunk, settings) | {
            "backbone": {"name": backbone.name, "licence": backbone.licence},
            "taxonomy": taxonomy.hash,
            "data": {"sha256": digest, "products": len(train_part), "held_back": len(held_back)},
            "settings": asdict(settings),
            "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
            "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        staging = _stage(work / "bundle", model, taxonomy, info, prepared, epochs)
        _put_in_place(staging, folder)
        shutil.rmtree(work, ignore_errors=True)
    processes.wait_for_everyone()
    written = Bundle.load(folder)
    scores = Scores.from_json(written.info["metrics"])
    return Trained(folder, written.version, scores, len(train_part), labelled.unlabelled, labelled.rejected)


def _going_on(start: Bundle) -> Backbone:
    """A bundle's trunk, known by the name of the backbone that it came from and by the bundle's version."""
    was = start.info["backbone"]
    return Backbone(f"{was['name'].split('@')[0]}@{start.version}", str(start.path / "checkpoint"), was["licence"])


def carry_over(old: nn.Module, old_taxonomy: Taxonomy, new: nn.Module, taxonomy: Taxonomy) -> None:
    """Start the output of the leaves that both taxonomies have from what it was; of heads of one kind only."""
    one, other = cast(Any, old).output, cast(Any, new).output
    if one.weight.shape[1] != other.weight.shape[1]:
        return
    shared = [leaf for leaf in taxonomy.leaves if leaf in old_taxonomy.leaf_number]
    before = [old_taxonomy.leaf_number[leaf] for leaf in shared]
    now = [taxonomy.leaf_number[leaf] for leaf in shared]
    with torch.no_grad():
        other.weight[now] = one.weight[before].to(other.weight.device)
        other.bias[now] = one.bias[before].to(other.bias.device)


def _stage(
    staging: Path,
    model: ShelfModel,
    taxonomy: Taxonomy,
    info: dict[str, Any],
    prepared: Prepared,
    epochs: Sequence[Epoch],
) -> Path:
    """Write the whole bundle beside its place; `info` gets calibration, metrics and version."""
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    fields = field_names(info["text_fields"])
    export(model, staging, [product.text(fields) for product in prepared.train[:EXPORT_SAMPLES]])
    (staging / "taxonomy.json").write_bytes(orjson.dumps(taxonomy.to_json(), option=orjson.OPT_INDENT_2))
    bundle, held_back = Bundle(staging, info, taxonomy), prepared.held_back
    probabilities = _calibrate(bundle, info, held_back)
    info["metrics"] = score(taxonomy, probabilities, [product.categories for product in held_back]).to_json()
    info["version"] = content_version(staging, info)
    report = ReportData(
        title=f"Classifier of bundle {info['version']}",
        taxonomy=taxonomy,
        ids=[product.id for product in held_back],
        texts=[bundle.text(product) for product in held_back],
        paths=[product.categories for product in held_back],
        probabilities=probabilities,
        thresholds=np.asarray(info["thresholds"], dtype=np.float32),
        epochs=epochs,
        preparation=prepared.stages,
    )
    write_stages(staging / "report", prepared.stages)
    write_report_page(staging / "report", report)
    (staging / "bundle.json").write_bytes(orjson.dumps(info, option=orjson.OPT_INDENT_2))
    return staging


def _runtime_settings(trunk: SentenceTransformer, settings: TrainSettings) -> dict[str, Any]:
    """What the runtime needs of `bundle.json`, before calibration."""
    return {
        "format": FORMAT,
        "dimension": int(trunk.get_embedding_dimension() or 0),
        "max_tokens": settings.max_tokens,
        "pad_token_id": int(trunk.tokenizer.pad_token_id),
        "text_fields": list(settings.text_fields),
        "prompts": {"document": document_prompt(trunk), "query": trunk.prompts.get("query") or ""},
        "temperature": 1.0,
        "threshold": 1.0,
    } | ({"label_thresholds": []} if settings.loss.multi_label else {})


def _calibrate(bundle: Bundle, info: dict[str, Any], held_back: Sequence[Product]) -> npt.NDArray[np.float32]:
    """Set temperature and thresholds in `info` by the exported model, on the held-back part.

    :returns: its calibrated probabilities there, float32 [n, leaves].
    """
    taxonomy, truths = bundle.taxonomy, [product.categories for product in held_back]
    encoded = Encoder(bundle).encode_documents([bundle.text(product) for product in held_back])
    logits = np.log(np.maximum(encoded.probabilities, np.finfo(np.float32).tiny))
    labels = _labels(taxonomy, held_back)
    known = labels.sum(axis=1) > 0
    several = bundle.multi_label
    if several:
        logits = logits - np.log1p(-np.minimum(encoded.probabilities, MOST)).astype(np.float32)
    info["temperature"] = fit_temperature(logits[known], labels[known], several)
    probabilities = (sigmoid if several else softmax)((logits / info["temperature"]).astype(np.float32))
    if several:
        info["label_thresholds"] = label_thresholds(probabilities, labels > 0).tolist()
    best = probabilities.argmax(axis=1).astype(np.int64)
    correct = np.array(
        [taxonomy.leaves[leaf] in paths for leaf, paths in zip(best, truths, strict=True)], dtype=np.bool_
    )
    thresholds, info["threshold"] = accept_thresholds(
        best,
        probabilities.max(axis=1, initial=0),
        correct,
        len(taxonomy.leaves),
        info["settings"]["auto_accept_precision"],
    )
    info["thresholds"] = thresholds.tolist()
    return np.asarray(probabilities, dtype=np.float32)


def document_prompt(trunk: SentenceTransformer) -> str:
    """The backbone's own prompt for documents (the names that sentence-transformers looks for, in its order)."""
    prompts = (trunk.prompts.get(name) for name in ("document", "passage", "corpus"))
    return next((prompt for prompt in prompts if prompt), "")


def _texts(
    trunk: SentenceTransformer,
    taxonomy: Taxonomy,
    products: Sequence[Product],
    settings: TrainSettings,
    readings: Sequence[View],
    with_original: bool = False,
) -> Texts:
    prompt = document_prompt(trunk)
    tokenizer, limit = trunk.tokenizer, settings.max_tokens
    tokens, original = [], []
    for view in readings:
        recipe = TextRecipe(view.fields, tokenizer.backend_tokenizer, limit, prompt)
        texts = [recipe.text(product) for product in products]
        prompted = [prompt + text for text in texts]
        tokens.append(tokenizer(prompted, truncation=True, max_length=limit)["input_ids"] if texts else [])
        if with_original:
            original.append(_original(trunk, texts))
    paths = [product.categories for product in products]
    return Texts(
        tokens,
        _labels(taxonomy, products),
        paths,
        [view.share for view in readings],
        original if with_original else None,
    )


def _labels(taxonomy: Taxonomy, products: Sequence[Product]) -> npt.NDArray[np.float32]:
    """The share of each leaf, float32 [n, leaves]; a row of zeros where no path of a product is in the taxonomy."""
    labels = np.zeros((len(products), len(taxonomy.leaves)), dtype=np.float32)
    for row, product in enumerate(products):
        known = [taxonomy.leaf_number[path] for path in product.categories if path in taxonomy.leaf_number]
        labels[row, known] = 1.0 / max(len(known), 1)
    return labels


def _original(trunk: SentenceTransformer, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """The embeddings before training, float32 [n, dimension], L2-normalised: what the retention loss keeps to."""
    with torch.autocast(trunk.device.type, dtype=torch.bfloat16):
        vectors = trunk.encode(
            list(texts),
            prompt=document_prompt(trunk) or None,
            batch_size=64,
            normalize_embeddings=True,
            show_progress_bar=len(texts) > 2000,
        )
    return np.asarray(vectors, dtype=np.float32)


def _check_target(folder: Path) -> None:
    if folder.exists() and not (folder / "bundle.json").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise TrainingError(f"{folder} is there and is not a bundle: give --out a new folder, or one with a bundle")
    parent = folder.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{parent} cannot be made ({error.strerror}): give --out a folder you may write") from None
    if not os.access(parent, os.W_OK):
        raise TrainingError(f"{parent} cannot be written: give --out a folder you may write")


def _work_folder(
    folder: Path,
    digest: str,
    validation: str | os.PathLike[str] | None,
    settings: TrainSettings,
    backbone: Backbone,
) -> Path:
    """Where the run keeps its checkpoints: found again only by a run of the same data, settings and backbone."""
    inputs = [digest, file_hash(validation) if validation else None, asdict(settings), backbone.name, backbone.source]
    run = hashlib.sha256(orjson.dumps(inputs, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]
    work = folder.absolute().parent / f".{folder.name}.training-{run}"
    if last_checkpoint(work / "fit"):
        tell(f"going on with an interrupted training in {work}")
    work.mkdir(exist_ok=True)
    return work


def _put_in_place(staging: Path, folder: Path) -> None:
    """Replace the folder by the finished bundle: two renames, the old bundle is there until the new one is."""
    old = folder.absolute().parent / f".{folder.name}.old"
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    staging.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
