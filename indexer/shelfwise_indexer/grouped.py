"""Grouping: after a change of the taxonomy several outputs of a trained model may be one leaf."""

from typing import cast

import torch
from torch import Tensor, nn

from shelfwise_indexer.memory import LEAST


class Grouping(nn.Module):
    """Turns logits of outputs into those of leaves; calibrated, their probabilities are `shelfwise.encoder.by_leaf`'s.

    :param groups: int64 [outputs], the leaf of each output; every leaf is there.
    :param temperature: the calibration's, at which probabilities are added.
    """

    def __init__(self, groups: Tensor, temperature: float, multi_label: bool) -> None:
        super().__init__()
        self.temperature = temperature
        self.multi_label = multi_label
        self.register_buffer("groups", groups)

    def forward(self, logits: Tensor) -> Tensor:
        """Float [n, outputs] to float [n, leaves]."""
        logits = logits / self.temperature
        if self.multi_label:
            none_of = self._summed(nn.functional.logsigmoid(-logits)).exp().clamp(LEAST, 1 - LEAST)
            return self.temperature * ((1 - none_of) / none_of).log()
        return self.temperature * self._summed(logits.softmax(-1)).clamp_min(LEAST).log()

    def layer(self, trained: nn.Linear) -> nn.Linear:
        """A last layer of one row a leaf to start further training from: a single output's own, of several the mean
        weight and a bias as probable as all of them.
        """
        groups = cast(Tensor, self.groups).to(trained.weight.device)
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
        return empty.scatter_add(1, groups.expand(values.shape[0], len(groups)), values)
