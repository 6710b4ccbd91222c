"""The least held-back cross-entropy: how the few numbers are found that are set after a model is trained."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def cross_entropy(logits: Tensor, labels: Tensor, multi_label: bool) -> Tensor:
    """Mean over texts; with several labels over texts and leaves, of sigmoids.

    :param logits: float [n, leaves]. :param labels: float [n, leaves], shares; several labels: what is above 0.
    """
    if multi_label:
        return nn.functional.binary_cross_entropy_with_logits(logits, (labels > 0).float())
    return nn.functional.cross_entropy(logits, labels)


def minimise(loss: Callable[[], Tensor], free: Tensor, steps: int) -> None:
    """Set `free`, of which `loss` is a function, to where it is least, by LBFGS; in place."""
    optimiser = torch.optim.LBFGS([free], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]
