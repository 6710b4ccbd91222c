"""Fitting a separate encoder: sentence-transformers' in-batch negatives on pairs, with checkpoints to go on from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import torch
from pydantic import Field
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from shelfwise_indexer.encoder_pairs import Batch
from shelfwise_indexer.fit import CheckpointTrainer, padded, run
from shelfwise_indexer.rounding import Arguments, computes_bf16
from shelfwise_indexer.training_bar import TrainingBar

SAVED_EVERY = 500  # steps, or once an epoch where it has fewer


@dataclass(frozen=True, slots=True)
class EncoderFitSettings:
    """How a separate encoder is fitted; of no effect without one."""

    epochs: Annotated[int, Field(ge=1, description="All of them are done: nothing stops it early.")] = 1
    batch_size: Annotated[int, Field(ge=2, description="Pairs of one step, each a wrong answer to the others.")] = 64
    learning_rate: Annotated[float, Field(gt=0, description="At the end of the warm-up.")] = 2e-5
    weight_decay: Annotated[float, Field(ge=0, description="L2, decoupled.")] = 0.01
    warmup_share: Annotated[float, Field(ge=0, lt=1, description="Of all steps, in which the rate rises.")] = 0.1
    scale: Annotated[float, Field(gt=0, description="What cosines are multiplied by: one over the temperature.")] = 20.0
    bf16: Annotated[
        bool, Field(description="Sixteen-bit arithmetic where it is safe and the device has it (autocast).")
    ] = True


def fit_encoder(
    encoder: SentenceTransformer, batches: Sequence[Batch], settings: EncoderFitSettings, seed: int, folder: Path
) -> None:
    """Fit the encoder in place, going on from a checkpoint in `folder` if there is one."""
    trainer = CheckpointTrainer(
        model=_Learner(encoder, settings.scale),
        args=_arguments(settings, seed, folder, len(batches)),
        data_collator=_Columns(encoder.tokenizer, int(encoder.max_seq_length or 0)),
        train_dataset=_Batches(batches),
        callbacks=[TrainingBar("encoder")],
    )
    run(trainer, folder)


class _Learner(nn.Module):
    """The encoder within its loss."""

    def __init__(self, encoder: SentenceTransformer, scale: float) -> None:
        super().__init__()
        self.loss = MultipleNegativesRankingLoss(encoder, scale=scale)

    def forward(
        self, anchor_ids: Tensor, anchor_mask: Tensor, positive_ids: Tensor, positive_mask: Tensor
    ) -> dict[str, Tensor]:
        columns = [
            {"input_ids": anchor_ids, "attention_mask": anchor_mask},
            {"input_ids": positive_ids, "attention_mask": positive_mask},
        ]
        return {"loss": self.loss(columns, None)}


class _Batches(Dataset[Batch]):
    """A batch is one row, so that what belongs together stays so however rows are drawn."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, place: int) -> Batch:
        return self.batches[place]


@dataclass(frozen=True)
class _Columns:
    tokenizer: PreTrainedTokenizerBase
    limit: int

    def __call__(self, rows: Sequence[Batch]) -> dict[str, Tensor]:
        [batch] = rows
        anchor_ids, anchor_mask = self._read([pair.anchor for pair in batch])
        positive_ids, positive_mask = self._read([pair.positive for pair in batch])
        return {
            "anchor_ids": anchor_ids,
            "anchor_mask": anchor_mask,
            "positive_ids": positive_ids,
            "positive_mask": positive_mask,
        }

    def _read(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        tokens = self.tokenizer(texts, truncation=True, max_length=self.limit)["input_ids"]
        return padded(cast(Any, tokens), int(cast(Any, self.tokenizer).pad_token_id))


def _arguments(settings: EncoderFitSettings, seed: int, folder: Path, steps: int) -> Arguments:
    on_gpu = torch.cuda.is_available()
    return Arguments(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=1,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=settings.warmup_share,
        bf16=settings.bf16 and computes_bf16("cuda" if on_gpu else "cpu"),
        use_cpu=not on_gpu,
        save_strategy="steps",
        save_steps=min(SAVED_EVERY, steps),
        save_total_limit=2,
        remove_unused_columns=False,
        logging_steps=10,
        disable_tqdm=True,
        report_to="none",
        seed=seed,
        dataloader_pin_memory=on_gpu,
    )
