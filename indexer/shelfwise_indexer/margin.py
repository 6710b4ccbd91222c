"""The margin: how far the best category is ahead of the next says how much the logits of a text are to be believed.

One temperature for all texts (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017) is one number for two
faults: a text that nothing is like, whose logits are all small, is believed too little where a plain one is believed
too much. So each text gets a temperature of its own, by its margin (a small case of Tomani et al., "Parameterized
Temperature Scaling", ECCV 2022). The order of a text's categories stays as it is.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn

from shelfwise_indexer.held_back_fit import labelled_rows, minimise, top_cross_entropy

SOFT = 0.1  # added to a margin, so that its logarithm is finite
STEEPEST = 0.5  # with less than 1 a greater margin stays the more certain one
MOST = 10.0  # times louder or quieter: held-back products without a single error would ask for any


class MarginScale(nn.Module):
    """Multiplies the logits of a text by exp(level + slope × log(margin + SOFT)); at first by 1."""

    def __init__(self, level: float = 0.0, slope: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("line", torch.tensor([level, slope]))

    def forward(self, logits: Tensor) -> Tensor:
        """Float [n, leaves] to the same; two leaves at least."""
        return scaled(logits, cast(Tensor, self.line))


def scaled(logits: Tensor, line: Tensor) -> Tensor:
    """Logits by their margins; `line` is level and slope."""
    best = logits.topk(2, dim=-1).values
    margin = best[:, :1] - best[:, 1:]
    return logits * (line[0] + line[1] * (margin + SOFT).log()).exp()


def fit_margin(logits: Tensor, labels: Tensor) -> MarginScale | None:
    """The scale by which the best probability says best whether it is right; None where too few products can say.

    :param logits: float32 [n, leaves].
    :param labels: float32 [n, leaves].
    """
    if (known := labelled_rows(labels)) is None:
        return None
    logits, labels = logits[known], labels[known]
    line = torch.zeros(2, requires_grad=True)
    minimise(lambda: top_cross_entropy(scaled(logits, line), labels), line, steps=60)
    level, slope = line.detach().tolist()
    if not abs(slope) <= STEEPEST:  # also where it is no number
        return None
    return MarginScale(min(max(level, -math.log(MOST)), math.log(MOST)), slope)
