"""A cross-encoder small enough for unit tests: the tiny backbone's BERT with one output, random weights."""

from collections.abc import Iterable
from pathlib import Path

import torch
from sentence_transformers import CrossEncoder

from tiny_backbone import write_tiny_backbone


def write_tiny_cross_encoder(folder: Path, texts: Iterable[str], outputs: int = 1) -> Path:
    """Write a folder that `CrossEncoder` reads; its vocabulary is the words of the texts."""
    backbone = write_tiny_backbone(folder.with_name(folder.name + "-backbone"), texts)
    torch.manual_seed(1)
    model = CrossEncoder(str(backbone), num_labels=outputs, device="cpu")
    with torch.no_grad():
        for weight in model.model.parameters():
            if weight.ndim > 1:
                weight.mul_(8)  # large enough for the words to make a difference
    model.save_pretrained(str(folder), create_model_card=False)
    return folder
