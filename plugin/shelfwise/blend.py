"""The blend: products scored by all signals, each scaled so that its best has 1."""

from collections.abc import Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any

from shelfwise.hit import Hit, Listing, distinct, group_of, listing_of

Found = Mapping[str, Any]
Scores = Mapping[str, float]


def best(
    found: Sequence[Found],
    signals: Mapping[str, Scores],
    weights: Scores,
    again: Mapping[str, float],
    gone: frozenset[Listing],
    k: int,
) -> list[Hit]:
    """The k best by the weighted sum of signals, the best of each variant group and listing, ties by id.

    :param gone: listings of which none is shown.
    """
    most = {name: max((scores.get(one["_id"], 0.0) for one in found), default=0.0) for name, scores in signals.items()}
    hits: list[tuple[Hit, tuple[str, Listing]]] = []
    for one in found:
        id_ = one["_id"]
        # What comes back is as like itself as can be; only the rate at which people buy it again says more.
        factor = again.get(id_, 1.0)
        shares = {
            name: factor * weights.get(name, 1.0) * scores[id_] / most[name]
            for name, scores in signals.items()
            if most[name] > 0 and scores.get(id_, 0.0) > 0 and weights.get(name, 1.0) > 0
        }
        hits.append((Hit.of(one, sum(shares.values()), shares), (group_of(one), listing_of(one))))
    ranked = sorted(hits, key=lambda pair: (-pair[0].score, pair[0].id))
    return [hit for hit, _ in islice(distinct(ranked, itemgetter(1), gone), k)]


def likeness(answers: Mapping[str, Found], weights: Mapping[str, float]) -> dict[str, float]:
    """Likeness in words to the newest products, each as a share of its likeness to itself."""
    summed: dict[str, float] = {}
    for id_, answer in answers.items():
        given = {found["_id"]: float(found["_score"]) for found in answer["hits"]["hits"]}
        own = given.get(id_) or max(given.values(), default=1.0)
        for other, score in given.items():
            summed[other] = summed.get(other, 0.0) + weights[id_] * score / own
    return summed
