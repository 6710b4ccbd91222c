"""The export of a reranker: a cross-encoder becomes the folder that the light runtime reads."""

import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import openvino as ov
import orjson
import torch
from sentence_transformers import CrossEncoder
from torch import Tensor, nn

from shelfwise.reranker import FORMAT, Reranker, content_version
from shelfwise.text import field_names
from shelfwise_indexer.backbone import licence_of
from shelfwise_indexer.cross_encoder import CrossEncoderError, load_cross_encoder, save_cross_encoder
from shelfwise_indexer.export import TOLERANCE, ExportError, write_runtime
from shelfwise_indexer.packing import put_in_place

DEFAULT_TOKENS = 128  # of query and product together
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
# Of any kind: short and long, in words and in numbers, in other letters, and one that is cut.
SAMPLES = (
    ("kettle", "Gooseneck kettle 0.9 l for pour-over coffee"),
    ("hp 74xl", "HP 74XL High Yield Black Ink Cartridge (CB336WN)"),
    ("something to keep coffee hot on my commute", "Mug"),
    ("茶壶", "不锈钢电热水壶"),
    ("red dress", "long " * 600),
    ("and so on " * 600, "a query longer than what is read"),
)


class _Exported(nn.Module):
    def __init__(self, model: CrossEncoder, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *features: Tensor) -> Tensor:
        scores: Tensor = self.model(dict(zip(self.names, features, strict=True)))["scores"]
        return scores


def write_reranker(
    model: CrossEncoder,
    folder: Path,
    info: Mapping[str, Any],
    samples: Sequence[tuple[str, str]] = SAMPLES,
    checkpoint: bool = False,
) -> Reranker:
    """Write a cross-encoder as a reranker folder, compare the two on pairs, and put it in place in one step.

    :param info: what `reranker.json` says beside the runtime's own settings; `text_fields` and `blend` are needed.
    :param checkpoint: keep the model itself too (safetensors), to go on from.
    :raises CrossEncoderError: the folder holds something else, or cannot be written.
    :raises ExportError: the exported model's scores differ by more than TOLERANCE.
    """
    field_names(info["text_fields"])
    staging = folder.absolute().parent / f".{folder.name}.writing"
    check_target(folder)
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    model = model.eval().float().cpu()
    _export(model, staging)
    whole = {
        "format": FORMAT,
        "max_tokens": int(cast(int, model.max_seq_length)),
        "pad_token_id": int(model.tokenizer.pad_token_id or 0),
        **info,
    }
    whole["version"] = content_version(staging, whole)
    (staging / "reranker.json").write_bytes(orjson.dumps(whole, option=orjson.OPT_INDENT_2))
    _compare(model, Reranker(staging), samples)
    if checkpoint:
        save_cross_encoder(model, staging / "checkpoint")
    put_in_place(staging, folder)
    return Reranker(folder)


def export_cross_encoder(
    name: str, folder: Path, text_fields: Sequence[str], max_tokens: int | None = None, blend: float = 1.0
) -> dict[str, Any]:
    """Write a cross-encoder by folder or hub name as a reranker; what `shelfwise rerank export` prints.

    :param max_tokens: default: 128, or fewer if the model reads no more.
    :raises CrossEncoderError: see `load_cross_encoder`.
    """
    check_target(folder)
    model = load_cross_encoder(name, max_tokens)
    if max_tokens is None:
        model.max_seq_length = min(DEFAULT_TOKENS, int(cast(int, model.max_seq_length)))
    info = {
        "text_fields": list(text_fields),
        "blend": blend,
        "backbone": {"name": name, "licence": licence_of(Path(name))},
    }
    written = write_reranker(model, folder, info)
    return {"reranker": str(folder), "version": written.version, "max_tokens": written.max_tokens}


def check_target(folder: Path) -> None:
    """:raises CrossEncoderError: the folder is no place for a reranker."""
    if folder.exists() and not (folder / "reranker.json").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise CrossEncoderError(f"{folder} is there and is not a reranker: give --out a new folder, or a reranker's")
    try:
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CrossEncoderError(
            f"{folder} cannot be made ({error.strerror}): give --out a folder you may write"
        ) from None


def _export(model: CrossEncoder, folder: Path) -> None:
    encoded: Any = model.preprocess(list(SAMPLES[:2]))
    names = [name for name in INPUTS if name in encoded]
    batch = torch.export.Dim("batch", min=1)
    length = torch.export.Dim("length", min=2, max=int(cast(int, model.max_seq_length)))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of the libraries about each other
        program = torch.export.export(
            _Exported(model, names).eval(),
            tuple(encoded[name] for name in names),
            dynamic_shapes={"features": tuple({0: batch, 1: length} for _ in names)},
            strict=False,
        )
        converted = ov.convert_model(program)
    for port, name in zip(converted.inputs, names, strict=True):
        port.get_tensor().set_names({name})
    converted.outputs[0].get_tensor().set_names({"scores"})
    write_runtime(converted, model.tokenizer.backend_tokenizer, folder)


def _compare(model: CrossEncoder, written: Reranker, samples: Sequence[tuple[str, str]]) -> None:
    """The whole way, tokens included: a model that wants a prompt or reads pairs in its own way is found out here."""
    expected = model.predict(list(samples), activation_fn=nn.Identity(), show_progress_bar=False)
    difference = float(np.abs(written.score(samples) - np.asarray(expected, dtype=np.float32)).max())
    if not difference <= TOLERANCE:
        raise ExportError(
            f"the reranker's scores differ from the cross-encoder's by up to {difference:.1e}, at most {TOLERANCE:.0e} "
            f"is allowed: report the model and the OpenVINO version ({ov.__version__})"
        )
