"""Packing: a trained model becomes a bundle, exported, calibrated, with its report, in place in one step."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from sentence_transformers import SentenceTransformer

from shelfwise.bundle import FORMAT, Bundle, content_version
from shelfwise.encoder import Encoded, Encoder, sigmoid, softmax
from shelfwise.filing import Filing, certainty
from shelfwise.messages import tell
from shelfwise.product import Product
from shelfwise.taxonomy import MOST, Taxonomy
from shelfwise.text import field_names
from shelfwise_indexer.calibrate import (
    ASSURANCE,
    accept_threshold,
    accept_thresholds,
    fit_temperature,
    further_threshold,
    label_thresholds,
    least_to_prove,
)
from shelfwise_indexer.compress import compress, compress_again
from shelfwise_indexer.evaluate import Epoch, score_filing
from shelfwise_indexer.export import ENCODER, export
from shelfwise_indexer.model import ShelfModel
from shelfwise_indexer.preparation import Prepared, write_stages
from shelfwise_indexer.readings import document_prompt, label_shares
from shelfwise_indexer.reliability import Floats, accepted
from shelfwise_indexer.report import write_report_page
from shelfwise_indexer.report_data import ONLY_THE_BEST, ReportData
from shelfwise_indexer.settings import TrainSettings
from shelfwise_indexer.smaller import losses_of
from shelfwise_indexer.student import against_teacher

EXPORT_SAMPLES = 16


def stage(
    staging: Path,
    model: ShelfModel,
    taxonomy: Taxonomy,
    info: dict[str, Any],
    prepared: Prepared,
    epochs: Sequence[Epoch],
    settings: TrainSettings,
    teacher: Bundle | None = None,
    complete: Callable[[], object] | None = None,
) -> Path:
    """Write the whole bundle beside its place; `info` gets calibration, metrics and version.

    :param teacher: what it was distilled from, to measure against.
    :param complete: lets the model learn the held-back part too, once that has measured it; the bundle gets that model.
    """
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    fields = field_names(info["text_fields"])
    samples = [product.text(fields) for product in prepared.train[:EXPORT_SAMPLES]]
    export(model, staging, samples)
    (staging / "taxonomy.json").write_bytes(orjson.dumps(taxonomy.to_json(), option=orjson.OPT_INDENT_2))
    bundle, held_back = Bundle(staging, info, taxonomy), prepared.held_back
    texts = [bundle.text(product) for product in held_back]
    encoded = _calibrate(bundle, info, held_back, texts)
    truths = [product.categories for product in held_back]
    filing = Filing.of(bundle)
    scores = score_filing(filing, encoded.probabilities, truths)
    info["metrics"] = scores.to_json()
    if held_back and filing.several and not filing.accepts_further:
        tell(ONLY_THE_BEST)
    if teacher:
        info["distilled_from"] |= against_teacher(teacher, held_back, encoded, scores.mean_weighted_f1)
    info["compressed"] = compress(bundle, prepared.train, held_back, encoded, settings.compress, settings.fit.seed)
    if complete is not None:
        complete()
        export(model, staging, samples)
        final = Bundle(staging, info, taxonomy)
        info["compressed"] = compress_again(final, prepared.train, settings.compress, settings.fit.seed)
    info["version"] = content_version(staging, info)
    report = ReportData(
        title=f"Classifier of bundle {info['version']}",
        filing=filing,
        ids=[product.id for product in held_back],
        texts=texts,
        paths=truths,
        probabilities=encoded.probabilities,
        epochs=epochs,
        preparation=prepared.stages,
        losses=losses_of(info),
        encoder=info.get(ENCODER, {}),
        learnt_since=complete is not None,
    )
    write_stages(staging / "report", prepared.stages)
    write_report_page(staging / "report", report)
    (staging / "bundle.json").write_bytes(orjson.dumps(info, option=orjson.OPT_INDENT_2))
    return staging


def runtime_settings(trunk: SentenceTransformer, settings: TrainSettings) -> dict[str, Any]:
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


def _calibrate(bundle: Bundle, info: dict[str, Any], held_back: Sequence[Product], texts: Sequence[str]) -> Encoded:
    """Set temperature and thresholds in `info` by the exported model, on the held-back part.

    :returns: what it gives there, its probabilities calibrated.
    """
    taxonomy, truths = bundle.taxonomy, [product.categories for product in held_back]
    encoded = Encoder(bundle).encode_documents(texts)
    logits = np.log(np.maximum(encoded.probabilities, np.finfo(np.float32).tiny))
    labels = label_shares(taxonomy, held_back)
    known = labels.sum(axis=1) > 0
    multi_label = bundle.multi_label
    if multi_label:
        logits = logits - np.log1p(-np.minimum(encoded.probabilities, MOST)).astype(np.float32)
    info["temperature"] = fit_temperature(logits[known], labels[known], multi_label)
    probabilities = (sigmoid if multi_label else softmax)((logits / info["temperature"]).astype(np.float32))
    best = probabilities.argmax(axis=1).astype(np.int64)
    correct = np.array(
        [taxonomy.leaves[leaf] in paths for leaf, paths in zip(best, truths, strict=True)], dtype=np.bool_
    )
    promised = info["settings"]["auto_accept_precision"]
    if multi_label:
        given_from = label_thresholds(probabilities, labels > 0)
        info["label_thresholds"] = given_from.tolist()
        info["further_threshold"] = further_threshold(probabilities, labels > 0, given_from, promised)
    certain = certainty(probabilities, multi_label)
    thresholds = accept_thresholds(best, certain, correct, len(taxonomy.leaves), promised)
    _tell_unproven(len(held_back), thresholds, promised)
    info["thresholds"], info["accepted"] = thresholds.tolist(), accepted(certain, correct, thresholds[best]).to_json()
    info["threshold"] = accept_threshold(probabilities.max(axis=1, initial=0), correct, promised, ASSURANCE)
    return Encoded(encoded.vectors, np.asarray(probabilities, dtype=np.float32))


def _tell_unproven(held_back: int, thresholds: Floats, promised: float) -> None:
    """Say it where held-back products, of which there are some, let no leaf be accepted."""
    if held_back and (thresholds >= 1).all():
        tell(
            f"{held_back} held-back products do not show that {promised:.1%} of what would be accepted is right (it "
            f"takes {least_to_prove(promised)} at least, without an error): every predicted product waits for review; "
            "give --validation or more labelled products, or a lower --auto-accept-precision"
        )


def put_in_place(staging: Path, folder: Path) -> None:
    """Replace the folder by the finished bundle: two renames, the old bundle is there until the new one is."""
    old = folder.absolute().parent / f".{folder.name}.old"
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    staging.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
