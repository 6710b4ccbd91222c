"""What is known of a classifier on labelled products: what its report shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from shelfwise.filing import Filing, certainty
from shelfwise.taxonomy import Path as CategoryPath
from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.evaluate import Epoch, Scores, score_filing
from shelfwise_indexer.mistakes import Predictions, predictions
from shelfwise_indexer.reliability import Accepted, accepted, expected_calibration_error, reliability
from shelfwise_indexer.suspects import Suspect, suspected_label_errors

Floats = npt.NDArray[np.float32]
ONLY_THE_BEST = (
    "no category beside a product's best is accepted without a person: the held-back products do not show a "
    "probability from which as many of them are right as was promised"
)


@dataclass(frozen=True)
class ReportData:
    """What training, or an evaluation on a labelled catalogue, knows of a classifier.

    `ids`, `texts` and `paths` are of the products it is measured on, and `probabilities` float32 [n, leaves],
    calibrated. `filing` is what the bundle asks of them. `preparation` is what `report/preparation.json` holds,
    `baselines` what `shelfwise evaluate baselines` prints, `losses` what `bundle.json` says of a smaller bundle,
    `encoder` what it says of a separate encoder.
    `trained_on`: the classifier learnt these very products; `known`: how many of them, None where that is not known.
    `learnt_since`: it learnt them after the figures were taken.
    """

    title: str
    filing: Filing
    ids: Sequence[str]
    texts: Sequence[str]
    paths: Sequence[Sequence[CategoryPath]]
    probabilities: Floats
    epochs: Sequence[Epoch] = ()
    preparation: Mapping[str, Any] = field(default_factory=dict)
    baselines: Mapping[str, Any] = field(default_factory=dict)
    losses: Mapping[str, Any] = field(default_factory=dict)
    encoder: Mapping[str, Any] = field(default_factory=dict)
    trained_on: bool = False
    known: int | None = None
    learnt_since: bool = False

    @property
    def taxonomy(self) -> Taxonomy:
        """What is predicted."""
        return self.filing.taxonomy

    @cached_property
    def scores(self) -> Scores:
        """Scores of every level, and of the sets where a product may be in several categories."""
        return score_filing(self.filing, self.probabilities, self.paths)

    @cached_property
    def leaves(self) -> Predictions:
        """The predicted leaves."""
        return self.at_level(self.taxonomy.depth)

    def at_level(self, level: int) -> Predictions:
        """The predicted nodes of a level, 1 = roots."""
        return predictions(self.taxonomy, self.probabilities, self.paths, level, self.filing.several)

    @cached_property
    def calibration_error(self) -> float:
        """ECE of the predicted leaf in 15 bins of equal mass."""
        return expected_calibration_error(reliability(self.leaves.confidence, self.leaves.correct))

    @cached_property
    def certain(self) -> Floats:
        """What is held against the thresholds, float32 [n]."""
        return certainty(self.probabilities, self.filing.several or self.filing.thresholds is None)

    @cached_property
    def accepted(self) -> Accepted:
        """What the thresholds accept without a person."""
        own, one = self.filing.thresholds, np.float32(self.filing.threshold)
        limits = np.full(len(self.taxonomy.leaves), one) if own is None else own
        return accepted(self.certain, self.leaves.correct, limits[self.probabilities.argmax(axis=1)])

    @cached_property
    def suspects(self) -> list[Suspect]:
        """Products whose own leaf is in doubt; those of a leaf that the taxonomy lacks take no part.

        Empty for a multi-label classifier: what is suspected is that one leaf stands for another.
        """
        if self.filing.several:
            return []
        numbers = [self.taxonomy.leaf_number.get(truth, -1) for truth in self.leaves.truths]
        known = np.flatnonzero(np.array(numbers, dtype=np.int64) >= 0)
        labels = np.array(numbers, dtype=np.int64)[known]
        found = suspected_label_errors(labels, self.probabilities[known])
        return [Suspect(int(known[one.row]), one.label_probability) for one in found]

    @cached_property
    def unknown_categories(self) -> int:
        """How many categories of the products are none of the classifier's leaves, and never given."""
        return len({path for paths in self.paths for path in paths} - self.taxonomy.leaf_number.keys())

    def to_json(self) -> dict[str, Any]:
        """The figures of the page that are no tables: what `shelfwise evaluate classifier` prints."""
        return {
            **self.scores.to_json(),
            "unknown_categories": self.unknown_categories,
            "trained_on": self.trained_on,
            "trained_on_products": self.known,
            "ece": round(self.calibration_error, 4),
            "accepted": self.accepted.to_json(),
            "suspected_label_errors": len(self.suspects),
        }
