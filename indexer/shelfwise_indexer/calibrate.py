"""Calibration: probabilities that mean what they say, and the one from which a prediction needs no person."""

import numpy as np
import numpy.typing as npt
import torch

Floats = npt.NDArray[np.float32]
PROMISED_PRECISION = 0.95


def fit_temperature(logits: Floats, labels: Floats) -> float:
    """The temperature that minimises the held-back cross-entropy (Guo et al., "On Calibration of Modern Neural
    Networks", ICML 2017).

    :param logits: float32 [n, leaves]. :param labels: float32 [n, leaves], rows sum to 1.
    """
    if len(logits) == 0:
        return 1.0
    log_temperature = torch.zeros((), requires_grad=True)
    scores, truth = torch.from_numpy(logits), torch.from_numpy(labels)
    optimiser = torch.optim.LBFGS([log_temperature], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(scores / log_temperature.exp(), truth)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    # A held-back part without a single error would ask for temperature 0: stay within a factor of ten.
    return float(log_temperature.detach().exp().clamp(0.1, 10.0))


def accept_threshold(
    confidence: Floats, correct: npt.NDArray[np.bool_], precision: float = PROMISED_PRECISION
) -> float:
    """The least confidence at and above which at least `precision` of the held-back predictions are right.

    :returns: a probability, or 1.0 when no confidence gives the precision (then a person sees everything).
    """
    if len(confidence) == 0:
        return 1.0
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence = confidence[order]
    right_so_far = np.cumsum(correct[order]) / np.arange(1, len(order) + 1)
    # Only where the next prediction has a lower confidence can a threshold be put.
    last_of_its_value = np.append(sorted_confidence[1:] < sorted_confidence[:-1], True)
    good = np.flatnonzero((right_so_far >= precision) & last_of_its_value)
    return float(sorted_confidence[good[-1]]) if len(good) else 1.0
