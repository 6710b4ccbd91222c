"""Significance: whether a difference between two systems, query by query, is more than chance."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

RESAMPLES = 10_000
CONFIDENCE = 0.95
SEED = 0
_AT_ONCE = 4_000_000  # numbers drawn together: 32 MB


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of (new - old) over the queries that both have, with the bounds of its 95 % interval."""

    queries: int
    mean: float
    low: float
    high: float

    @property
    def better(self) -> bool:
        """The whole interval is above zero."""
        return self.low > 0

    @property
    def worse(self) -> bool:
        """The whole interval is below zero."""
        return self.high < 0

    def to_json(self) -> dict[str, Any]:
        """As the figures carry it."""
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(self).items()}


def paired(new: Mapping[str, float], old: Mapping[str, float]) -> Difference:
    """Compare two systems on the queries that both have, by a paired percentile bootstrap over queries.

    Source: Sakai: "Evaluating Evaluation Metrics Based on the Bootstrap", SIGIR 2006; queries are what is drawn, so
    that the interval says how the difference would vary over other queries of the same kind. Fixed seed.

    :param new: query id to its measure.
    :raises ValueError: they share no query.
    """
    shared = sorted(new.keys() & old.keys())
    if not shared:
        raise ValueError("the two share no query")
    differences = np.array([new[id_] - old[id_] for id_ in shared])
    low, high = bootstrap(differences)
    return Difference(len(shared), float(differences.mean()), low, high)


def bootstrap(values: np.typing.NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % percentile interval of the mean.

    :param values: float64 [n], at least one.
    """
    random = np.random.default_rng(SEED)
    at_once = max(1, _AT_ONCE // len(values))
    means = np.concatenate(
        [
            values[random.integers(0, len(values), (min(at_once, RESAMPLES - start), len(values)))].mean(axis=1)
            for start in range(0, RESAMPLES, at_once)
        ]
    )
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
