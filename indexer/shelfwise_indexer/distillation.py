"""Distillation: what a student is asked of its teacher's probabilities (Hinton et al., NIPS 2014 workshop)."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class DistilSettings:
    """How a student is made of a teacher; of no effect without one. `retention` holds it to the teacher's embedding."""

    layers: Annotated[
        int | None, Field(ge=1, description="Of the teacher's, evenly spread; default: every other one.")
    ] = None
    temperature: Annotated[float, Field(gt=0, description="At which both give their probabilities.")] = 2.0
    share: Annotated[
        float, Field(ge=0, le=1, description="Of the teacher's probabilities in the loss; the rest are the labels.")
    ] = 0.5


def mixed_loss(
    of_labels: Tensor, logits: Tensor, taught: Tensor, settings: DistilSettings, multi_label: bool
) -> Tensor:
    """The labels' loss and the divergence from the teacher, each with its share; a scalar.

    The divergence is times the squared temperature, so that its gradients do not shrink as the temperature grows.

    :param logits: float [n, leaves].
    :param taught: float [n, leaves], the teacher's logits.
    """
    cool, warm = logits / settings.temperature, taught / settings.temperature
    if multi_label:
        wanted = warm.sigmoid()
        crossed = nn.functional.binary_cross_entropy_with_logits(cool, wanted, reduction="none")
        own = nn.functional.binary_cross_entropy_with_logits(warm, wanted, reduction="none")
        apart = (crossed - own).sum(-1).mean()
    else:
        logs = (cool.log_softmax(-1), warm.log_softmax(-1))
        apart = nn.functional.kl_div(*logs, reduction="batchmean", log_target=True)
    return torch.lerp(of_labels, settings.temperature**2 * apart, settings.share)
