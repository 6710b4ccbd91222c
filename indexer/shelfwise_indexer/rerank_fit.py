"""Fitting a cross-encoder to judged lists: `transformers.Trainer`, stopped early by nDCG on queries held back."""

import math
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from pydantic import Field
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import losses
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
)

from shelfwise_indexer.evaluate import ndcg
from shelfwise_indexer.rerank_lists import JudgedList
from shelfwise_indexer.rounding import Arguments, computes_bf16
from shelfwise_indexer.seeds import LARGEST_SEED
from shelfwise_indexer.training_bar import TrainingBar

LossKind = Literal["bce", "list", "lambda"]
PREDICTED_AT_ONCE = 128  # pairs


@dataclass(frozen=True, slots=True)
class RerankFitSettings:
    """How a cross-encoder is fitted."""

    loss: Annotated[LossKind, Field(description="Binary cross-entropy of the grade, ListNet, or LambdaLoss.")] = "list"
    epochs: Annotated[int, Field(ge=1, description="At most; training stops early.")] = 3
    batch_size: Annotated[int, Field(ge=1, description="Lists of one step.")] = 4
    list_size: Annotated[int, Field(ge=2, description="Products of a query in one list, drawn anew each time.")] = 8
    learning_rate: Annotated[float, Field(gt=0, description="At the end of the warm-up.")] = 3e-5
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup_share: Annotated[float, Field(ge=0, lt=1, description="Of all steps, in which the rate rises.")] = 0.1
    patience: Annotated[int, Field(ge=1, description="Epochs without a better held-back nDCG before it stops.")] = 2
    bf16: Annotated[
        bool, Field(description="Sixteen-bit arithmetic where it is safe and the device has it (autocast).")
    ] = True
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED, description="Same seed, data and machine: same reranker.")] = 0


def fit_reranker(
    model: CrossEncoder,
    train: Sequence[JudgedList],
    held_back: Sequence[JudgedList],
    settings: RerankFitSettings,
) -> float | None:
    """Fit the model in place; of the epochs the best by held-back nDCG@10 is kept.

    :returns: that nDCG; None when nothing with a relevant product was held back.
    """
    held_back = [one for one in held_back if any(one.grades)]
    most = max(max(one.grades) for one in train)
    data = _Lists(train, settings.list_size, label_scale(settings.loss, most))
    with tempfile.TemporaryDirectory(prefix="shelfwise-rerank-") as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pin_memory.*")
        trainer = _Trainer(
            model=_Learner(model, settings.loss),
            args=_arguments(settings, bool(held_back), folder),
            data_collator=_columns,
            train_dataset=data,
            eval_dataset=data if held_back else None,  # what is measured is `held_back`
            callbacks=[_Progress("rerank train")],
        )
        trainer.held_back = held_back
        trainer.remove_callback(PrinterCallback)
        if held_back:
            trainer.add_callback(EarlyStoppingCallback(early_stopping_patience=settings.patience))
        trainer.train()
        trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    return trainer.state.best_metric if held_back else None


def label_scale(kind: LossKind, most: int) -> float:
    """What a grade is multiplied by to be a label.

    `bce` wants shares of the best grade, `most`; ListNet aims at the softmax of the labels, which by ln 2 is in
    proportion to 2^grade, as the gain of nDCG is; LambdaLoss makes gains of grades itself.
    """
    match kind:
        case "bce":
            return 1.0 / max(most, 1)
        case "list":
            return math.log(2.0)
        case "lambda":
            return 1.0


def rerank_ndcg(model: CrossEncoder, lists: Sequence[JudgedList]) -> float:
    """Mean nDCG@10 of the judged products in the model's order."""
    pairs = [(one.query, text) for one in lists for text in one.texts]
    scores = np.asarray(
        model.predict(pairs, batch_size=PREDICTED_AT_ONCE, show_progress_bar=False, activation_fn=nn.Identity())
    )
    values, start = [], 0
    for one in lists:
        own = scores[start : start + len(one.texts)]
        start += len(one.texts)
        ranked = [str(place) for place in np.argsort(-own, kind="stable")]
        values.append(ndcg(ranked, {str(place): grade for place, grade in enumerate(one.grades)}))
    return float(np.mean(values))


class _Lists(Dataset[tuple[str, list[str], Tensor]]):
    """An epoch has each query as often as its products fill lists; which ones is drawn by torch's generator."""

    def __init__(self, lists: Sequence[JudgedList], size: int, scale: float) -> None:
        self.lists = [one for one in lists for _ in range(-(-len(one.texts) // size))]
        self.size = size
        self.scale = scale

    def __len__(self) -> int:
        return len(self.lists)

    def __getitem__(self, place: int) -> tuple[str, list[str], Tensor]:
        one = self.lists[place]
        drawn = torch.randperm(len(one.texts))[: self.size].tolist()
        labels = self.scale * torch.tensor([one.grades[at] for at in drawn], dtype=torch.float32)
        return one.query, [one.texts[at] for at in drawn], labels


def _columns(rows: Sequence[tuple[str, list[str], Tensor]]) -> dict[str, Any]:
    queries, texts, grades = zip(*rows, strict=True)
    return {"queries": list(queries), "texts": list(texts), "grades": list(grades)}


class _Learner(nn.Module):
    """The model within its loss."""

    def __init__(self, model: CrossEncoder, kind: LossKind) -> None:
        super().__init__()
        self.kind = kind
        self.loss: nn.Module
        match kind:  # -1: all pairs of a step at once
            case "bce":
                self.loss = losses.BinaryCrossEntropyLoss(model)
            case "list":
                self.loss = losses.ListNetLoss(model, mini_batch_size=-1)
            case "lambda":
                self.loss = losses.LambdaLoss(model, mini_batch_size=-1)

    def forward(self, queries: list[str], texts: list[list[str]], grades: list[Tensor]) -> dict[str, Tensor]:
        if self.kind != "bce":
            return {"loss": self.loss([queries, texts], grades)}
        each = [query for query, given in zip(queries, texts, strict=True) for _ in given]
        return {"loss": self.loss([each, [text for given in texts for text in given]], torch.cat(grades))}


class _Trainer(Trainer):
    held_back: Sequence[JudgedList] = ()

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        model = cast(_Learner, self.model).loss.model
        metrics = {"eval_ndcg": rerank_ndcg(cast(CrossEncoder, model), self.held_back)}
        cast(nn.Module, self.model).train()
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def _arguments(settings: RerankFitSettings, held_back: bool, folder: str) -> Arguments:
    on_gpu = torch.cuda.is_available()
    return Arguments(
        output_dir=folder,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=settings.warmup_share,
        bf16=settings.bf16 and computes_bf16("cuda" if on_gpu else "cpu"),
        use_cpu=not on_gpu,
        eval_strategy="epoch" if held_back else "no",
        save_strategy="epoch" if held_back else "no",
        save_total_limit=2,
        save_only_model=True,
        load_best_model_at_end=held_back,
        metric_for_best_model="ndcg" if held_back else None,
        greater_is_better=True,
        remove_unused_columns=False,
        logging_steps=10,
        disable_tqdm=True,
        report_to="none",
        seed=settings.seed,
        dataloader_pin_memory=on_gpu,
    )


class _Progress(TrainingBar):
    def evaluated(self, epoch: float, figures: Mapping[str, float]) -> None:
        if "eval_ndcg" in figures:
            tqdm.write(f"epoch {epoch:.0f}: held-back nDCG@10 {figures['eval_ndcg']:.4f}", file=sys.stderr)
