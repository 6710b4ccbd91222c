"""Unknown categories: those that a bundle has not learnt, of a shop, of decisions and of judged queries, to be said."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shelfwise.bundle import Bundle
from shelfwise.messages import SAID, first_of
from shelfwise.source import listed
from shelfwise.taxonomy import Path, Taxonomy, path_text
from shelfwise_indexer.catalogue import Row
from shelfwise_indexer.enrich import BY_A_PERSON
from shelfwise_indexer.judgements import JudgedQuery
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


class UnknownDecisions:
    """Kept decisions whose category a bundle does not know: how many, and the first SAID."""

    def __init__(self, bundle: Bundle) -> None:
        self._known = {path_text(node) for node in bundle.taxonomy.nodes}
        self._count, self._first = 0, list[str]()

    def look(self, id_: str, enrichment: Mapping[str, Any]) -> None:
        """Remember a product whose category a person decided on and the bundle does not know."""
        if enrichment.get("status") not in BY_A_PERSON:
            return
        if unknown := [text for value in listed(enrichment.get("category")) if (text := str(value)) not in self._known]:
            self._count += 1
            if len(self._first) < SAID:
                self._first.append(f"product {id_}: {', '.join(unknown)}")

    def messages(self) -> Iterator[str]:
        """How many there are, and the first SAID."""
        if self._count:
            yield (
                f"{self._count} products keep a category that a person decided on and that the bundle's taxonomy "
                "lacks: decide again, or train a bundle that has it:"
            )
        yield from first_of(self._first, self._count, "products")


@dataclass(frozen=True, slots=True)
class UnknownOfQueries:
    """Categories of judged queries that the bundle does not know: an oracle cannot predict them."""

    named: int
    """Queries that name a category."""
    unknown: int
    """Those among them that name one that is not known."""
    first: Path
    closest: tuple[Path, ...]
    """Known ones that look most like the first."""

    @classmethod
    def of(cls, taxonomy: Taxonomy, queries: Sequence[JudgedQuery]) -> "UnknownOfQueries | None":
        """Those of judged queries; None: there are none."""
        named = [query.category for query in queries if query.category]
        unknown = [path for path in named if path not in taxonomy.node_number]
        if not unknown:
            return None
        return cls(len(named), len(unknown), unknown[0], tuple(taxonomy.closest(unknown[0])))

    def __str__(self) -> str:
        closest = ", ".join(map(path_text, self.closest))
        instead = "there is no oracle" if self.unknown == self.named else "measured with the predicted category"
        return (
            f"{self.unknown} of {self.named} query categories are not in the bundle's taxonomy, "
            f"the first {path_text(self.first)!r} (closest: {closest}): {instead}"
        )

    def to_json(self) -> dict[str, Any]:
        """What saved figures hold of it."""
        return {"named": self.named, "unknown": self.unknown, "first": list(self.first)}
