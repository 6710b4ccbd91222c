"""Fits on held-back products: how the few numbers are found that are set after a model is trained."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

LEAST_HELD_BACK = 100  # products that set a number or three


def cross_entropy(logits: Tensor, labels: Tensor, multi_label: bool) -> Tensor:
    """Mean over texts; with several labels over texts and leaves, of sigmoids.

    :param logits: float [n, leaves].
    :param labels: float [n, leaves], shares; several labels: what is above 0.
    """
    if multi_label:
        return nn.functional.binary_cross_entropy_with_logits(logits, (labels > 0).float())
    return nn.functional.cross_entropy(logits, labels)


def top_cross_entropy(logits: Tensor, labels: Tensor, multi_label: bool = False) -> Tensor:
    """Mean over texts of how far the probability of the best leaf is from saying whether that leaf is right.

    The cross-entropy of all leaves also pays for how the rest is shared out among the others, and gives up some of the
    truth about the best one for it (Gupta, Ramdas: "Top-label calibration and multiclass-to-binary reductions", ICLR
    2022).

    :param logits: float [n, leaves], two leaves at least unless they are of several labels.
    :param labels: float [n, leaves], a category's is above 0.
    """
    best = logits.argmax(dim=-1, keepdim=True)
    right = (labels.gather(-1, best) > 0).to(logits.dtype)
    if multi_label:
        return nn.functional.binary_cross_entropy_with_logits(logits.gather(-1, best), right)
    others = logits.scatter(-1, best, -torch.inf).logsumexp(dim=-1, keepdim=True)
    return nn.functional.binary_cross_entropy_with_logits(logits.gather(-1, best) - others, right)


def labelled_rows(labels: Tensor, at_least: int = LEAST_HELD_BACK) -> Tensor | None:
    """Which held-back products have a known category, bool [n]; None where they are too few to set anything.

    :param labels: float [n, leaves].
    """
    known = labels.sum(dim=1) > 0
    return known if int(known.sum()) >= at_least else None


def minimise(loss: Callable[[], Tensor], free: Tensor, steps: int) -> None:
    """Set `free`, of which `loss` is a function, to where it is least, by LBFGS; in place."""
    optimiser = torch.optim.LBFGS([free], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]
