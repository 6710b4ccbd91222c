"""The weighing: which lexical head is best beside the other logits, and how much it counts, by held-back products."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from shelfwise_indexer.held_back_fit import cross_entropy, labelled_rows, minimise, top_cross_entropy
from shelfwise_indexer.lexical import START, Fitted, Integers, LexicalHead

MULTIPLES = (1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5)  # times the weight of the least cross-entropy: those that are tried
LEAST_TO_LIFT = 20  # held-back products that set one offset


@dataclass(frozen=True, slots=True)
class HeldBackDecisions:
    """What fitted heads say of held-back texts, float32 [n, leaves] each."""

    own: Tensor
    above: Tensor | None


def choose(
    heads: Sequence[Fitted],
    logits: Tensor,
    decisions: Sequence[HeldBackDecisions],
    labels: Tensor,
    levels: Sequence[Integers] = (),
    multi_label: bool = False,
) -> LexicalHead:
    """The head that files most held-back products rightly at the weight given to it here; the last where too few say.

    Each is tried with and without what lies above the leaves, and files a product once a level: under the node of the
    best leaf. The weights of the least held-back cross-entropy are found first (a logistic regression on two numbers or
    three, so there is one best). They are cautious: the logarithm punishes a lone confident error more than a decision
    is worth. So up to two and a half times of them is tried, and that taken which gets most right; the temperature, set
    afterwards, is what makes the result's confidence honest.

    :param logits: float32 [n, leaves], without a lexical head.
    :param decisions: of each head.
    :param labels: float32 [n, leaves].
    :param levels: as of `fit_lexical`.
    :param multi_label: a product may have several categories, any of which is right; then the weights of the least
        cross-entropy stay: greater ones get more of the best leaves right and drown the others that a product is in.
    """
    if (known := labelled_rows(labels)) is None:
        return heads[-1].own
    logits, labels = logits[known], labels[known]
    nodes = [torch.from_numpy(level) for level in (*levels, np.arange(labels.shape[1]))]
    # Of each level the numbers of the nodes, and which of them a product is filed under.
    filed = [(of, torch.zeros(len(labels), int(of.max()) + 1).index_add_(1, of, labels) > 0) for of in nodes]
    best, most = (heads[-1], 0.0, START), -1
    for head, said in zip(heads, decisions, strict=True):
        parts = [part[known] for part in (said.own, said.above) if part is not None]
        for count in range(1, len(parts) + 1):
            start, *of_above = _least_cross_entropy_weights(logits, parts[:count], labels)
            if of_above and start <= 0:
                continue  # nothing for the ancestors to be measured by
            of_ancestors = of_above[0] / start if of_above else 0.0
            joined = parts[0] + of_ancestors * parts[1] if of_ancestors else parts[0]
            weight, right = _best_multiple(logits, joined, start, filed, MULTIPLES[:1] if multi_label else MULTIPLES)
            if right > most:
                best, most = (head, of_ancestors, weight), right
    fitted, of_ancestors, weight = best
    chosen = fitted.joined(of_ancestors)
    cast(Tensor, chosen.weight).fill_(weight)
    return chosen


def centre(head: LexicalHead, logits: Tensor, labels: Tensor) -> None:
    """Where a product may have several categories: lift the decisions so that the best leaf's sigmoid can be right.

    Most leaves are not a product's, and so most decisions are below 0, that of its own leaf often too: added to the
    logits they take all probabilities down. A softmax does not see that; of sigmoids no temperature mends it. Lifted by
    the offset of the least held-back cross-entropy of whether the best leaf is right; but where nearly all are right no
    offset is too high for that, and so never so far that every other product would be given a leaf that is wrong. Fewer
    products than `LEAST_TO_LIFT` change nothing.

    :param logits: float32 [n, leaves], with the head's.
    :param labels: float32 [n, leaves].
    """
    weight = float(cast(Tensor, head.weight))
    if weight <= 0 or (known := labelled_rows(labels, LEAST_TO_LIFT)) is None:
        return
    logits, labels = logits[known], labels[known]
    free = torch.zeros(2, requires_grad=True)  # log scale, offset
    minimise(lambda: top_cross_entropy(logits * free[0].exp() + free[1], labels, True), free, steps=50)
    offset = float((free[1] / free[0].exp()).detach())
    most = -float(logits.masked_fill(labels > 0, -math.inf).amax(dim=1).median())
    if math.isfinite(offset):
        head.lift_by(min(offset, max(most, 0.0)) / weight)


def _least_cross_entropy_weights(logits: Tensor, decisions: Sequence[Tensor], labels: Tensor) -> list[float]:
    """The decisions' weights with the least cross-entropy; the logits are scaled too, and what counts is the ratio."""
    parts = torch.stack([logits, *decisions])
    scales = torch.ones(len(parts), device=logits.device, requires_grad=True)
    minimise(lambda: cross_entropy(torch.tensordot(scales, parts, 1), labels, False), scales, steps=60)
    of_logits, *of_decisions = scales.detach().tolist()
    if of_logits <= 0:
        return [START, *[0.0] * (len(decisions) - 1)]
    return [max(of_each / of_logits, 0.0) for of_each in of_decisions]


def _best_multiple(
    logits: Tensor,
    decisions: Tensor,
    start: float,
    filed: Sequence[tuple[Tensor, Tensor]],
    factors: Sequence[float],
) -> tuple[float, int]:
    """The weight that gets most right, the least such, and how many: a product counts once a level.

    :param filed: of each level, of each leaf the number of its node, int64 [leaves], and bool [n, nodes].
    """
    rights = []
    for factor in factors:
        best = (logits + factor * start * decisions).argmax(1)
        rights.append(sum(int(under.gather(1, nodes[best, None]).sum()) for nodes, under in filed))
    most = max(rights)
    return factors[rights.index(most)] * start, most
