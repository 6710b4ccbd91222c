"""The loss: how far logits are from the labels, at the leaves and at every level above them."""

from dataclasses import dataclass
from typing import Annotated, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from shelfwise.taxonomy import Taxonomy

LossKind = Literal["cross-entropy", "focal", "class-balanced"]
BALANCE = 0.999  # beta of Cui et al.: how much of a further product of a class is news
LEAST = 1e-7  # of what a logarithm is taken of, or a power below 1, whose gradient at 0 is infinite


@dataclass(frozen=True, slots=True)
class LossSettings:
    """What the loss is made of.

    `cross-entropy`; `focal` (products that are right already count less: Lin et al., "Focal Loss for Dense Object
    Detection", ICCV 2017); `class-balanced` (classes weigh by their effective number of products: Cui et al.,
    "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019).
    """

    kind: Annotated[LossKind, Field(description="What a wrong prediction costs.")] = "cross-entropy"
    level_weight: Annotated[float, Field(ge=0, description="Of each level above the leaves, which weigh 1.")] = 0.3
    label_smoothing: Annotated[float, Field(ge=0, lt=1, description="Share of a label spread over all leaves.")] = 0.0
    focal_gamma: Annotated[float, Field(ge=0, description="Of focal: how much less what is right counts.")] = 2.0
    multi_label: Annotated[
        bool, Field(description="A product may be in several categories: sigmoids and binary cross-entropy.")
    ] = False


class HierarchicalLoss(nn.Module):
    """Leaf loss + `level_weight` × the loss of each level above, whose probabilities follow from the leaves'.

    With one category a product a node's probability is the sum over its leaves; with several it is that of at least
    one of them, 1 - product of (1 - p). Either way no child is more probable than its parent.

    :param counts: float [leaves], training products of each; only `class-balanced` reads it.
    """

    def __init__(self, taxonomy: Taxonomy, settings: LossSettings, counts: npt.NDArray[np.float32]) -> None:
        super().__init__()
        self.settings = settings
        self.levels = taxonomy.depth
        self.above: list[npt.NDArray[np.int64]] = []
        """Of each level above the leaves, roots first, the number of each leaf's node, int64 [leaves]."""
        for level in range(1, taxonomy.depth):
            names, above = taxonomy.at_depth(level)
            self.above.append(above)
            below = torch.zeros(len(taxonomy.leaves), len(names))
            below[torch.arange(len(taxonomy.leaves)), torch.from_numpy(above)] = 1.0
            self.register_buffer(f"level_{level}", below, persistent=False)
        self.register_buffer("weight", torch.from_numpy(_weights(settings.kind, counts)), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """float [n, leaves] each, labels as shares (rows sum to 1 or 0); a scalar."""
        if self.settings.multi_label:
            return self._multi_label(logits, (labels > 0).float())
        loss = self._leaves(logits, labels)
        probabilities = logits.softmax(-1)
        for level in range(1, self.levels):
            below = cast(Tensor, getattr(self, f"level_{level}"))
            above = (probabilities @ below).clamp_min(LEAST).log()
            loss = loss - self.settings.level_weight * ((labels @ below) * above).sum(-1).mean()
        return loss

    def _leaves(self, logits: Tensor, labels: Tensor) -> Tensor:
        share = self._smoothed(labels)
        logs = logits.log_softmax(-1)
        if self.settings.kind == "focal":
            logs = logs * (1 - logs.exp()).clamp_min(LEAST) ** self.settings.focal_gamma
        return -(share * cast(Tensor, self.weight) * logs).sum(-1).mean()

    def _smoothed(self, labels: Tensor) -> Tensor:
        smoothing = self.settings.label_smoothing
        return labels * (1 - smoothing) + smoothing * labels.sum(-1, keepdim=True) / labels.shape[-1]

    def _multi_label(self, logits: Tensor, wanted: Tensor) -> Tensor:
        weight = cast(Tensor, self.weight)
        each = nn.functional.binary_cross_entropy_with_logits(logits, self._smoothed(wanted), reduction="none")
        if self.settings.kind == "focal":
            right = torch.where(wanted > 0, logits.sigmoid(), 1 - logits.sigmoid())
            each = each * (1 - right).clamp_min(LEAST) ** self.settings.focal_gamma
        loss = (each * weight).sum(-1).mean()
        none_of = nn.functional.logsigmoid(-logits)
        for level in range(1, self.levels):
            below = cast(Tensor, getattr(self, f"level_{level}"))
            none = none_of @ below  # log probability that none of a node's leaves fits
            some = (-torch.expm1(none)).clamp_min(LEAST).log()
            inside = (wanted @ below).clamp(max=1.0)
            loss = loss - self.settings.level_weight * (inside * some + (1 - inside) * none).sum(-1).mean()
        return loss


def retention_loss(embedding: Tensor, original: Tensor) -> Tensor:
    """1 − mean cosine to the original + mean squared difference of the similarity matrices; a scalar."""
    cosine = (embedding * original).sum(-1).mean()
    return 1 - cosine + (embedding @ embedding.T - original @ original.T).square().mean()


def _weights(kind: LossKind, counts: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """float32 [leaves], of mean 1 over the products."""
    if kind != "class-balanced":
        return np.ones(len(counts), dtype=np.float32)
    weights = (1 - BALANCE) / (1 - BALANCE ** np.maximum(counts, 1.0))
    return np.asarray(weights * counts.sum() / max(float((weights * counts).sum()), 1e-9), dtype=np.float32)
