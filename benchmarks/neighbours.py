"""Approximate neighbours of a whole catalogue against exact ones.

    python benchmarks/neighbours.py --catalogue products.jsonl.gz --bundle BUNDLE [--k 10] [--out FILE]

All products against all, once compared pair by pair and once by cells, as catalogues past `EXACT_UP_TO` are searched.
A neighbour counts as found when it is as near as the k-th true one: equal texts have equal vectors.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

from figures import tell
from shelfwise import Bundle
from shelfwise_indexer.catalogue import Row, read
from shelfwise_indexer.document_encoder import DocumentEncoder
from shelfwise_indexer.neighbours import nearest
from shelfwise_indexer.pool import ROUNDING


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogue", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    bundle = Bundle.load(options.bundle)
    texts = [bundle.text(row.product) for row in read(options.catalogue) if isinstance(row, Row)]
    vectors = DocumentEncoder(bundle).encode(texts).vectors
    begun = time.perf_counter()
    exact = nearest(vectors, options.k, exact_up_to=len(vectors))
    halfway = time.perf_counter()
    approximate = nearest(vectors, options.k, exact_up_to=0)
    ended = time.perf_counter()
    found = approximate.scores[:] >= exact.scores[:][:, -1:] - ROUNDING
    figures = {
        "benchmark": "neighbours",
        "catalogue": options.catalogue.parent.name,
        "products": len(vectors),
        "k": options.k,
        "bundle": bundle.version,
        "cores": os.cpu_count(),
        "recall": round(float(found.mean()), 4),
        "recall_that_the_run_says": round(approximate.recall, 4),
        "products_with_all_found": round(float(found.all(axis=1).mean()), 4),
        "same_rows": round(
            float(np.mean([len(set(a) & set(b)) for a, b in zip(approximate.ids[:], exact.ids[:], strict=True)]))
            / options.k,
            4,
        ),
        "seconds": {"exact": round(halfway - begun, 1), "approximate": round(ended - halfway, 1)},
    }
    tell(figures, options.out)


if __name__ == "__main__":
    main()
