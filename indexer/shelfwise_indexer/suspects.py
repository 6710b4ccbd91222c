"""Suspects: products whose own category is more likely wrong than the classifier is."""

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cleanlab.filter import find_label_issues


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row whose label is in doubt, and the probability of that label: the lower, the more it is."""

    row: int
    label_probability: float


def suspected_label_errors(labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float32]) -> list[Suspect]:
    """Rows that confident learning takes for mislabelled, least probable label first (Northcutt, Jiang, Chuang, JAIR
    2021; its implementation is cleanlab's).

    :param labels: int64 [n], leaf numbers.
    :param probabilities: float32 [n, leaves] of a model that did not train on these rows, or it would have learnt the
        errors.
    """
    if len(np.unique(labels)) < 2:
        return []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="May not flag all label issues")  # of classes that are rare here
        rows = find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    return [Suspect(int(row), float(probabilities[row, labels[row]])) for row in rows]
