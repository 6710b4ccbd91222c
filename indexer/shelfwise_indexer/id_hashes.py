"""Id hashes: which ids of a long stream are known, at eight bytes a known id."""

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
BYTES = 8
BLOCK = 100_000  # ids looked up at once


class IdHashes:
    """Known ids. That an unknown one counts as known takes two with the same 64-bit hash."""

    def __init__(self, hashes: Hashes) -> None:
        self._sorted = np.sort(hashes)

    @classmethod
    def of(cls, ids: Iterable[str]) -> "IdHashes":
        """Of ids that are not kept themselves."""
        return cls(hashes_of(ids))

    def lacks(self, ids: Iterable[str]) -> Iterator[str]:
        """Those of the ids that are not known, in their order; BLOCK of them are held at once."""
        rest = iter(ids)
        while block := list(islice(rest, BLOCK)):
            hashes = hashes_of(block)
            places = np.searchsorted(self._sorted, hashes)
            known = np.searchsorted(self._sorted, hashes, side="right") > places
            yield from (block[place] for place in np.flatnonzero(~known).tolist())


def hashes_of(ids: Iterable[str]) -> Hashes:
    """Uint64 [n], in the order of the ids, which are held one at a time."""
    hashes = array("Q")
    for id_ in ids:
        hashes.frombytes(digest(id_, BYTES))
    return np.frombuffer(hashes, dtype=np.uint64)


def digest(text: str, size: int) -> bytes:
    """Hash of a text, as many bytes as asked for."""
    return hashlib.blake2b(text.encode(), digest_size=size).digest()
