"""Similar lists: the neighbours that `index` stores with each product of a spool. They are made and kept on disk."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shelfwise.messages import tell
from shelfwise_indexer.neighbours import NONE, Neighbours, similar
from shelfwise_indexer.spool import Spool
from shelfwise_indexer.spooled import Flags, Spooled
from shelfwise_indexer.text_file import TextFile

SIMILAR = 20  # neighbours kept with each product


@dataclass(frozen=True, slots=True)
class SimilarLists:
    """Of every product of a spool, in its order, its neighbours."""

    ids: TextFile
    found: Neighbours

    @classmethod
    def of(cls, spool: Spool, products: Spooled, dimension: int, wanted: Flags | None = None) -> "SimilarLists":
        """Find the neighbours of the products of a spool, or of those wanted, bool [n]; the others have none.

        Where a category is larger than is searched exactly, it says how many of the true ones were found.
        """
        vectors = spool.vector_file(dimension)
        try:
            found = similar(
                vectors,
                products.leaves,
                products.groups,
                products.available,
                SIMILAR,
                wanted=wanted,
                folder=spool.folder,
            )
        finally:
            vectors.close()
        if found.recall < 1:
            tell(f"similar products: of the nearest at least {found.recall:.1%} were found, by an approximate search")
        return cls(products.ids, found)

    def at(self, places: npt.NDArray[np.int64]) -> list[list[dict[str, Any]]]:
        """What is stored with the products at these places: ids and cosines, best first."""
        rows, scores = self.found.ids[places], np.round(self.found.scores[places].astype(np.float64), 4)
        names = self.ids.at(rows[rows != NONE])
        return [
            [{"id": names[row], "score": score} for row, score in zip(*pair, strict=True) if row != NONE]
            for pair in zip(rows.tolist(), scores.tolist(), strict=True)
        ]
