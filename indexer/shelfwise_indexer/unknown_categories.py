"""Unknown categories: those of the shop's that a bundle has not learnt, counted so that a line each can say so."""

import os
from collections.abc import Iterator

from shelfwise.bundle import Bundle
from shelfwise.machine import first_of
from shelfwise.taxonomy import path_text
from shelfwise_indexer.catalogue import Row
from shelfwise_indexer.known_lines import Known


class UnknownCategories:
    """Looks at rows; see the module."""

    def __init__(self, bundle: Bundle) -> None:
        self._taxonomy = bundle.taxonomy
        self._known = {path_text(node) for node in bundle.taxonomy.nodes}
        self._places: dict[str, tuple[int, str]] = {}
        self._products: dict[str, int] = {}

    def look(self, row: Row | Known) -> None:
        """Count a product's categories that are not known."""
        for text in row.categories:
            if text not in self._known:
                self._places.setdefault(text, (row.line, row.id))
                self._products[text] = self._products.get(text, 0) + 1

    def messages(self, catalogue: str | os.PathLike[str]) -> Iterator[str]:
        """A line for each of the first SAID, with where it stands and which known ones are close."""
        complaints = (self._message(catalogue, text) for text in self._places)
        yield from first_of(complaints, len(self._places), "categories that are not in the bundle's taxonomy")

    def _message(self, catalogue: str | os.PathLike[str], text: str) -> str:
        line, id_ = self._places[text]
        closest = ", ".join(path_text(node) for node in self._taxonomy.closest(tuple(text.split(" > "))))
        return (
            f"{catalogue}, line {line}: product {id_}: category {text} is not in the bundle's taxonomy "
            f"({self._products[text]} products, indexed under it all the same; closest: {closest}): "
            "train again to have it predicted"
        )
