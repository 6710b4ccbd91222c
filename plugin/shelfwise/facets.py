"""Facets: how the products that a search is about spread over categories, brands and prices."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from shelfwise.exact import folded
from shelfwise.taxonomy import Path, parse_path

Body = dict[str, Any]

MAX_NODES = 2000
MAX_BRANDS = 20
WRITTEN = 5  # ways of writing a brand that are looked at: a product of two brands has the other's too
PRICES = (0, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)  # ends of the ranges; the last is open


@dataclass(frozen=True, slots=True)
class CategoryFacet:
    """A node of the category tree and how many products it and all below it have."""

    path: Path
    count: int
    children: "tuple[CategoryFacet, ...]" = ()


@dataclass(frozen=True, slots=True)
class BrandFacet:
    """A brand whatever its capitals and accents, as its filter has it; written as most of its products write it."""

    brand: str
    count: int


@dataclass(frozen=True, slots=True)
class PriceFacet:
    """Products from `least` on and below `most`, None: no end; as a filter `price=5..<10`."""

    least: float
    most: float | None
    count: int


@dataclass(frozen=True, slots=True)
class Facets:
    """The most frequent first; prices ascending. What no product has is left out."""

    categories: tuple[CategoryFacet, ...]
    """Roots, with what lies below them."""
    brands: tuple[BrandFacet, ...]
    prices: tuple[PriceFacet, ...]

    @classmethod
    def of(cls, aggregations: Mapping[str, Any]) -> "Facets":
        """Read what the server answered to `facet_bodies`."""
        counts = {parse_path(part["key"]): int(part["doc_count"]) for part in aggregations["categories"]["buckets"]}
        named = [part for part in aggregations["brands"]["buckets"] if part["key"]]
        brands = (BrandFacet(_written(part), int(part["doc_count"])) for part in named)
        prices = (
            PriceFacet(part["from"], part.get("to"), int(part["doc_count"]))
            for part in aggregations["prices"]["buckets"]
            if part["doc_count"]
        )
        return cls(_tree(counts), tuple(brands), tuple(prices))

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it; a path is a list of names, root first."""
        return asdict(self)


def facet_bodies() -> Body:
    """The aggregations."""
    ends = zip(PRICES, (*PRICES[1:], None), strict=True)
    ranges = [{"from": least} if most is None else {"from": least, "to": most} for least, most in ends]
    return {
        "categories": {"terms": {"field": "shelfwise.ancestors", "size": MAX_NODES}},
        "brands": {
            "terms": {"field": "brand.folded", "size": MAX_BRANDS},
            "aggs": {"written": {"terms": {"field": "brand", "size": WRITTEN}}},
        },
        "prices": {"range": {"field": "price", "ranges": ranges}},
    }


def _written(brand: Mapping[str, Any]) -> str:
    """As most of its products write it."""
    written = [str(part["key"]).strip() for part in brand["written"]["buckets"]]
    own = (name for name in written if folded(name) == folded(brand["key"]))
    return next(own, written[0] if written else str(brand["key"]))


def _tree(counts: Mapping[Path, int]) -> tuple[CategoryFacet, ...]:
    below: dict[Path, list[Path]] = {}
    for path in sorted(counts, key=lambda path: (-counts[path], path)):
        below.setdefault(path[:-1], []).append(path)

    def nodes(above: Path) -> tuple[CategoryFacet, ...]:
        return tuple(CategoryFacet(path, counts[path], nodes(path)) for path in below.get(above, ()))

    return nodes(())
