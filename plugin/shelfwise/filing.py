"""The filing: the categories that the model's probabilities put a product under, where they are sure enough."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shelfwise.bundle import Bundle
from shelfwise.taxonomy import Path, Taxonomy

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Filing:
    """What a bundle asks of its predictions."""

    taxonomy: Taxonomy
    threshold: float
    """Least probability of a node that a product in review is filed under."""
    thresholds: Floats | None = None
    """float32 [leaves], least `certainty` that is accepted; default: a probability of `threshold`."""
    label_thresholds: Floats | None = None
    """float32 [leaves], where a product may be in several categories: those from which it gets a further leaf."""
    further_threshold: float = 0.0
    """The least probability of a further leaf that is accepted; 1: none ever is."""

    @classmethod
    def of(cls, bundle: Bundle) -> "Filing":
        """That of a bundle."""
        limits = bundle.thresholds, bundle.label_thresholds, bundle.further_threshold
        return cls(bundle.taxonomy, bundle.threshold, *limits)

    @property
    def several(self) -> bool:
        """Whether a product may be in several categories."""
        return self.label_thresholds is not None

    @property
    def accepts_further(self) -> bool:
        """Whether a category beside the most probable one can need no person."""
        return self.several and self.further_threshold < 1.0

    def categories(self, probabilities: Floats, unread: bool = False) -> list[Path]:
        """What a text is of, as far as that is sure: the accepted leaves, else the deepest sure node, else nothing.

        :param probabilities: float32 [leaves].
        :param unread: see `Encoded.unread`; the model is sure of what all such texts have in common.
        """
        return [] if unread else self.accepted(probabilities) or self.sure_nodes(probabilities)

    def given(self, probabilities: Floats) -> list[Path]:
        """The predicted leaves, accepted or not: see `given_leaves`."""
        return given_leaves(self.taxonomy, probabilities, self.label_thresholds)

    def accepted(self, probabilities: Floats) -> list[Path]:
        """The predicted leaves that need no person, most probable first; none where the best one does.

        :param probabilities: float32 [leaves].
        """
        if not self._accepts(probabilities):
            return []
        best, *further = self.given(probabilities)
        return [best, *(leaf for leaf in further if self._accepts_further(probabilities, leaf))]

    def sure_nodes(self, probabilities: Floats) -> list[Path]:
        """The deepest node that is sure enough, if any is.

        :param probabilities: float32 [leaves].
        """
        [sums] = self.taxonomy.node_probabilities(probabilities[np.newaxis], self.several)
        sure = [
            (len(node), float(total), node)
            for node, total in zip(self.taxonomy.nodes, sums, strict=True)
            if total >= self.threshold
        ]
        return [max(sure)[-1]] if sure else []  # below a threshold of a half, several may be sure: the most probable

    def _accepts(self, probabilities: Floats) -> bool:
        least = self.threshold if self.thresholds is None else float(self.thresholds[probabilities.argmax()])
        no_rival = self.thresholds is None or self.several
        [certain] = certainty(probabilities[np.newaxis], no_rival).tolist()
        return certain >= least and least < 1.0  # 1.0: nothing was ever certain enough

    def _accepts_further(self, probabilities: Floats, leaf: Path) -> bool:
        likely = float(probabilities[self.taxonomy.leaf_number[leaf]])
        return self.accepts_further and likely >= self.further_threshold


def certainty(probabilities: Floats, multi_label: bool) -> Floats:
    """What is held against the thresholds: by how much the most probable leaf is ahead of the next, float32 [n].

    It tells right from wrong better than the probability itself: .6 before .05 is a surer thing than .7 before .28.
    Where a product may be in several categories the second is no rival, and the probability counts.

    :param probabilities: float32 [n, leaves], calibrated.
    :param multi_label: whether they are of a multi-label classifier.
    """
    if multi_label or probabilities.shape[1] < 2:
        return np.asarray(probabilities.max(axis=1, initial=0))
    best = np.partition(probabilities, -2, axis=1)[:, -2:]
    return np.asarray(best[:, 1] - best[:, 0], dtype=np.float32)


def given_leaves(taxonomy: Taxonomy, probabilities: Floats, label_thresholds: Floats | None = None) -> list[Path]:
    """The predicted leaves of a product, most probable first, never none: the best, and with several labels those above
    their thresholds.
    """
    best = int(probabilities.argmax())
    if label_thresholds is None:
        return [taxonomy.leaves[best]]
    # 1.0: none is ever given; in float32 a probability may be 1, too.
    passed = np.flatnonzero((probabilities >= label_thresholds) & (label_thresholds < 1.0))
    further = passed[np.argsort(-probabilities[passed], kind="stable")]
    return [taxonomy.leaves[number] for number in (best, *further[further != best])]
