"""Similar lists: the neighbours that `index` stores with each product of a spool. They are made and kept on disk."""

import hashlib
from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shelfwise.bundle import Bundle
from shelfwise.taxonomy import path_text
from shelfwise_indexer.neighbours import NONE, Neighbours, similar
from shelfwise_indexer.spool import Spool
from shelfwise_indexer.text_file import TextFile

SIMILAR = 20  # neighbours kept with each product
_HASH_BYTES = 16  # so many that no two of any catalogue's groups will ever have the same


@dataclass(frozen=True, slots=True)
class SimilarLists:
    """Of every product of the spool, in its order: its id, whether it was carried over, its neighbours."""

    ids: TextFile
    carried: npt.NDArray[np.bool_]
    found: Neighbours

    @classmethod
    def of(cls, spool: Spool, bundle: Bundle) -> "SimilarLists":
        """Find the neighbours of all products of a spool; about 60 bytes of each are in memory meanwhile."""
        number_of_leaf = {path_text(leaf): number for number, leaf in enumerate(bundle.taxonomy.leaves)}
        leaves, groups, carried, available = array("q"), bytearray(), bytearray(), bytearray()
        with TextFile(spool.folder / "ids") as ids:
            for _, entries in spool:
                for entry in entries:
                    enrichment = entry.document["shelfwise"]
                    filed = (enrichment.get("category") or [enrichment["candidates"][0]["category"]])[0]
                    ids.add(entry.document["id"])
                    leaves.append(number_of_leaf.setdefault(filed, len(number_of_leaf)))
                    groups += hashlib.blake2b(enrichment["group"].encode(), digest_size=_HASH_BYTES).digest()
                    carried.append(entry.carried)
                    available.append(entry.document.get("in_stock") is not False)
        found = similar(
            spool.vector_file(bundle.dimension),
            np.frombuffer(leaves, dtype=np.int64),
            numbered(groups),
            np.frombuffer(available, dtype=np.bool_),
            SIMILAR,
            folder=spool.folder,
        )
        return cls(ids, np.frombuffer(carried, dtype=np.bool_), found)

    def __len__(self) -> int:
        return len(self.ids)

    def between(self, start: int, end: int) -> list[list[dict[str, Any]]]:
        """What is stored with the products from one place up to another: ids and cosines, best first."""
        rows, scores = self.found.ids[start:end], self.found.scores[start:end]
        names = self.ids.at(rows[rows != NONE])
        return [
            [{"id": names[row], "score": round(score, 4)} for row, score in zip(*pair, strict=True) if row != NONE]
            for pair in zip(rows.tolist(), scores.tolist(), strict=True)
        ]


def numbered(hashes: bytes | bytearray) -> npt.NDArray[np.int64]:
    """A number for each hash of 16 bytes, the same for the same: int64 [n]."""
    halves = np.frombuffer(hashes, dtype=np.uint64).reshape(-1, 2)
    order = np.lexsort((halves[:, 0], halves[:, 1]))
    ordered = halves[order]
    numbers = np.empty(len(halves), dtype=np.int64)
    numbers[order] = np.cumsum((ordered != np.roll(ordered, 1, axis=0)).any(axis=1))
    return numbers
