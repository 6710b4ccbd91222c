"""Export: the trained model becomes files that the light runtime reads."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import openvino as ov
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from shelfwise.bundle import Bundle
from shelfwise.encoder import ALIKE, compiled, network, softmax
from shelfwise.errors import ShelfwiseError
from shelfwise_indexer.graph import number_operations
from shelfwise_indexer.grouped import Grouping
from shelfwise_indexer.heads import RnnHead
from shelfwise_indexer.lexical import LexicalHead
from shelfwise_indexer.margin import MarginScale
from shelfwise_indexer.memory import MemoryHead
from shelfwise_indexer.model import BackboneError, ShelfModel, load_trunk

LEXICAL, MARGIN = "lexical.safetensors", "margin.safetensors"
ENCODER = "encoder"  # in `bundle.json`, and the folder in the checkpoint, of a separate encoder
TOLERANCE = 1e-4  # the largest difference between the trained and the exported model, in any output


class ExportError(ShelfwiseError):
    """The exported model does not give what the trained one gives."""


class _Exported(nn.Module):
    def __init__(self, model: ShelfModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        outputs = self.model(input_ids, attention_mask)
        alike = self.model.alike(outputs["pooled"])
        given = outputs["embedding"], outputs["logits"]
        return given if alike is None else (*given, alike)


def export(model: ShelfModel, folder: Path, samples: Sequence[str]) -> None:
    """Write `model.xml`, `model.bin` (fp32), `tokenizer.json` and `checkpoint/` (safetensors), and compare.

    :param samples: texts on which the exported model must equal the trained one.
    :raises ExportError: embeddings or probabilities differ by more than TOLERANCE.
    """
    model = model.eval().float().cpu()
    features = _features(model, samples)
    if isinstance(model.head, RnnHead):
        model.head.exported_length = model.trunk.max_seq_length
    wrapped = _Exported(model).eval()
    batch, length = torch.export.Dim("batch", min=1), torch.export.Dim("length", min=2, max=model.trunk.max_seq_length)
    shapes = {name: {0: batch, 1: length} for name in features}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of the libraries about each other
        expected = [output.numpy() for output in wrapped(**features)]
        program = torch.export.export(wrapped, (), kwargs=features, dynamic_shapes=shapes, strict=False)
        converted = ov.convert_model(program)
    for node, name in zip(converted.outputs, ("embedding", "logits", ALIKE), strict=False):
        node.get_tensor().set_names({name})
    write_runtime(converted, model.trunk.tokenizer.backend_tokenizer, folder)
    save_checkpoint(model, folder / "checkpoint")
    _compare(folder, {name: tensor.numpy() for name, tensor in features.items()}, expected)


def write_runtime(converted: ov.Model, tokenizer: Tokenizer, folder: Path) -> None:
    """Write `model.xml`, `model.bin` (fp32) and `tokenizer.json`; the same model gives the same files."""
    number_operations(converted)
    for name in ("model.xml", "model.bin"):  # a process that has mapped them keeps what it has
        (folder / name).unlink(missing_ok=True)
    ov.save_model(converted, str(folder / "model.xml"), compress_to_fp16=False)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"))


def save_checkpoint(model: ShelfModel, folder: Path) -> None:
    """The trunk as a sentence-transformers folder (itself a `--backbone`), the head and the encoder beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    model.trunk.save(str(folder), create_model_card=False)
    save_file(model.head.state_dict(), str(folder / "head.safetensors"))
    if model.encoder is not None:
        model.encoder.save(str(folder / ENCODER), create_model_card=False)
    if model.lexical is not None:
        save_file(model.lexical.state_dict(), str(folder / LEXICAL))
    if model.margin is not None:
        save_file(model.margin.state_dict(), str(folder / MARGIN))


def load_checkpoint(bundle: Bundle, device: str | None = None) -> ShelfModel:
    """A bundle's model to go on training with, or to compare the exported one with.

    :raises BackboneError: the checkpoint is missing or damaged.
    """
    folder, settings = bundle.path / "checkpoint", bundle.info["settings"]
    try:
        state = load_file(folder / "head.safetensors", device=device or "cpu")
        lexical, margin = (load_file(folder / name) if (folder / name).exists() else {} for name in (LEXICAL, MARGIN))
    except (OSError, SafetensorError) as error:
        raise BackboneError(f"{folder}: the head cannot be read ({error}): copy the bundle again") from None
    model = ShelfModel(
        load_trunk(str(folder), bundle.max_tokens, device=device), bundle.taxonomy, head=settings["head"]
    )
    if "keys" in state:
        model.head = MemoryHead.of_state(state, settings["loss"]["multi_label"])
    else:
        leaves, width = state["output.weight"].shape
        cast(Any, model.head).output = nn.Linear(width, leaves)  # as many as it was trained on
        model.head.load_state_dict(state)
    if bundle.info.get(ENCODER):
        model.encoder = load_trunk(str(folder / ENCODER), bundle.max_tokens, device=device)
    if lexical:
        model.lexical = LexicalHead.of_state(lexical)
    if margin:
        model.margin = MarginScale(*margin["line"].tolist())
    if bundle.logit_leaves is not None:
        groups, temperature = torch.from_numpy(bundle.logit_leaves), float(bundle.info["temperature"])
        model.grouping = Grouping(groups, temperature, bundle.multi_label)
    return model.to(device or "cpu")


def _features(model: ShelfModel, texts: Sequence[str]) -> dict[str, Tensor]:
    encoded = model.trunk.tokenizer(
        list(texts), padding=True, truncation=True, max_length=model.trunk.max_seq_length, return_tensors="pt"
    )
    return {name: encoded[name] for name in ("input_ids", "attention_mask")}


def _compare(folder: Path, inputs: dict[str, np.ndarray], expected: Sequence[np.ndarray]) -> None:
    outputs = compiled(network(folder), "f32")(inputs)
    pairs = {
        "embedding": (outputs["embedding"], expected[0]),
        "probabilities": (softmax(outputs["logits"]), softmax(expected[1])),
    }
    for name, (exported, trained) in pairs.items():
        difference = float(np.abs(exported - trained).max())
        if not difference <= TOLERANCE:
            raise ExportError(
                f"the exported model's {name} differ from the trained one's by up to {difference:.1e}, at most "
                f"{TOLERANCE:.0e} is allowed: report the backbone and the OpenVINO version ({ov.__version__})"
            )
