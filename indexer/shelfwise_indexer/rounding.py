"""Sixteen-bit arithmetic in a training: where the device computes in it, and nowhere else."""

import torch
from transformers import TrainingArguments

from shelfwise.processor import has_bf16


class Arguments(TrainingArguments):
    """`TrainingArguments` that compute in sixteen bits where `bf16` says so alone, not where the environment does."""

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[no-untyped-call]
        self.mixed_precision = "bf16" if self.bf16 else "no"  # not $ACCELERATE_MIXED_PRECISION


def computes_bf16(kind: str) -> bool:
    """Whether the devices of torch's `kind`, "cuda" or "cpu", compute in bf16 themselves.

    torch takes bf16 on the others too and works it out number by number: on a processor with AVX2 alone a product of
    matrices takes eighty times as long as in f32.
    """
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return kind == "cpu" and has_bf16()


def rounded(kind: str) -> torch.autocast:
    """The context in which devices of a kind compute in bf16 where it is safe, if they compute in it themselves."""
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=computes_bf16(kind))
