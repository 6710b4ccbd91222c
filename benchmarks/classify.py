"""A classifier on products that its training never saw: split, train, and measure on what was set aside.

    python benchmarks/classify.py --catalogue products.jsonl.gz [--text-fields title,brand] [--epochs 4] [--seeds 0,1,2]
        [--multi-label] [--several-paths] [--unknown 0.1] [--retention 4] [--tuned-share .6] [--word-dropout .15]
        [--backbone NAME] [--keep FOLDER] [--uncompressed] [--out FILE]

A fifth of the products is set aside, stratified by category; variants and near-duplicates (by text and by title) are on
one side together. `train` gets the rest, of which it holds back a part of its own to stop early and to calibrate.
`by_words` is TF-IDF of words and characters with a LinearSVC, fitted to all that `train` got and held back nothing of.
`--several-paths` keeps only products under more than one path. Of those, micro F1 and exact match compare the set of
categories that a product is given with the set it stands under; a classifier of one label gives one category.
`--unknown` keeps a share of the categories, drawn by the seed, from training with all their products: how often such a
product is accepted without a person, and how well the confidence tells it from those of known categories (AUROC).
`--word-dropout` is the share of readings in which a fifth of the words is left out (see `augment`).
`--out` is written after each seed.
`--uncompressed` saves the time that the eight-bit model takes, of which no figure here is.
`--retention 0 --tuned-share 1` is a classifier whose embedding nobody searches by; the default serves both.
"""

import argparse
import json
import math
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from figures import keep, machine, rows, tell
from shelfwise import Bundle
from shelfwise.filing import Filing, certainty
from shelfwise.product import Product
from shelfwise_indexer.augment import AugmentSettings
from shelfwise_indexer.baselines import Task, tf_idf_svc
from shelfwise_indexer.calibrate import PROMISED_PRECISION
from shelfwise_indexer.evaluate import score, score_sets
from shelfwise_indexer.fit import FitSettings
from shelfwise_indexer.loss import LossSettings
from shelfwise_indexer.preparation import read_labelled, split_apart
from shelfwise_indexer.report_data import ReportData
from shelfwise_indexer.settings import TrainSettings, uncompressed
from shelfwise_indexer.training import train
from shelfwise_indexer.words import WordKind, is_ideographic

SET_ASIDE = 0.2


def measured(bundle: Bundle, products: list[Product]) -> dict[str, Any]:
    texts, paths = [bundle.text(product) for product in products], [product.categories for product in products]
    probabilities = bundle.encoder.encode_documents(texts).probabilities
    report = ReportData(
        title="",
        filing=Filing.of(bundle),
        ids=[product.id for product in products],
        texts=texts,
        paths=paths,
        probabilities=probabilities,
    )
    figures: dict[str, Any] = {
        **report.scores.to_json(),
        "ece": round(report.calibration_error, 4),
        "promised_precision": PROMISED_PRECISION,
        "accepted": {"coverage": report.accepted.coverage, "precision": report.accepted.precision},
    }
    if several := [row for row, product in enumerate(products) if len(product.categories) > 1]:
        sets = score_sets(Filing.of(bundle), probabilities[several], [paths[row] for row in several])
        figures["several_paths"] = {"products": len(several)} | sets.to_json()
    return figures


def of_unknown_categories(bundle: Bundle, products: list[Product], unknown: list[Product]) -> dict[str, Any]:
    encoder, sure, accepted = bundle.encoder, [], []
    for part in (products, unknown):
        probabilities = encoder.encode_documents([bundle.text(product) for product in part]).probabilities
        best = probabilities.argmax(axis=1)
        sure.append(probabilities.max(axis=1))
        accepted.append(certainty(probabilities, bundle.multi_label) >= bundle.thresholds[best])
    known = np.repeat([1, 0], [len(products), len(unknown)])
    return {
        "categories": len({product.categories[0] for product in unknown}),
        "products": len(unknown),
        "auroc": float(roc_auc_score(known, np.concatenate(sure))),
        "accepted": float(accepted[1].mean()),
        "accepted_of_known": float(accepted[0].mean()),
    }


def by_words(bundle: Bundle, part: Path, products: list[Product], fields: tuple[str, ...], seed: int) -> dict[str, Any]:
    """TF-IDF of words and characters with a LinearSVC on the same products, all that training got."""
    known, leaves = read_labelled(part).products, bundle.taxonomy
    texts = [product.text(fields) for product in known]
    labels = np.array([leaves.leaf_number[product.categories[0]] for product in known])
    kind: WordKind = "segments" if is_ideographic(texts) else "words"
    task = Task(
        texts, labels, [product.text(fields) for product in products], len(leaves.leaves), seed, is_ideographic(texts)
    )
    predicted = tf_idf_svc(kind, "characters")(task)
    return score(leaves, predicted, [product.categories for product in products]).to_json()


def without_some_categories(products: list[Product], share: float, seed: int) -> tuple[list[Product], list[Product]]:
    """Products of a share of the categories, drawn, and the others."""
    leaves = sorted({path for product in products for path in product.categories})
    drawn = np.random.default_rng(seed).permutation(len(leaves))[: round(share * len(leaves))]
    hidden = {leaves[place] for place in drawn}
    unknown = [product for product in products if hidden & set(product.categories)]
    return unknown, [product for product in products if not hidden & set(product.categories)]


def parameters(bundle: Bundle) -> int:
    """Numbers in the exported model, the remembered products' integers among them."""
    operations = bundle.network.get_ordered_ops()
    return sum(math.prod(one.shape) for one in operations if one.get_type_name() == "Constant")


def gpu_name() -> str | None:
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogue", type=Path, required=True)
    parser.add_argument("--text-fields", default="title,brand,description")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--multi-label", action="store_true")
    parser.add_argument("--several-paths", action="store_true")
    parser.add_argument("--unknown", type=float, default=0.0, help="Share of the categories.")
    parser.add_argument("--retention", type=float, help="Default: that of `train`.")
    parser.add_argument("--tuned-share", type=float, help="Default: that of `train`.")
    parser.add_argument("--word-dropout", type=float, default=0.0)
    parser.add_argument("--backbone", default="auto", help="As `train` takes it.")
    parser.add_argument("--uncompressed", action="store_true")
    parser.add_argument("--keep", type=Path, help="Folder for the bundles; default: they are removed.")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    fields = tuple(options.text_fields.split(","))
    products = [
        product
        for product in read_labelled(options.catalogue).products
        if len(product.categories) > 1 or not options.several_paths
    ]
    settings = TrainSettings(
        text_fields=fields,
        backbone=options.backbone,
        loss=LossSettings(multi_label=options.multi_label),
        retention=options.retention,
        tuned_share=options.tuned_share,
        augment=AugmentSettings(word_dropout=options.word_dropout),
    )
    if options.uncompressed:
        settings = uncompressed(settings)
    runs: list[dict[str, Any]] = []

    def told() -> dict[str, Any]:
        return {
            "benchmark": "classify",
            "catalogue": options.catalogue.parent.name,
            "text_fields": fields,
            "epochs": options.epochs,
            "multi_label": options.multi_label,
            "retention": settings.effective_retention,
            "tuned_share": settings.effective_tuned_share,
            "word_dropout": options.word_dropout,
            "machine": machine(gpu=gpu_name()),
            "mean_weighted_f1": statistics.mean(run["mean_weighted_f1"] for run in runs),
            "runs": runs,
        }

    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        for seed in map(int, options.seeds.split(",")):
            unknown, rest = without_some_categories(products, options.unknown, seed)
            known, aside = split_apart(rest, fields, SET_ASIDE, seed)
            trained_on = {product.id for product in known}
            part = Path(scratch, f"train-{seed}.jsonl")
            with part.open("w", encoding="utf-8") as file:
                file.writelines(
                    json.dumps(record) + "\n" for record in rows(options.catalogue) if str(record["id"]) in trained_on
                )
            seeded = replace(settings, fit=FitSettings(epochs=options.epochs, seed=seed))
            begun = time.perf_counter()
            bundle = Bundle.load(train(part, folder / f"seed-{seed}", settings=seeded).bundle)
            seconds = round(time.perf_counter() - begun)
            runs.append(
                {"seed": seed, "version": bundle.version, "backbone": bundle.info["backbone"]["name"]}
                | {"trained_on": len(trained_on), "train_seconds": seconds}
                | {"parameters": parameters(bundle)}
                | measured(bundle, aside)
                | {"by_words": by_words(bundle, part, aside, fields, seed)}
                | ({"unknown": of_unknown_categories(bundle, aside, unknown)} if unknown else {})
            )
            keep(told(), options.out)
    tell(told(), options.out)


if __name__ == "__main__":
    main()
