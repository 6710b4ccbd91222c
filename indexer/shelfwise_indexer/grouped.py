"""The grouped head: a trained head whose taxonomy was changed afterwards, so that several outputs may be one leaf."""

from typing import cast

import torch
from torch import Tensor, nn

from shelfwise_indexer.heads import Head
from shelfwise_indexer.memory import LEAST, MemoryHead


class GroupedHead(nn.Module):
    """Gives logits whose calibrated probabilities are those of `shelfwise.encoder.by_leaf`.

    :param groups: int64 [outputs], the leaf of each of the head's outputs; every leaf is there.
    :param temperature: the calibration's, at which probabilities are added.
    """

    def __init__(self, head: Head | MemoryHead, groups: Tensor, temperature: float, multi_label: bool) -> None:
        super().__init__()
        self.head = head
        self.temperature = temperature
        self.multi_label = multi_label
        self.register_buffer("groups", groups)

    def forward(self, pooled: Tensor, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        """As `LinearHead.forward`."""
        logits = self.head(pooled, tokens, attention_mask) / self.temperature
        if self.multi_label:
            none_of = self._summed(nn.functional.logsigmoid(-logits)).exp().clamp(LEAST, 1 - LEAST)
            return self.temperature * ((1 - none_of) / none_of).log()
        return self.temperature * self._summed(logits.softmax(-1)).clamp_min(LEAST).log()

    @property
    def output(self) -> nn.Linear:
        """A last layer of one row a leaf to start further training from: a single output's own, of several the mean
        weight and a bias as probable as all of them.
        """
        trained, groups = self.head.output, cast(Tensor, self.groups).to(self.head.output.weight.device)
        leaves = int(groups.max()) + 1
        with torch.no_grad():
            layer = nn.Linear(trained.in_features, leaves, device=trained.weight.device)
            for leaf in range(leaves):
                rows = groups == leaf
                single = int(rows.sum()) == 1
                layer.weight[leaf] = trained.weight[rows][0] if single else trained.weight[rows].mean(0)
                layer.bias[leaf] = trained.bias[rows][0] if single else trained.bias[rows].logsumexp(0)
        return layer

    def _summed(self, values: Tensor) -> Tensor:
        groups = cast(Tensor, self.groups)
        empty = values.new_zeros(values.shape[0], int(groups.max()) + 1)
        return empty.scatter_add(1, groups.unsqueeze(0).expand(values.shape[0], -1), values)
