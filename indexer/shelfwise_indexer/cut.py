"""The cut: embeddings turned so that their first numbers carry the most, and shortened to those.

A rotation changes no cosine. Turned onto its principal axes, an embedding has its variance in its first numbers, and
what is left after a cut orders products nearly as the whole did: what Matryoshka embeddings are trained for (Kusupati
et al., NeurIPS 2022), here in closed form. Only the embedding is cut; the heads read what comes before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize
from torch import nn

from shelfwise.errors import UsageError
from shelfwise.messages import tell
from shelfwise_indexer.fit import Texts
from shelfwise_indexer.model import ShelfModel
from shelfwise_indexer.neighbours import recall
from shelfwise_indexer.refit import of_texts

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
LEARNT_FROM = 20_000  # embeddings; the axes move no more
MEASURED_ON = 3_000
NEIGHBOURS = 10
ENOUGH = 10 * NEIGHBOURS  # products; of fewer some of the nearest are found by chance


@dataclass(frozen=True, slots=True)
class CutLoss:
    """What a cut costs: of embeddings that the rotation was not learnt from."""

    dimension: int
    full: int
    """Numbers before the cut."""
    products: int
    recall_at_10: float | None
    """Share of the ten nearest others by whole embeddings that are among those by cut ones; see `recall_of_enough`."""
    cosine_difference: float | None
    """Root mean square over pairs of products."""

    def to_json(self) -> dict[str, Any]:
        """What `bundle.json` says under `embedding`."""
        return {
            "dimension": self.dimension,
            "full": self.full,
            "products": self.products,
            "recall_at_10": _rounded(self.recall_at_10),
            "cosine_difference": _rounded(self.cosine_difference),
        }


def check_dimension(dimension: int | None, full: int, name: str) -> None:
    """See that an embedding can be cut so.

    :param full: numbers of an embedding as it is.
    :param name: whose, for the message.
    :raises UsageError: it has fewer numbers than asked for, or none are asked for.
    """
    if dimension is not None and not 1 <= dimension <= full:
        raise UsageError(f"{name} gives {full} numbers an embedding, asked for {dimension}: give from 1 to {full}")


def rotation(vectors: Floats, dimension: int) -> Floats:
    """The principal axes of embeddings, the one of the most variance first, float32 [full, dimension], orthonormal.

    :param vectors: float32 [n, full].
    """
    if len(vectors) < vectors.shape[1]:
        tell(
            f"{len(vectors)} products say little about the axes of embeddings of {vectors.shape[1]} numbers: what the "
            "cut keeps is nearly by chance, give more products"
        )
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    kept = axes[:, ::-1][:, :dimension]
    largest = kept[np.abs(kept).argmax(axis=0), np.arange(dimension)]
    return np.ascontiguousarray(kept * np.sign(largest), dtype=np.float32)  # an axis has no sign of its own


def shortened(vectors: Floats, axes: Floats) -> Floats:
    """Embeddings turned, cut and L2-normalised, float32 [n, full] to float32 [n, dimension]."""
    turned = vectors @ axes
    return np.asarray(turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def cut_loss(vectors: Floats, axes: Floats) -> CutLoss:
    """What a rotation loses of embeddings that it was not learnt from, float32 [n, full], L2-normalised."""
    full, dimension = axes.shape
    some = vectors[evenly(len(vectors), MEASURED_ON)]
    if len(some) < 2:
        return CutLoss(dimension, full, len(some), None, None)
    cut = shortened(some, axes)
    difference = float(np.sqrt(np.square(some @ some.T - cut @ cut.T).mean()))
    return CutLoss(dimension, full, len(some), recall_of_enough(cut, some), difference)


def recall_of_enough(short: Floats, whole: Floats) -> float | None:
    """Recall of the NEIGHBOURS nearest, see `neighbours.recall`; None, which is said, of fewer products than ENOUGH.

    Ten others of twenty are found by chance half of the time.
    """
    if len(whole) < ENOUGH:
        tell(
            f"how many of the {NEIGHBOURS} nearest products are still found is not measured: {len(whole)} products are "
            f"too few, it takes {ENOUGH}"
        )
        return None
    return recall(short, whole, NEIGHBOURS)


def cut_trunk(trunk: SentenceTransformer, axes: Floats) -> None:
    """Let a trunk give cut embeddings, in place: with two further modules, which are saved and loaded with it."""
    full, dimension = axes.shape
    weight = torch.from_numpy(np.ascontiguousarray(axes.T))
    with torch.random.fork_rng():  # its weights are drawn first, then replaced: what is learnt later must not see it
        turn = Dense(full, dimension, bias=False, activation_function=nn.Identity(), init_weight=weight)
    for module in (turn, Normalize()):
        trunk.append(module.to(trunk.device))


def cut_model(model: ShelfModel, train: Texts, held_back: Texts, dimension: int) -> CutLoss:
    """Cut a model's embedding to its first axes on whole training texts, in place; measured on held-back ones."""
    rows = evenly(len(train), LEARNT_FROM)
    axes = rotation(_embeddings(model, [train.tokens[0][row] for row in rows]), dimension)
    some = evenly(len(held_back), MEASURED_ON)
    loss = cut_loss(_embeddings(model, [held_back.tokens[0][row] for row in some]), axes)
    cut_trunk(model.embedder, axes)
    return loss


def evenly(n: int, most: int) -> Integers:
    """At most so many places out of n, evenly spread, int64, ascending."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.int64)


def _embeddings(model: ShelfModel, tokens: Sequence[Sequence[int]]) -> Floats:
    """float32 [n, full], L2-normalised."""
    if not tokens:
        return np.empty((0, int(model.embedder.get_embedding_dimension() or 0)), dtype=np.float32)
    vectors = of_texts(model, tokens, model.embed)
    return nn.functional.normalize(vectors, dim=-1).numpy()  # of sixteen bits its length is not quite 1


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
