"""What was spooled: of every product of a run that has been encoded, in its order, what the next stages ask for.

Read out of the spool once. Texts lie on disk; about 50 bytes a product are in memory.
"""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shelfwise.bundle import Bundle
from shelfwise.source import listed
from shelfwise.taxonomy import path_text
from shelfwise_indexer.id_hashes import BYTES, IdHashes, digest
from shelfwise_indexer.kept_vectors import as_number
from shelfwise_indexer.spool import Spool
from shelfwise_indexer.text_file import TextFile
from shelfwise_indexer.unknown_categories import UnknownDecisions

Flags = npt.NDArray[np.bool_]
_GROUP_BYTES = 16  # so many that no two of any catalogue's groups will ever have the same


@dataclass(frozen=True, slots=True)
class Spooled:
    """The products of a spool; all arrays [n]. `unknown`: what people decided on that the bundle does not know."""

    ids: TextFile
    id_hashes: npt.NDArray[np.uint64]
    text_hashes: npt.NDArray[np.uint64]
    leaves: npt.NDArray[np.int64]
    """A number for each category that products are filed under."""
    groups: npt.NDArray[np.int64]
    """A number for each group of variants."""
    available: Flags
    carried: Flags
    same: Flags
    unknown: UnknownDecisions

    @classmethod
    def of(cls, spool: Spool, bundle: Bundle) -> "Spooled":
        """Read a spool.

        :raises SpoolError: the file of ids beside it cannot be written.
        """
        number_of_leaf = {path_text(leaf): number for number, leaf in enumerate(bundle.taxonomy.leaves)}
        leaves, groups, id_hashes, texts = array("q"), bytearray(), bytearray(), array("Q")
        available, carried, same = bytearray(), bytearray(), bytearray()
        unknown = UnknownDecisions(bundle)
        with spool.writing(), TextFile(spool.folder / "ids") as ids:
            for entry in spool.stream():
                enrichment = entry.document["shelfwise"]
                filed = (listed(enrichment.get("category")) or [enrichment["candidates"][0]["category"]])[0]
                unknown.look(entry.document["id"], enrichment)
                ids.add(entry.document["id"])
                id_hashes += digest(entry.document["id"], BYTES)
                texts.append(as_number(enrichment["text_hash"]))
                leaves.append(number_of_leaf.setdefault(filed, len(number_of_leaf)))
                groups += digest(enrichment["group"], _GROUP_BYTES)
                available.append(entry.document.get("in_stock") is not False)
                carried.append(entry.carried)
                same.append(entry.same)
        return cls(
            ids=ids,
            id_hashes=np.frombuffer(id_hashes, dtype=np.uint64),
            text_hashes=np.frombuffer(texts, dtype=np.uint64),
            leaves=np.frombuffer(leaves, dtype=np.int64),
            groups=numbered(groups),
            available=_flags(available),
            carried=_flags(carried),
            same=_flags(same),
            unknown=unknown,
        )

    def __len__(self) -> int:
        return len(self.ids)

    def lacks(self, ids: Iterable[str]) -> Iterator[str]:
        """Those of the ids that no product of the spool has, in their order."""
        return IdHashes(self.id_hashes).lacks(ids)


def numbered(hashes: bytes | bytearray) -> npt.NDArray[np.int64]:
    """A number for each hash of 16 bytes, the same for the same: int64 [n]."""
    halves = np.frombuffer(hashes, dtype=np.uint64).reshape(-1, 2)
    order = np.lexsort((halves[:, 0], halves[:, 1]))
    ordered = halves[order]
    numbers = np.empty(len(halves), dtype=np.int64)
    numbers[order] = np.cumsum((ordered != np.roll(ordered, 1, axis=0)).any(axis=1))
    return numbers


def _flags(values: Any) -> Flags:
    return np.frombuffer(values, dtype=np.bool_)
