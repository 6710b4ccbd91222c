"""Fitting: `transformers.Trainer` with progress on stderr, early stopping, and checkpoints to go on from."""

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import nn
from torch.utils.data import Dataset, Sampler, SequentialSampler
from tqdm import tqdm
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainerState,
)
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_pt_utils import LengthGroupedSampler
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from shelfwise.encoder import padded as pad_rows
from shelfwise.encoder import sigmoid, softmax
from shelfwise.taxonomy import Path as CategoryPath
from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.evaluate import Epoch, score
from shelfwise_indexer.model import ShelfModel
from shelfwise_indexer.rounding import Arguments, computes_bf16
from shelfwise_indexer.seeds import LARGEST_SEED
from shelfwise_indexer.training_bar import TrainingBar

Floats = npt.NDArray[np.float32]
FROZEN_FROM = 100_000  # word embeddings
LOGGED_EVERY = 10  # steps, or once an epoch where it has fewer


Optimiser = Literal["adamw", "adam", "sgd", "rmsprop"]
Schedule = Literal["linear", "cosine", "none"]
SCHEDULES: dict[Schedule, str] = {"linear": "linear", "cosine": "cosine", "none": "constant_with_warmup"}


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How a model is fitted; rates are those at the end of the warm-up.

    Word embeddings are frozen by default (None) when there are more than FROZEN_FROM of them: a multilingual backbone
    knows far more words than a catalogue holds, and those that training sees must not move away from the others.
    """

    epochs: Annotated[int, Field(ge=1, description="At most; training stops early.")] = 4
    batch_size: Annotated[int, Field(ge=1, description="Texts of one forward pass, on each device.")] = 32
    gradient_accumulation: Annotated[int, Field(ge=1, description="Passes whose gradients make one step.")] = 1
    optimiser: Annotated[Optimiser, Field(description="What turns gradients into steps.")] = "adamw"
    learning_rate: Annotated[float, Field(gt=0, description="Of the backbone.")] = 1.5e-4
    head_learning_rate: Annotated[float, Field(gt=0, description="Of the head, which starts from nothing.")] = 2e-3
    weight_decay: Annotated[
        float, Field(ge=0, description="L2, of matrices only; decoupled in adamw, part of the gradient in the others.")
    ] = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1, description="Of sgd and rmsprop.")] = 0.9
    gradient_norm: Annotated[float, Field(gt=0, description="Longer gradients are cut to this.")] = 1.0
    schedule: Annotated[Schedule, Field(description="How the rates fall after the warm-up.")] = "linear"
    warmup_share: Annotated[float, Field(ge=0, lt=1, description="Of all steps, in which the rates rise.")] = 0.1
    patience: Annotated[int, Field(ge=1, description="Epochs without a better held-back score before it stops.")] = 2
    bf16: Annotated[
        bool, Field(description="Sixteen-bit arithmetic where it is safe and the device has it (autocast).")
    ] = True
    freeze_word_embeddings: Annotated[
        bool | None, Field(description="Default: those of a backbone with more than 100,000 words.")
    ] = None
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED, description="Same seed, data and machine: same bundle.")] = 0


@dataclass(frozen=True, slots=True)
class Texts:
    """Labelled texts of one part, each in one or more views (see `augment.views`)."""

    tokens: Sequence[Sequence[Sequence[int]]]
    """[views][n][length]."""
    labels: Floats
    """The share of each leaf, float32 [n, leaves]."""
    paths: Sequence[Sequence[CategoryPath]]
    shares: Sequence[float] = (1.0,)
    """How often each view is read; sums to 1."""
    original: Sequence[Floats] | None = None
    """Of each view the backbone's embeddings before training, or a teacher's, float32 [n, dimension], L2-normalised."""
    taught: Sequence[Floats] | None = None
    """Of each view a teacher's logits, float32 [n, leaves]."""
    plain: int | None = None
    """How many of the views, from the first, are texts as products have them; None: all."""

    def __len__(self) -> int:
        return len(self.labels)

    def and_also(self, other: "Texts") -> "Texts":
        """These and others in the same views, without the backbone's embeddings."""
        return Texts(
            [[*mine, *theirs] for mine, theirs in zip(self.tokens, other.tokens, strict=True)],
            np.concatenate((self.labels, other.labels)),
            [*self.paths, *other.paths],
            self.shares,
            plain=self.plain,
        )


def fit(
    model: ShelfModel,
    taxonomy: Taxonomy,
    train: Texts,
    held_back: Texts,
    settings: FitSettings,
    folder: Path,
    on_epoch: Callable[[int, float], object] | None = None,
) -> list[Epoch]:
    """Fit the model in place, going on from a checkpoint in `folder` if there is one.

    The best epoch by held-back mean weighted F1 is kept.

    :returns: what each epoch gave, those before an interruption included; nothing when nothing is held back.
    """
    words = cast(Any, model.trunk[0]).model.get_input_embeddings()
    frozen = settings.freeze_word_embeddings
    words.requires_grad_(not (words.num_embeddings > FROZEN_FROM if frozen is None else frozen))
    steps = len(train) // (settings.batch_size * settings.gradient_accumulation)
    arguments = _arguments(settings, len(held_back) > 0, folder, steps)
    trainer = _Trainer(
        model=model,
        args=arguments,
        data_collator=_Padding(model.trunk.tokenizer.pad_token_id),
        train_dataset=_Tokens(train),
        eval_dataset=_Tokens(held_back),
        compute_metrics=_Metrics(taxonomy, held_back, model.multi_label),
        preprocess_logits_for_metrics=_logits_only,
        optimizers=(_optimiser(model, settings), None),
        callbacks=[_Progress(on_epoch)],
    )
    if len(held_back):
        trainer.add_callback(EarlyStoppingCallback(early_stopping_patience=settings.patience))
    run(trainer, folder)
    return _epochs(trainer.state.log_history)


def run(trainer: Trainer, folder: Path) -> None:
    """Train to the end, from a checkpoint in `folder` if there is one; a training that had stopped is at its end."""
    trainer.remove_callback(PrinterCallback)
    checkpoint = last_checkpoint(folder)
    before = TrainerState.load_from_json(str(Path(checkpoint, TRAINER_STATE_NAME))) if checkpoint else None
    if before and cast(Any, before.stateful_callbacks)["TrainerControl"]["args"]["should_training_stop"]:
        trainer.args.num_train_epochs = before.epoch or 0.0
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pin_memory.*")
        trainer.train(resume_from_checkpoint=checkpoint)
    if before and trainer.state.global_step == before.global_step:
        trainer._load_rng_state(checkpoint)  # Trainer itself does so only before a step
    # Trainer leaves a forward that rounds to bf16; what is exported must not.
    trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)


def _epochs(log: Sequence[Mapping[str, float]]) -> list[Epoch]:
    epochs: list[Epoch] = []
    losses: list[float] = []
    for entry in log:
        if "loss" in entry:
            losses.append(entry["loss"])
        elif "eval_mean_weighted_f1" in entry and losses:
            epochs.append(Epoch(entry["epoch"], float(np.mean(losses)), entry["eval_mean_weighted_f1"]))
            losses = []
    return epochs


def _arguments(settings: FitSettings, held_back: bool, folder: Path, steps: int) -> Arguments:
    on_gpu = torch.cuda.is_available()
    return Arguments(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=4 * settings.batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation,
        max_grad_norm=settings.gradient_norm,
        warmup_steps=settings.warmup_share,
        lr_scheduler_type=SCHEDULES[settings.schedule],
        bf16=settings.bf16 and computes_bf16("cuda" if on_gpu else "cpu"),
        use_cpu=not on_gpu,
        eval_strategy="epoch" if held_back else "no",
        save_strategy="epoch",
        save_total_limit=2,
        restore_callback_states_from_checkpoint=True,
        load_best_model_at_end=held_back,
        metric_for_best_model="mean_weighted_f1" if held_back else None,
        greater_is_better=True,
        train_sampling_strategy="group_by_length",
        remove_unused_columns=False,
        label_names=["labels"],
        logging_steps=max(1, min(LOGGED_EVERY, steps)),
        disable_tqdm=True,
        report_to="none",
        seed=settings.seed,
        dataloader_pin_memory=on_gpu,
    )


def last_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint of an interrupted fit, if there is one.

    What is written last is lacking in one that was being written when the fit was killed: a fit that goes on from an
    older one writes it anew.
    """
    whole = [state.parent for state in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*/{TRAINER_STATE_NAME}")]
    return str(max(whole, key=lambda one: int(one.name.rpartition("-")[2]))) if whole else None


class CheckpointTrainer(Trainer):
    """Its checkpoints hold a tensor of two names, as T5's word embeddings have, twice: safetensors would refuse it."""

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        weights = state_dict or cast(nn.Module, self.model).state_dict()
        once = {weight.data_ptr(): name for name, weight in weights.items()}
        own = {name: weight if once[weight.data_ptr()] == name else weight.clone() for name, weight in weights.items()}
        super()._save(output_dir, own)


class _Trainer(CheckpointTrainer):
    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> Sampler[int]:
        # Trainer's own would read every text twice to learn its length.
        whole = cast(_Tokens, self.train_dataset).texts.tokens[0]
        together = self.args.train_batch_size * self.args.gradient_accumulation_steps
        lengths = [len(ids) for ids in whole]
        if self.args.world_size == 1:
            return LengthGroupedSampler(together, lengths=lengths)
        return _SameOrder(together, lengths, self.args.seed)

    def _get_eval_sampler(self, eval_dataset: Dataset[Any]) -> Sampler[int]:
        # Trainer's own groups by length here as well, and gives the predictions back in that order.
        return SequentialSampler(cast(Any, eval_dataset))


class _SameOrder(LengthGroupedSampler):
    """One order for all processes, each of which reads its share of it, however much it has drawn for itself."""

    def __init__(self, batch_size: int, lengths: list[int], seed: int) -> None:
        super().__init__(batch_size, lengths=lengths, generator=torch.Generator())
        self.seed = seed

    def set_epoch(self, epoch: int) -> None:
        """Draw another order; the loader calls it before each epoch."""
        [drawn] = np.random.SeedSequence((self.seed, epoch)).generate_state(1)
        self.generator.manual_seed(int(drawn))


class _Tokens(Dataset[dict[str, Any]]):
    """Each time a text is read, one of its views is drawn; torch's generator, which checkpoints keep, draws it."""

    def __init__(self, texts: Texts) -> None:
        self.texts = texts
        self.shares = torch.tensor(texts.shares)

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, place: int) -> dict[str, Any]:
        view = int(torch.multinomial(self.shares, 1)) if len(self.shares) > 1 else 0
        row = {"input_ids": self.texts.tokens[view][place], "labels": self.texts.labels[place]}
        if self.texts.original is not None:
            row["original"] = self.texts.original[view][place]
        if self.texts.taught is not None:
            row["taught"] = self.texts.taught[view][place]
        return row


def padded(tokens: Sequence[Sequence[int]], pad_token_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, int64 [n, longest]."""
    ids, mask = pad_rows(tokens, pad_token_id), pad_rows([[1] * len(ids) for ids in tokens], 0)
    return torch.from_numpy(ids), torch.from_numpy(mask)


@dataclass(frozen=True)
class _Padding:
    pad_token_id: int

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        input_ids, attention_mask = padded([row["input_ids"] for row in rows], self.pad_token_id)
        batch = {"input_ids": input_ids, "attention_mask": attention_mask}
        for name in ("labels", "original", "taught"):
            if name in rows[0]:
                batch[name] = torch.from_numpy(np.stack([row[name] for row in rows]))
        return batch


@dataclass(frozen=True)
class _Metrics:
    taxonomy: Taxonomy
    held_back: Texts
    multi_label: bool

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        probabilities = (sigmoid if self.multi_label else softmax)(np.asarray(prediction.predictions))
        scores = score(self.taxonomy, probabilities, self.held_back.paths, self.multi_label)
        return {"mean_weighted_f1": scores.mean_weighted_f1, "leaf_accuracy": scores.levels[-1].accuracy}


class _Progress(TrainingBar):
    def __init__(self, on_epoch: Callable[[int, float], object] | None = None) -> None:
        super().__init__("train")
        self.on_epoch = on_epoch

    def evaluated(self, epoch: float, figures: Mapping[str, float]) -> None:
        if "eval_mean_weighted_f1" not in figures:
            return
        tqdm.write(
            f"epoch {epoch:.0f}: held-back mean weighted F1 {figures['eval_mean_weighted_f1']:.4f}, "
            f"leaf accuracy {figures['eval_leaf_accuracy']:.4f}",
            file=sys.stderr,
        )
        if self.on_epoch is not None:
            self.on_epoch(round(epoch), figures["eval_mean_weighted_f1"])


def _logits_only(outputs: tuple[torch.Tensor, ...] | torch.Tensor, labels: torch.Tensor) -> torch.Tensor:  # noqa: ARG001
    return outputs[0] if isinstance(outputs, tuple) else outputs


def _optimiser(model: ShelfModel, settings: FitSettings) -> torch.optim.Optimizer:
    """A higher rate for the new head, no decay on biases and norms (the usual practice for BERT).

    Fused where torch has it: a step of AdamW on MiniLM takes a quarter of the time, a tenth of the whole batch's.
    """
    groups: list[dict[str, Any]] = []
    for part, rate in ((model.trunk, settings.learning_rate), (model.head, settings.head_learning_rate)):
        trained = [weight for weight in part.parameters() if weight.requires_grad]
        matrices, vectors = [w for w in trained if w.ndim > 1], [w for w in trained if w.ndim <= 1]
        groups.append({"params": matrices, "lr": rate, "weight_decay": settings.weight_decay})
        groups.append({"params": vectors, "lr": rate, "weight_decay": 0.0})
    match settings.optimiser:
        case "adamw":
            return torch.optim.AdamW(groups, fused=True)
        case "adam":
            return torch.optim.Adam(groups, fused=True)
        case "sgd":
            return torch.optim.SGD(groups, momentum=settings.momentum, fused=True)
        case "rmsprop":
            return torch.optim.RMSprop(groups, momentum=settings.momentum)
