"""Reliability: whether a confidence means what it says, and what share of the products it can be trusted with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Booleans = npt.NDArray[np.bool_]
BINS = 15  # Guo et al., "On Calibration of Modern Neural Networks", ICML 2017


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions of like confidence: how many, their mean confidence, the share of them that is right."""

    products: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a threshold accepts: the share of all products, and the share of those accepted that is right."""

    coverage: float
    precision: float | None
    """None: nothing is accepted."""

    def to_json(self) -> dict[str, Any]:
        """What `shelfwise train` and `shelfwise evaluate classifier` print."""
        precision = None if self.precision is None else round(self.precision, 4)
        return {"coverage": round(self.coverage, 4), "precision": precision}


def reliability(confidence: Floats, correct: Booleans, bins: int = BINS) -> tuple[Bin, ...]:
    """Bins of equal mass, least confident first; fewer where there are fewer predictions than bins.

    Equal mass, because a good classifier is nearly always sure: of bins of equal width most would be nearly empty, and
    their chance would show as miscalibration (Nixon et al., "Measuring Calibration in Deep Learning", 2019).

    :param confidence: float32 [n].
    :param correct: bool [n].
    """
    order = np.argsort(confidence, kind="stable")
    return tuple(
        Bin(len(rows), float(confidence[rows].mean()), float(correct[rows].mean()))
        for rows in np.array_split(order, bins)
        if len(rows)
    )


def expected_calibration_error(bins: Sequence[Bin]) -> float:
    """Mean distance of confidence and accuracy over the bins, each weighted by its products; 0 without any."""
    products = sum(one.products for one in bins)
    return sum(one.products * abs(one.confidence - one.accuracy) for one in bins) / products if products else 0.0


def risk_coverage(certain: Floats, correct: Booleans) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Coverage and risk, float64 [n] each: the share that is accepted and the share of it that is wrong, when the most
    certain 1, 2, … n predictions are accepted (Geifman, El-Yaniv, NeurIPS 2017).
    """
    order = np.argsort(-certain, kind="stable")
    taken = np.arange(1, len(order) + 1)
    return taken / max(len(order), 1), np.cumsum(~correct[order]) / taken


def accepted(certain: Floats, correct: Booleans, thresholds: npt.ArrayLike) -> Accepted:
    """Coverage and precision at a threshold, or at one for each product (float [n]); of 1: nothing."""
    limits = np.broadcast_to(np.asarray(thresholds, dtype=np.float64), certain.shape)
    taken = (certain >= limits) & (limits < 1)
    return Accepted(
        coverage=float(taken.mean()) if len(taken) else 0.0,
        precision=float(correct[taken].mean()) if taken.any() else None,
    )
