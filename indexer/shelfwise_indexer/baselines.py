"""Baselines: what people classified products with before, on the same split and by the same metrics as a bundle."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sentence_transformers import SentenceTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from transformers.utils import logging as transformers_logging

from shelfwise.bundle import Bundle
from shelfwise.messages import tell
from shelfwise.product import DEFAULT_TEXT_FIELDS, Product
from shelfwise.taxonomy import Taxonomy, path_text
from shelfwise.text import field_names
from shelfwise_indexer.backbone import resolve
from shelfwise_indexer.catalogue import file_hash
from shelfwise_indexer.config import settings_of
from shelfwise_indexer.evaluate import Scores, score
from shelfwise_indexer.keywords import learn_keywords
from shelfwise_indexer.model import load_trunk
from shelfwise_indexer.preparation import (
    PreparationSettings,
    Prepared,
    TrainingError,
    no_category,
    prepare,
    read_labelled,
)
from shelfwise_indexer.words import WordKind, is_ideographic, tf_idf, words_of

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
MOST_TOKENS = 128  # of a text that the frozen embedding reads
TREE_TERMS = 5_000  # the most common ones: a tree looks at every term at every node
INVERSE_REGULARISATION = 10.0  # of the logistic regression: embeddings have length 1, so that 1.0 would underfit


@dataclass(frozen=True, slots=True)
class Task:
    """What every baseline gets: texts for training with their classes, and the texts to predict the class of."""

    texts: Sequence[str]
    labels: Integers
    """int64 [n]: leaf numbers; of a product under several paths, that of its first."""
    held_back: Sequence[str]
    classes: int
    seed: int
    ideographic: bool


Baseline = Callable[[Task], Floats]
"""Gives float32 [held back, classes]: probabilities, or a 1 at the class that a classifier without any predicts."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one classifier reached, and the seconds that training and predicting took."""

    name: str
    scores: Scores
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """A row of what `shelfwise evaluate baselines` prints."""
        shown = self.scores.to_json()
        return {
            "name": self.name,
            "levels": shown["levels"],
            "mean_weighted_f1": shown["mean_weighted_f1"],
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """The split that all rows share, the rows, and how many lines of the catalogues are no products."""

    split: Mapping[str, Any]
    rows: tuple[Row, ...]
    rejected: int = 0

    def to_json(self) -> dict[str, Any]:
        """What `shelfwise evaluate baselines` prints."""
        return {
            "split": dict(self.split),
            "rejected": self.rejected,
            "rows": [row.to_json() for row in self.rows],
        }

    def table(self) -> Iterator[str]:
        """A line a row for people: accuracy, weighted and macro F1 of each level, their mean weighted F1, seconds."""
        width = max(len(row.name) for row in self.rows)
        levels = range(1, max(len(row.scores.levels) for row in self.rows) + 1)
        yield (
            " " * width + "".join(f"  {f'level {level}: acc, wF1, mF1':24}" for level in levels) + "  mean wF1  seconds"
        )
        for row in self.rows:
            cells = (f"{one.accuracy:.4f}  {one.weighted_f1:.4f}  {one.macro_f1:.4f}" for one in row.scores.levels)
            shown = "".join(f"  {cell:24}" for cell in cells)
            yield f"{row.name:{width}}{shown}    {row.scores.mean_weighted_f1:.4f}  {row.seconds:7.1f}"


def compare(
    catalogue: str | os.PathLike[str],
    validation: str | os.PathLike[str] | None = None,
    text_fields: Sequence[str] = DEFAULT_TEXT_FIELDS,
    seed: int = 0,
    backbone: str = "auto",
    kinds: Sequence[WordKind] = (),
    bundle: Bundle | None = None,
) -> Comparison:
    """Train every baseline on the part that `train` trains on, and score it on the part that `train` holds back.

    Products are prepared as the bundle's were, so that all rows are of the same products and categories.

    :param text_fields: as `train` takes them; a budget of tokens (`description:40`) means nothing here.
    :param kinds: a further row of TF-IDF and LinearSVC for each, to see what stop words, stems or segments give.
    :param bundle: scored on the same held-back part as the last row, on its own text fields.
    :raises CatalogueError, BackboneError, TrainingError: the catalogue cannot be trained on, nothing is held back, or
        the backbone cannot be loaded; all before the first row.
    """
    digest, validation_digest = file_hash(catalogue), None if validation is None else file_hash(validation)
    labelled = read_labelled(catalogue)
    if not labelled.products:
        raise no_category(catalogue, labelled.rejected, labelled.unlabelled, "nothing can be learnt")
    text_fields = field_names(text_fields)
    preparation = settings_of(bundle).preparation if bundle and "settings" in bundle.info else PreparationSettings()
    prepared = prepare(labelled, validation, text_fields, seed, preparation)
    train_part, held_back = prepared.train, prepared.held_back
    taxonomy = Taxonomy.of(path for product in train_part for path in product.categories)
    _check(catalogue, taxonomy, train_part, held_back, text_fields)
    task = _task(taxonomy, train_part, held_back, text_fields, seed)
    truths = [product.categories for product in held_back]
    rows = []
    for name, baseline in _baselines(task, backbone, kinds):
        tell(f"{name} …")
        begun = time.perf_counter()
        rows.append(Row(name, score(taxonomy, baseline(task), truths), time.perf_counter() - begun))
        tell(f"{name}: mean weighted F1 {rows[-1].scores.mean_weighted_f1:.4f}, {rows[-1].seconds:.0f} s")
    if bundle is not None:
        split_fields = text_fields if validation is None else None
        rows.append(_bundle_row(bundle, prepared, digest, seed, split_fields))
    split = {
        "data": digest,
        "validation": validation_digest,
        "seed": seed,
        "text_fields": list(text_fields),
        "trained_on": len(train_part),
        "held_back": len(held_back),
        "leaves": len(taxonomy.leaves),
    }
    return Comparison(split, tuple(rows), len(labelled.rejected) + len(prepared.rejected))


def majority(task: Task) -> Floats:
    """Always the most common class."""
    return _one_hot(task, np.full(len(task.held_back), np.bincount(task.labels).argmax()))


def keyword_rules(task: Task) -> Floats:
    """The class whose learnt keywords weigh most together in the text."""
    rules = learn_keywords(task.texts, task.labels, task.classes, "segments" if task.ideographic else "words")
    return _one_hot(task, rules.predict(task.held_back))


def decision_tree(task: Task) -> Floats:
    """A decision tree on the TF-IDF of the most common words."""
    features = tf_idf("segments" if task.ideographic else "words").set_params(max_features=TREE_TERMS)
    return _fitted(task, make_pipeline(features, DecisionTreeClassifier(random_state=task.seed)))


def tf_idf_svc(*kinds: WordKind) -> Baseline:
    """A linear support vector machine, one against the rest, on the TF-IDF of words of these kinds side by side."""

    def baseline(task: Task) -> Floats:
        features = make_union(*(tf_idf(kind, task.ideographic, len(task.texts)) for kind in kinds))
        return _fitted(task, make_pipeline(features, LinearSVC(random_state=task.seed)))

    return baseline


def frozen_embedding(model: SentenceTransformer) -> Baseline:
    """Logistic regression on a backbone's own embeddings, which are not trained further."""

    def baseline(task: Task) -> Floats:
        train, held_back = (
            model.encode_document(list(texts), normalize_embeddings=True, show_progress_bar=len(texts) > 2000)
            for texts in (task.texts, task.held_back)
        )
        classifier = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=1000).fit(train, task.labels)
        probabilities = np.zeros((len(held_back), task.classes), dtype=np.float32)
        probabilities[:, classifier.classes_] = classifier.predict_proba(held_back)
        return probabilities

    return baseline


def _baselines(task: Task, backbone: str, kinds: Sequence[WordKind]) -> Iterator[tuple[str, Baseline]]:
    """:raises BackboneError: the backbone cannot be loaded; before the first of them."""
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model = load_trunk(resolve(backbone, task.texts).source, None)
    model.max_seq_length = min(model.max_seq_length or MOST_TOKENS, MOST_TOKENS)
    yield "majority class", majority
    yield "keyword rules", keyword_rules
    yield "decision tree on TF-IDF", decision_tree
    plain: WordKind = "segments" if task.ideographic else "words"
    for kind in dict.fromkeys((plain, "characters", *kinds)):
        yield f"TF-IDF of {kind} + LinearSVC", tf_idf_svc(kind)
    yield f"TF-IDF of {plain} and characters + LinearSVC", tf_idf_svc(plain, "characters")
    yield "frozen embedding + logistic regression", frozen_embedding(model)


def _fitted(task: Task, pipeline: Any) -> Floats:
    return _one_hot(task, pipeline.fit(task.texts, task.labels).predict(task.held_back))


def _one_hot(task: Task, numbers: npt.NDArray[np.integer[Any]]) -> Floats:
    probabilities = np.zeros((len(task.held_back), task.classes), dtype=np.float32)
    probabilities[np.arange(len(numbers)), numbers] = 1.0
    return probabilities


def _task(
    taxonomy: Taxonomy,
    train_part: Sequence[Product],
    held_back: Sequence[Product],
    fields: Sequence[str],
    seed: int,
) -> Task:
    texts = [product.text(fields) for product in train_part]
    return Task(
        texts=texts,
        labels=np.array([taxonomy.leaf_number[product.categories[0]] for product in train_part], dtype=np.int64),
        held_back=[product.text(fields) for product in held_back],
        classes=len(taxonomy.leaves),
        seed=seed,
        ideographic=is_ideographic(texts),
    )


def _check(
    catalogue: str | os.PathLike[str],
    taxonomy: Taxonomy,
    train_part: Sequence[Product],
    held_back: Sequence[Product],
    fields: Sequence[str],
) -> None:
    if len({product.categories[0] for product in train_part}) < 2:
        only = path_text(taxonomy.leaves[0])
        raise TrainingError(f"{catalogue}: all products are in {only}: a classifier needs two categories")
    if not held_back:
        raise TrainingError(
            f"{catalogue}: nothing can be held back (too few products apart), so nothing can be measured: "
            "give a --validation catalogue"
        )
    if not any(words_of(product.text(fields)) for product in train_part):
        raise TrainingError(f"{catalogue}: no word in {', '.join(fields)} of any product: give other --text-fields")


def _bundle_row(bundle: Bundle, prepared: Prepared, digest: str, seed: int, split_fields: Sequence[str] | None) -> Row:
    """The bundle on the held-back part; of one that learnt that part in the end, what it scored there before.

    :param split_fields: the text fields of the split; None: the held-back part is a validation file.
    """
    held_back = prepared.held_back
    data, begun = bundle.info.get("data", {}), time.perf_counter()
    trained_with = bundle.info.get("settings", {}).get("fit", {}).get("seed"), field_names(bundle.text_fields)
    # One that was given a validation file has learnt the whole catalogue, whatever seed and fields it has.
    same_split = split_fields is None or (
        trained_with == (seed, tuple(split_fields)) and data.get("products") == len(prepared.train)
    )
    same = data.get("sha256") == digest and same_split
    if same and split_fields is not None and data.get("used_held_back"):
        return Row(f"bundle {bundle.version}", Scores.from_json(bundle.info["metrics"]), 0.0)
    if not same:
        tell(
            f"bundle {bundle.version} was not trained on this part of the catalogue (another catalogue, seed, text "
            "fields or a validation file): it may have seen the held-back part, and its row may be too good"
        )
    encoded = bundle.encoder.encode_documents([bundle.text(product) for product in held_back])
    truths = [product.categories for product in held_back]
    scores = score(bundle.taxonomy, encoded.probabilities, truths, bundle.multi_label)
    return Row(f"bundle {bundle.version}", scores, time.perf_counter() - begun)
