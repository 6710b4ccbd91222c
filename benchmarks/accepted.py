"""What a bundle accepts without a person at a promised precision, on labelled products that did not set its thresholds.

    python benchmarks/accepted.py --bundle BUNDLE --catalogue validation.jsonl.gz [--promised .95,.97] [--halves 20]

The products are those that the classifier was not trained on. They are halved at random, `--halves` times: one half
sets the thresholds as `train` does, the other says what they accept and how much of it is right. Beside what `train`
does stand one threshold for all leaves, and both with the probability in place of the lead.

The bundle's temperature, and how far it trusts its memory, were set on the very products that `train` held back: of a
`--validation` file they are all of these, which flatters every row alike.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from figures import tell
from shelfwise import Bundle
from shelfwise.filing import certainty
from shelfwise_indexer.calibrate import ASSURANCE, accept_threshold, accept_thresholds
from shelfwise_indexer.preparation import read_labelled
from shelfwise_indexer.reliability import accepted

Thresholds = Callable[[np.ndarray, np.ndarray, np.ndarray, int, float], np.ndarray]


def one_for_all(
    predicted: np.ndarray,  # noqa: ARG001
    certain: np.ndarray,
    correct: np.ndarray,
    leaves: int,
    promised: float,
) -> np.ndarray:
    return np.full(leaves, accept_threshold(certain, correct, promised, ASSURANCE))


def halves(count: int, times: int) -> list[tuple[np.ndarray, np.ndarray]]:
    orders = (np.random.default_rng(seed).permutation(count) for seed in range(times))
    return [(order[: count // 2], order[count // 2 :]) for order in orders]


def measured(
    thresholds: Thresholds,
    predicted: np.ndarray,
    certain: np.ndarray,
    correct: np.ndarray,
    leaves: int,
    promised: float,
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
) -> dict[str, float]:
    found = []
    for sets, says in parts:
        least = thresholds(predicted[sets], certain[sets], correct[sets], leaves, promised)
        found.append(accepted(certain[says], correct[says], least[predicted[says]]))
    coverage, precision = (np.array([getattr(one, name) for one in found]) for name in ("coverage", "precision"))
    return {
        "coverage": round(float(coverage.mean()), 4),
        "coverage_sd": round(float(coverage.std()), 4),
        "precision": round(float(precision.mean()), 4),
        "precision_sd": round(float(precision.std()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--catalogue", type=Path, required=True)
    parser.add_argument("--promised", default="0.95,0.97")
    parser.add_argument("--halves", type=int, default=20)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    bundle, products = Bundle.load(given.bundle), list(read_labelled(given.catalogue).products)
    leaves = bundle.taxonomy.leaves
    probabilities = bundle.encoder.encode_documents([bundle.text(product) for product in products]).probabilities
    predicted = probabilities.argmax(axis=1)
    correct = np.array([leaves[leaf] in one.categories for leaf, one in zip(predicted, products, strict=True)])
    against = {"lead": certainty(probabilities, bundle.multi_label), "probability": probabilities.max(axis=1)}
    ways: dict[str, Thresholds] = {"a leaf": accept_thresholds, "one for all": one_for_all}
    parts = halves(len(products), given.halves)
    tell(
        {
            "benchmark": "accepted",
            "bundle": bundle.version,
            "products": len(products),
            "halves": given.halves,
            "accuracy": round(float(correct.mean()), 4),
            "promised": {
                promised: {
                    f"{name}, {way}": measured(
                        thresholds, predicted, certain, correct, len(leaves), float(promised), parts
                    )
                    for name, certain in against.items()
                    for way, thresholds in ways.items()
                }
                for promised in given.promised.split(",")
            },
        },
        given.out,
    )


if __name__ == "__main__":
    main()
