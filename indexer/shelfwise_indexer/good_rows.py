"""Good rows: the products of a catalogue that is read to its end; what is none is said."""

import os
from collections.abc import Iterator

from shelfwise.messages import Complaints
from shelfwise_indexer.catalogue import Rejected, Row, read


class GoodRows:
    """The rows of a catalogue that are products, in order; the others are said on stderr.

    `rejected` holds those that were met so far, `products` says how many others.
    """

    def __init__(self, catalogue: str | os.PathLike[str]) -> None:
        self.rejected: list[Rejected] = []
        self.products = 0
        self._catalogue = os.fspath(catalogue)

    def __iter__(self) -> Iterator[Row]:
        """:raises CatalogueError: the catalogue cannot be read, or not to its end."""
        complaints = Complaints("lines that were rejected")
        for row in read(self._catalogue):
            if isinstance(row, Row):
                self.products += 1
                yield row
                continue
            row.check_not_cut_off(self._catalogue)
            self.rejected.append(row)
            complaints.add(f"{self._catalogue}, line {row.line}: {row.reason}")
        complaints.end()
