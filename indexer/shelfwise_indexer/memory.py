"""The memory: a head that also looks at the most alike products of the training part and at how they are filed.

A linear layer draws one line around each category, which a category of three products, or one of many kinds of
things, does not fit. Remembered products do: what is most like a product votes for its categories, in proportion to
exp(sharpness × cosine) (Vinyals et al., "Matching Networks for One Shot Learning", NeurIPS 2016; Khandelwal et al.,
"Generalization through Memorization", ICLR 2020, mix such votes with a model's own probabilities as is done here).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from shelfwise.text import fair_shares
from shelfwise_indexer.heads import LinearHead
from shelfwise_indexer.held_back_fit import cross_entropy, labelled_rows, minimise

Integers = npt.NDArray[np.int64]
LEAST = 1e-7  # a probability, so that its logarithm is finite
BLOCK = 4  # votes for one leaf that are added up at once; more would leave more places of a rare leaf's block empty
NEAREST = 3  # remembered embeddings that say what a query is most like
LARGEST = 127  # of eight bits
SILENT = -1e4  # the logarithm of a voice that is none


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """What is remembered, and how much it counts before held-back products say (see `fit_mixing`)."""

    products: Annotated[int, Field(ge=0, description="Training products that are remembered, at most; 0: none.")] = (
        20_000
    )
    keys: Annotated[
        int, Field(ge=1, description="Embeddings kept of them, at most; what is alike in a category is merged.")
    ] = 16_000
    share: Annotated[float, Field(ge=0, lt=1, description="Of the votes, in the probability of a category.")] = 0.5
    sharpness: Annotated[float, Field(gt=0, description="How much more the most alike count (times cosine).")] = 50.0


class MemoryHead(nn.Module):
    """The probabilities of a linear head and the votes of remembered products, mixed; as logits.

    Remembered products lie sorted by leaf, so that BLOCK votes are added up at once: gathering and scattering every
    single one took more of a pass than half the trunk did. Blocks are filled up with products that have no voice, and
    one of several leaves lies there once for each. Their embeddings are kept in eight-bit integers, one scale each: a
    query waits for them to be read from memory, and a cosine changes by some thousandths.

    :param keys: float [m, width], what the linear head reads of each remembered product.
    :param labels: float32 [m, leaves] as shares.
    :param standing: float32 [m], how many products of the training part each stands for.
    :param multi_label: the linear head's probabilities are sigmoids, and each category of a product gets a whole vote.
    """

    def __init__(
        self,
        linear: LinearHead,
        keys: Tensor,
        labels: npt.NDArray[np.float32],
        settings: MemorySettings,
        standing: npt.NDArray[np.float32],
        multi_label: bool = False,
    ) -> None:
        super().__init__()
        self.linear = linear
        self.multi_label = multi_label
        leaf, product = np.nonzero(labels.T)
        share = labels[product, leaf]
        place, leaf_of_block = _blocks(np.bincount(leaf, minlength=labels.shape[1]))
        size = BLOCK * len(leaf_of_block)
        buffers = {
            "keys": torch.zeros(size, keys.shape[1], dtype=torch.int8),
            "scale": torch.ones(size, 1),
            "standing": torch.full((size,), SILENT),
            "votes": torch.ones(size),
        }
        rounded, scale = _rounded(nn.functional.normalize(keys.float().cpu(), dim=-1))
        buffers["keys"][place], buffers["scale"][place] = rounded[product], scale[product]
        buffers["standing"][place] = torch.from_numpy(np.log(standing[product] * share))
        if multi_label:
            buffers["votes"][place] = torch.from_numpy(1 / share)
        buffers["leaf"] = torch.from_numpy(leaf_of_block)
        buffers["mixing"] = torch.tensor([settings.share, settings.sharpness, 1.0])
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer)

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor], multi_label: bool) -> "MemoryHead":
        """The head whose `state_dict` this is."""
        if "product" in state:
            state = _in_blocks(state, multi_label)
        leaves, width = state["linear.output.weight"].shape
        nothing = np.zeros((0, leaves), dtype=np.float32)
        head = cls(
            LinearHead(width, leaves, 0.0), state["keys"][:0], nothing, MemorySettings(), nothing[:, 0], multi_label
        )
        for name, _ in [*head.named_buffers()]:
            head.register_buffer(name, state[name])
        head.load_state_dict(state)
        return head

    @property
    def output(self) -> nn.Linear:
        """The linear head's last layer."""
        return self.linear.output

    def forward(self, pooled: Tensor, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        """As `LinearHead.forward`; the logarithms of probabilities, with several labels their logits."""
        return self.mixed(pooled, self.linear(pooled, tokens, attention_mask), cast(Tensor, self.mixing))

    def nearest(self, pooled: Tensor) -> Tensor:
        """The mean of the NEAREST remembered embeddings, float [n, width]; pooled float [n, width]."""
        keys, scale = cast(Tensor, self.keys), cast(Tensor, self.scale)
        alike = self._alike(pooled, cast(Tensor, self.mixing)[1])  # in the order of the cosines, and computed anyway
        places = alike.topk(min(NEAREST, len(keys)), dim=-1).indices
        return (keys[places].float() * scale[places]).mean(dim=1)

    def _alike(self, pooled: Tensor, sharpness: Tensor) -> Tensor:
        """Cosines with all that is remembered, times the sharpness, float [n, m]."""
        keys = cast(Tensor, self.keys).float() * cast(Tensor, self.scale)
        # Sharpened before they are compared: a factor after it would be worked into the keys, as floats.
        return nn.functional.linear(sharpness * nn.functional.normalize(pooled, dim=-1), keys)

    def mixed(self, pooled: Tensor, own: Tensor, mixing: Tensor) -> Tensor:
        """The output for the linear head's logits; `mixing` is share, sharpness, and those logits' temperature."""
        leaf = cast(Tensor, self.leaf)
        share, sharpness, temperature = mixing.unbind()
        own = own / temperature
        alike = self._alike(pooled, sharpness)
        voices = (alike + cast(Tensor, self.standing)).softmax(-1)
        if self.multi_label:
            voices = voices * cast(Tensor, self.votes)
        # Sizes written out: OpenVINO would take this expansion to (n, -1) and a decoder's view as (n, -1) for one.
        texts, blocks = own.shape[0], len(leaf)
        of_blocks = voices.reshape(texts, BLOCK, blocks).sum(1)
        voted: Tensor = torch.zeros_like(own).scatter_add(1, leaf.expand(texts, blocks), of_blocks)
        if self.multi_label:
            mixed: Tensor = ((1 - share) * own.sigmoid() + share * voted).clamp(LEAST, 1 - LEAST)
            return (mixed / (1 - mixed)).log()
        mixed = (1 - share) * own.softmax(-1) + share * voted
        return mixed.clamp_min(LEAST).log()


def _in_blocks(state: Mapping[str, Tensor], multi_label: bool) -> dict[str, Tensor]:
    """The `state_dict` of a memory that was kept with one vote for each product and leaf, before there were blocks."""
    leaves, width = state["linear.output.weight"].shape
    labels = torch.zeros(len(state["keys"]), leaves)
    labels[state["product"].cpu(), state["leaf"].cpu()] = state["votes"].cpu()
    shares = (labels / labels.sum(dim=1, keepdim=True)).numpy()
    standing = state["standing"].exp().cpu().numpy()
    blocks = MemoryHead(
        LinearHead(width, leaves, 0.0), state["keys"], shares, MemorySettings(), standing, multi_label
    ).state_dict()
    return {name: state[name] if name.startswith("linear.") or name == "mixing" else blocks[name] for name in blocks}


def _rounded(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Float [m, width] as integers, int8 [m, width], and the scale of each row, float32 [m, 1]."""
    scale = keys.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny) / LARGEST
    return (keys / scale).round().to(torch.int8), scale


def _blocks(sizes: Integers) -> tuple[Integers, Integers]:
    """Where the members of each leaf lie, leaf by leaf (int64 [members]), and the leaf of each block (int64 [blocks]).

    The n-th members of all blocks lie side by side, then the next ones: so they are added up as rows.
    """
    blocks = -(-sizes // BLOCK)
    leaf_of_block = np.repeat(np.arange(len(sizes)), blocks)
    first = np.cumsum(blocks) - blocks
    member = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return member % BLOCK * len(leaf_of_block) + np.repeat(first, sizes) + member // BLOCK, leaf_of_block


def fit_mixing(head: MemoryHead, pooled: Tensor, labels: Tensor) -> None:
    """Set share, sharpness and the linear head's temperature to those with the least held-back cross-entropy; in place.

    What is remembered was trained on, and so was the linear head; only products that were not can say how far to trust
    either. Nothing is changed by too few of them; see `labelled_rows`.

    :param pooled: float32 [n, width], what the head reads of held-back products.
    :param labels: float32 [n, leaves].
    """
    if (known := labelled_rows(labels)) is None:
        return
    pooled, labels = pooled[known], labels[known]
    with torch.no_grad():
        own = head.linear(pooled, pooled, pooled)
        share, sharpness, temperature = cast(Tensor, head.mixing).unbind()
        start = torch.stack([share.clamp(0.01, 0.99).logit(), sharpness.log(), temperature.log()])
    free = start.clone().requires_grad_()

    def mixing() -> Tensor:
        return torch.stack([free[0].sigmoid(), free[1].exp(), free[2].exp()])

    minimise(lambda: cross_entropy(head.mixed(pooled, own, mixing()), labels, head.multi_label), free, steps=60)
    with torch.no_grad():
        found = mixing()
        if torch.isfinite(found).all():
            head.mixing.copy_(found)  # type: ignore[operator]


def remembered(labels: npt.NDArray[np.float32], most: int, seed: int) -> tuple[Integers, npt.NDArray[np.float32]]:
    """Rows to remember (int64 [m], ascending) and how many rows of its category each stands for (float32 [m]).

    Rare categories are remembered whole, the large ones drawn down to equal numbers.

    :param labels: float32 [n, leaves]; a product counts for its first leaf, one without any is not remembered.
    """
    labelled = np.flatnonzero(labels.any(axis=1))
    leaf_of = labels[labelled].argmax(axis=1)
    order = np.random.default_rng(seed).permutation(len(labelled))
    leaves: Sequence[Integers] = [labelled[order[leaf_of[order] == leaf]] for leaf in np.unique(leaf_of)]
    shares = fair_shares([len(rows) for rows in leaves], most)
    drawn = [rows[:share] for rows, share in zip(leaves, shares, strict=True)]
    kept = np.sort(np.concatenate([np.empty(0, np.int64), *drawn]))
    of_leaf = labels[kept].argmax(axis=1)
    sizes, left = (np.bincount(found, minlength=labels.shape[1]) for found in (leaf_of, of_leaf))
    return kept, (sizes[of_leaf] / left[of_leaf]).astype(np.float32)
