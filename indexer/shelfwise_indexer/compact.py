"""Compacting: a bundle with shorter embeddings, made without training; categories and thresholds stay as they were."""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import orjson
from openvino import opset13 as ops
from tokenizers import Tokenizer
from transformers.utils import logging as transformers_logging

from shelfwise.bundle import MODEL_FILES, Bundle, content_version
from shelfwise.errors import UsageError
from shelfwise.messages import tell
from shelfwise.processor import CORE
from shelfwise.product import Product
from shelfwise_indexer.catalogue import Row
from shelfwise_indexer.cut import (
    LEARNT_FROM,
    MEASURED_ON,
    Floats,
    cut_loss,
    cut_trunk,
    rotation,
)
from shelfwise_indexer.export import ENCODER, write_runtime
from shelfwise_indexer.good_rows import GoodRows
from shelfwise_indexer.model import load_trunk
from shelfwise_indexer.page import note_copied

MEASURED_SHARE = 0.2
KEPT = ("taxonomy.json", "checkpoint", "report")


@dataclass(frozen=True, slots=True)
class Compacted:
    """The shorter bundle, and how many lines of the catalogue are no products."""

    bundle: Bundle
    rejected: int

    def to_json(self) -> dict[str, Any]:
        """What `shelfwise compact` prints beside the folder."""
        return {
            "version": self.bundle.version,
            "rejected": self.rejected,
            "embedding": self.bundle.info["embedding"],
        }


def compact(bundle: Bundle, catalogue: str | os.PathLike[str], dimension: int, out: Path) -> Compacted:
    """Write the bundle with embeddings of `dimension` numbers into a new folder, whole or not at all.

    The axes come from products of the catalogue, and what is lost is measured on others of it; no category is needed.
    The same layers give the same logits as before: only what the model gives as the embedding goes on through a matrix.

    :raises UsageError: the dimension cannot be, or the folder is there or cannot be written.
    :raises CatalogueError: the catalogue cannot be read, or not to its end.
    :raises BackboneError: the checkpoint cannot be read.
    """
    if not 1 <= dimension < bundle.dimension:
        raise UsageError(
            f"bundle {bundle.path} gives {bundle.dimension} numbers an embedding, asked to cut it to {dimension}: give "
            f"from 1 to {bundle.dimension - 1}"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there and is not an empty folder: give --out a new one; nothing was changed")
    rows = GoodRows(catalogue)
    texts = [bundle.text(product) for product in _some(rows)]
    measured = min(MEASURED_ON, max(1, int(len(texts) * MEASURED_SHARE)))
    if len(texts) - measured < 2:
        raise UsageError(f"{catalogue}: {len(texts)} products cannot say how to cut: give a catalogue of some hundreds")
    tell(f"turning the embeddings by {len(texts) - measured} products, measuring on {measured}")
    vectors = bundle.encoder.encode_documents(texts).vectors
    axes = rotation(vectors[measured:], dimension)
    info: dict[str, Any] = dict(bundle.info) | {
        "dimension": dimension,
        "embedding": cut_loss(vectors[:measured], axes).to_json() | {"cut_from": bundle.version},
    }
    if "settings" in info:
        info["settings"] = {**info["settings"], "dimension": dimension}
    if info.pop("compressed", None):
        tell("left out: the bundle's compressed model, which gives the longer embedding")
    staging = out.absolute().parent / f".{out.name}.compacting"
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        _write(bundle, axes, staging)
        note_copied(staging / "report", _note(bundle, info["embedding"]))
        info["version"] = content_version(staging, info)
        (staging / "bundle.json").write_bytes(orjson.dumps(info, option=orjson.OPT_INDENT_2))
        if out.exists():
            out.rmdir()
        staging.rename(out)
    except OSError as error:
        raise UsageError(f"{out} cannot be written ({error.strerror}): give --out a folder you may write") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Compacted(Bundle.load(out), len(rows.rejected))


def _some(rows: Iterable[Row]) -> Sequence[Product]:
    """Some of the products, drawn evenly however many there are, in a random order that is always the same."""
    rng = np.random.default_rng(0)
    drawn: list[Product] = []
    for seen, row in enumerate(rows, start=1):
        if len(drawn) < LEARNT_FROM + MEASURED_ON:
            drawn.append(row.product)
        elif (place := int(rng.integers(seen))) < len(drawn):
            drawn[place] = row.product
    return [drawn[place] for place in rng.permutation(len(drawn))]


def _note(bundle: Bundle, loss: Mapping[str, Any]) -> str:
    """What the page that is copied has to say of this bundle."""
    found = loss["recall_at_10"]
    kept = (
        f"too few products, {loss['products']}, to say how many of the ten nearest are still found"
        if found is None
        else f"of the ten nearest products by whole ones {found:.1%} are still found"
    )
    return (
        f"Copied from bundle {bundle.version}, whose categories and what is accepted stayed as they were; embeddings "
        f"were since cut from {loss['full']} to {loss['dimension']} numbers: {kept}."
    )


def _write(bundle: Bundle, axes: Floats, staging: Path) -> None:
    for name in KEPT:
        if (source := bundle.path / name).is_dir():
            shutil.copytree(source, staging / name)
        elif source.exists():
            shutil.copy2(source, staging / name)
    graph = CORE.read_model(str(bundle.path / MODEL_FILES[0]))
    write_runtime(shorter(graph, axes), Tokenizer.from_file(str(bundle.path / "tokenizer.json")), staging)
    if (staging / "checkpoint").is_dir():
        checkpoint = staging / "checkpoint" / (ENCODER if bundle.info.get(ENCODER) else "")
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        trunk = load_trunk(str(checkpoint), bundle.max_tokens, device="cpu")
        cut_trunk(trunk, axes)
        trunk.save(str(checkpoint), create_model_card=False)


def shorter(graph: ov.Model, axes: Floats) -> ov.Model:
    """An exported model whose embeddings go on through the axes, float32 [full, dimension], and are normalised."""
    given = {output.get_any_name(): output.get_node().input_value(0) for output in graph.outputs}
    for name in given.keys() - {"logits"}:
        given[name].get_tensor().set_names(set())
        turned = ops.matmul(given[name], ops.constant(axes), transpose_a=False, transpose_b=False)
        given[name] = ops.normalize_l2(turned, np.array([1]), eps=1e-12, eps_mode="max").output(0)
        given[name].get_tensor().set_names({name})
    return ov.Model(list(given.values()), graph.get_parameters(), "shelfwise")
