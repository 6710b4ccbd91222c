"""Calibration: probabilities that mean what they say, and the one from which a prediction needs no person."""

import math

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import beta

from shelfwise_indexer.held_back_fit import minimise, top_cross_entropy

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
PROMISED_PRECISION = 0.95
FEW = 20  # held-back products of a leaf, which weigh as much as all leaves together
ASSURANCE = 0.8  # that the promised precision holds for products that were not held back
FOLDS = 5
SHRINKAGE = 2.0  # of a leaf's own offset: a Gaussian prior of variance 1 / 2 around that of all leaves
HARDLY = 1e-3  # shrinkage of the offset of all leaves: without it, where all is right, the loss has no minimum
SURELY = 1e-6  # how near a share may be to 0 or 1


def fit_temperature(logits: Floats, labels: Floats, multi_label: bool = False) -> float:
    """The temperature (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017) that minimises the held-back
    cross-entropy of whether the best leaf is right: that is what a confidence is read as.

    Its logarithm has a Gaussian prior of variance 1 around 0, which a hundred products outvote: five that happen to be
    right do not make a model certain.

    :param logits: float32 [n, leaves].
    :param labels: float32 [n, leaves], a category's is above 0.
    :param multi_label: probabilities are sigmoids, and a label is a category of the product or is not.
    """
    if len(logits) == 0 or (logits.shape[1] < 2 and not multi_label):
        return 1.0
    log_temperature = torch.zeros((), requires_grad=True)
    scores, truth = torch.from_numpy(logits), torch.from_numpy(labels)

    def loss() -> torch.Tensor:
        wrong = top_cross_entropy(scores / log_temperature.exp(), truth, multi_label)
        return wrong + log_temperature**2 / (2 * len(scores))

    minimise(loss, log_temperature, steps=50)
    # A large part without a single error would still ask for temperature 0: stay within a factor of ten.
    return float(log_temperature.detach().exp().clamp(0.1, 10.0))


def accept_threshold(
    confidence: Floats | npt.NDArray[np.float64],
    correct: npt.NDArray[np.bool_],
    precision: float = PROMISED_PRECISION,
    assurance: float | None = None,
) -> float:
    """The least confidence at and above which at least `precision` of the held-back predictions are right.

    :param assurance: how sure to be that the precision holds beyond the held-back part: then its lower confidence
        bound must reach `precision` (Clopper, Pearson: "The Use of Confidence or Fiducial Limits", Biometrika 1934).
    :returns: a probability, or 1.0 when no confidence gives the precision (then a person sees everything).
    """
    least = _least_kept(confidence, correct, precision, assurance)
    return 1.0 if least is None else least


def _least_kept(
    scores: Floats | npt.NDArray[np.float64], correct: npt.NDArray[np.bool_], precision: float, assurance: float | None
) -> float | None:
    """As `accept_threshold`, of any scores by which predictions can be ordered; None when no score gives it."""
    if len(scores) == 0:
        return None
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order]
    right, of = np.cumsum(correct[order]), np.arange(1, len(order) + 1)
    # The bound of none right in n is 0, which the quantile function does not give.
    right_so_far = (
        right / of if assurance is None else np.where(right, beta.ppf(1 - assurance, right, of - right + 1), 0.0)
    )
    # Only where the next prediction has a lower score can a threshold be put.
    last_of_its_value = np.append(sorted_scores[1:] < sorted_scores[:-1], True)
    good = np.flatnonzero((right_so_far >= precision) & last_of_its_value)
    return float(sorted_scores[good[-1]]) if len(good) else None


def least_to_prove(precision: float, assurance: float = ASSURANCE) -> int:
    """How many predictions, all of them right, show a precision below 1 as `accept_thresholds` wants it shown."""
    return max(FOLDS, math.ceil(math.log(1 - assurance) / math.log(precision)))


def accept_thresholds(
    predicted: Integers,
    certain: Floats,
    correct: npt.NDArray[np.bool_],
    leaves: int,
    precision: float = PROMISED_PRECISION,
    assurance: float = ASSURANCE,
) -> Floats:
    """How certain a prediction of each leaf must be to need no person, float32 [leaves]; 1.0: none ever is.

    The precision is promised for all that is accepted together. Which predictions are likely to be right is learnt by a
    logistic regression on how certain they are, with an offset for each leaf that is drawn to 0 where few predictions
    speak for it: easy leaves are accepted sooner, hard ones later. The least likelihood is set on predictions that the
    regression it is held against has not seen.

    :param predicted: int64 [n], the most probable leaf.
    :param certain: float32 [n], as `filing.certainty` has it.
    """
    n = len(certain)
    never = np.ones(leaves, dtype=np.float32)
    if n < FOLDS:
        return never
    scores = _log_odds(certain)
    likely = np.empty(n)
    for part in np.array_split(np.random.default_rng(0).permutation(n), FOLDS):
        others = np.setdiff1d(np.arange(n), part)
        slope, offsets = _odds_of_being_right(predicted[others], scores[others], correct[others], leaves)
        likely[part] = slope * scores[part] + offsets[predicted[part]]
    least = _least_kept(likely, correct, precision, assurance)
    if least is None:
        return never
    slope, offsets = _odds_of_being_right(predicted, scores, correct, leaves)
    return np.asarray(_share((least - offsets) / slope), dtype=np.float32)


def _odds_of_being_right(
    predicted: Integers, scores: npt.NDArray[np.float64], correct: npt.NDArray[np.bool_], leaves: int
) -> tuple[float, npt.NDArray[np.float64]]:
    """The log-odds that a prediction is right are slope x score + offset of its leaf: slope, and offsets [leaves]."""
    leaf, given = torch.from_numpy(predicted), torch.from_numpy(scores)
    right = torch.from_numpy(correct.astype(np.float64))
    free = torch.zeros(leaves + 2, dtype=torch.float64, requires_grad=True)  # log slope, common offset, the leaves' own

    def loss() -> torch.Tensor:
        odds = free[0].exp() * given + free[1] + free[2:][leaf]
        wrong = torch.nn.functional.binary_cross_entropy_with_logits(odds, right, reduction="sum")
        return wrong + SHRINKAGE / 2 * (free[2:] ** 2).sum() + free[0] ** 2 / 2 + HARDLY / 2 * free[1] ** 2

    minimise(loss, free, steps=50)
    found = free.detach().numpy()
    return float(np.exp(found[0])), found[1] + found[2:]


def _log_odds(shares: npt.ArrayLike) -> npt.NDArray[np.float64]:
    clipped = np.clip(np.asarray(shares, dtype=np.float64), SURELY, 1 - SURELY)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def _share(odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 1 / (1 + np.exp(-odds))


def label_thresholds(probabilities: Floats, wanted: npt.NDArray[np.bool_]) -> Floats:
    """For several categories a product: the probability from which each leaf is given, float32 [leaves].

    The one with the best F1 of the leaf on the held-back part, drawn towards the one that is best for all leaves
    together by as many products as FEW: a leaf with two held-back products says little about its own.

    :param probabilities: float32 [n, leaves].
    :param wanted: bool [n, leaves].
    """
    leaves = probabilities.shape[1]
    if not wanted.any():
        return np.full(leaves, 0.5, dtype=np.float32)
    together = _best_f1(probabilities.ravel(), wanted.ravel())
    thresholds = np.full(leaves, together, dtype=np.float32)
    for leaf in np.flatnonzero(wanted.any(axis=0)):
        products = int(wanted[:, leaf].sum())
        own = _best_f1(probabilities[:, leaf], wanted[:, leaf])
        thresholds[leaf] = (products * own + FEW * together) / (products + FEW)
    return thresholds


def further_threshold(
    probabilities: Floats,
    wanted: npt.NDArray[np.bool_],
    thresholds: Floats,
    precision: float = PROMISED_PRECISION,
    assurance: float = ASSURANCE,
) -> float:
    """The probability from which a category beside the most probable one needs no person; 1.0: none ever does.

    :param probabilities: float32 [n, leaves].
    :param wanted: bool [n, leaves].
    :param thresholds: float32 [leaves], those from which a product is given a category (`label_thresholds`).
    :param precision: the share of those accepted that must be right, see `accept_threshold`.
    """
    given = probabilities >= thresholds
    given[np.arange(len(given)), probabilities.argmax(axis=1)] = False
    return accept_threshold(probabilities[given], wanted[given], precision, assurance)


def _best_f1(probability: Floats, wanted: npt.NDArray[np.bool_]) -> float:
    """The midpoint between the last probability to be given and the next, where F1 is highest."""
    order = np.argsort(-probability, kind="stable")
    sorted_probability, hits = probability[order], np.cumsum(wanted[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + wanted.sum())
    f1[:-1][sorted_probability[1:] == sorted_probability[:-1]] = 0  # equal ones are given together
    best = int(f1.argmax())
    following = sorted_probability[best + 1] if best + 1 < len(order) else 0.0
    return float(sorted_probability[best] + following) / 2
