"""Learning the fusion: the weights a query, from queries whose products were judged."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from shelfwise.errors import UsageError
from shelfwise.query_weights import GRID, QueryWeights, learn
from shelfwise.search import ProductSearch
from shelfwise.search_settings import SearchSettings
from shelfwise_indexer.evaluate import ndcg
from shelfwise_indexer.significance import Difference, paired

DEPTH = 10
FOLDS = 5


@dataclass(frozen=True, slots=True)
class LearntFusion:
    """The weights learnt from all judged queries; nDCG@10 of the default's, and of those learnt without each query."""

    weights: QueryWeights
    default: float
    unseen: float
    gain: Difference

    def to_json(self) -> dict[str, Any]:
        """What `shelfwise evaluate fusion` prints."""
        return {
            "weights": asdict(self.weights),
            "ndcg@10": {"default": round(self.default, 4), "learnt, on queries left out": round(self.unseen, 4)},
            "minus": self.gain.to_json(),
        }


def learn_fusion(
    search_with: Callable[[SearchSettings], ProductSearch], judged: Mapping[str, Mapping[str, int]]
) -> LearntFusion:
    """The weights a query with the highest mean nDCG@10 on judged queries, for `search --fusion`.

    Their worth is that on queries which they were not learnt from (FOLDS folds, weights rounded to .05). Every query is
    searched for with each weight of the grid; stock and variants are left aside, as by whoever judged. As in `evaluate
    search`, queries without a relevant product are left out: whatever the weight, their nDCG is 0.

    :param search_with: gives a search with these settings, such as `partial(ProductSearch, client, alias, bundle)`.
    :param judged: query text to the grade of each judged product, by id.
    :raises UsageError: fewer than FOLDS queries.
    """
    texts = sorted(text for text, grades in judged.items() if any(grade > 0 for grade in grades.values()))
    if len(texts) < FOLDS:
        raise UsageError(
            f"expected at least {FOLDS} queries with a relevant product to learn from, got {len(texts)}: judge more"
        )
    gains = _gains(search_with, judged, texts)
    fold_of = np.random.default_rng(0).permutation(len(texts)) % FOLDS
    unseen: dict[str, float] = {}
    for fold in range(FOLDS):
        known, held_out = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        weights = learn([texts[row] for row in known], gains[known])
        unseen |= {texts[row]: float(gains[row, weights.place_of(texts[row])]) for row in held_out}
    default = {text: float(row[QueryWeights().place_of(text)]) for text, row in zip(texts, gains, strict=True)}
    return LearntFusion(
        learn(texts, gains),
        float(np.mean(list(default.values()))),
        float(np.mean(list(unseen.values()))),
        paired(unseen, default),
    )


def _gains(
    search_with: Callable[[SearchSettings], ProductSearch],
    judged: Mapping[str, Mapping[str, int]],
    texts: Sequence[str],
) -> npt.NDArray[np.float64]:
    """NDCG@10 of each query with each weight of the grid, float64 [queries, len(GRID)]."""
    settings = SearchSettings(fusion="score", collapse_variants=False, out_of_stock_last=False)
    gains = np.zeros((len(texts), len(GRID)))
    for place, weight in enumerate(GRID):
        tried = replace(settings, weights={"lexical": weight, "semantic": 1.0 - weight})
        found = search_with(tried).search_many(texts, DEPTH)
        gains[:, place] = [
            ndcg([hit.id for hit in hits], judged[text], DEPTH) for text, hits in zip(texts, found, strict=True)
        ]
    return gains
