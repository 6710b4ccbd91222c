"""The hit: one product found, as callers and the command line see it."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from shelfwise.product import id_text
from shelfwise.source import brand_of, confidence_of, in_stock, listed, price_of
from shelfwise.taxonomy import Path, parse_path

# What may stand between the words of one title and not of another. What tells products apart is not among it, as in C++
# and C#, +2.00 and -2.00, and the vowel signs of Devanagari, which Python takes for no part of a word.
_BETWEEN = re.compile(
    r"[\s!-\"$-*,-/:-@\[-`{-~\u00a1-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf"
    r"\u2010-\u2027\u2030-\u205e\u2122\u3001-\u3004\u3008-\u3020\u3030]+"
)
Listing = tuple[str, str]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Hit:
    """One product that a search or a recommendation found."""

    id: str
    score: float
    title: str
    category: Path
    """The first of `categories`; of a product in review the deepest node that the model is sure of; or empty."""
    categories: tuple[Path, ...]
    """Every accepted leaf."""
    brand: str | None
    price: float | None
    in_stock: bool | None
    variant_of: str | None
    confidence: float | None
    """Calibrated probability of the predicted category."""
    status: str | None
    """`accepted`, `review`, `confirmed` or `corrected`."""
    shares: Mapping[str, float]
    """What each retriever gave to the score."""
    highlight: Mapping[str, str] = field(default_factory=dict)
    """Title, brand and description, HTML-escaped, with the query's words in `<em>`; where asked for."""
    explanation: Mapping[str, Any] | None = None
    """See `Explanation.to_json`; where asked for."""
    reason: str | None = None
    """Why it is recommended, for people: "same category, both 'glass kettle'"."""

    @classmethod
    def of(cls, found: Mapping[str, Any], score: float, shares: Mapping[str, float]) -> "Hit":
        """The hit in one entry of the server's `hits.hits`."""
        source = found.get("_source") or {}
        enriched = source.get("shelfwise") or {}
        categories = tuple(accepted_categories(found))
        return cls(
            id=str(found["_id"]),
            score=score,
            title=str(source.get("title") or ""),
            category=next(iter(categories or known_categories(found)), ()),
            categories=categories,
            brand=brand_of(source),
            price=price_of(source),
            in_stock=in_stock(source),
            variant_of=id_text(source.get("variant_of")),
            confidence=confidence_of(enriched),
            status=enriched.get("status"),
            shares=dict(shares),
            highlight=_marked(found.get("highlight") or {}),
        )

    def to_json(self) -> dict[str, Any]:
        """The line on stdout; a path is a list of names, root first. What was not asked for is left out."""
        line = asdict(self) | {
            "category": list(self.category),
            "categories": [list(path) for path in self.categories],
        }
        left_out = [name for name in ("highlight", "explanation", "reason") if not line[name]]
        return {name: value for name, value in line.items() if name not in left_out}


def _marked(highlight: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Each field once: the language that marked more of it."""
    marked: dict[str, str] = {}
    for name, texts in highlight.items():
        field_, text = name.partition(".")[0], texts[0]
        if text.count("<em>") > marked.get(field_, "").count("<em>"):
            marked[field_] = text
    return marked


def accepted_categories(found: Mapping[str, Any]) -> list[Path]:
    """The accepted categories of an entry of `hits.hits`; in review it has none."""
    enriched = (found.get("_source") or {}).get("shelfwise") or {}
    return [parse_path(text) for text in listed(enriched.get("category"))]


def known_categories(found: Mapping[str, Any]) -> list[Path]:
    """The categories of an entry of `hits.hits`; in review, the deepest node that the model is sure of."""
    if leaves := accepted_categories(found):
        return leaves
    enriched = (found.get("_source") or {}).get("shelfwise") or {}
    sure = [parse_path(text) for text in listed(enriched.get("ancestors"))]
    return sorted(sure, key=lambda path: (-len(path), path))[:1]


def sure_leaves(found: Mapping[str, Any]) -> list[Path]:
    """The accepted categories of an entry of `hits.hits`; in review, the node that the model is sure of if it is one of
    the leaves that it considered, and none where it is a node above them.
    """
    if leaves := accepted_categories(found):
        return leaves
    enriched = (found.get("_source") or {}).get("shelfwise") or {}
    considered = {parse_path(one["category"]) for one in listed(enriched.get("candidates"))}
    return [node for node in known_categories(found) if node in considered]


def group_of(found: Mapping[str, Any]) -> str:
    """The variant group of an entry of `hits.hits`: products of one group are one product to a shopper."""
    return str(((found.get("_source") or {}).get("shelfwise") or {}).get("group") or found["_id"])


def listing_of(found: Mapping[str, Any]) -> Listing:
    """Title and brand of an entry of `hits.hits`, by their words: whoever sees two alike takes them for one product."""
    source = found.get("_source") or {}
    title = str(source.get("title") or "").casefold()
    return _BETWEEN.sub(" ", title).strip() or title, (brand_of(source) or "").casefold()


def distinct(
    given: Iterable[Item], of: Callable[[Item], tuple[str, Listing]], gone: Iterable[Listing] = ()
) -> Iterator[Item]:
    """The first of each variant group and of each listing, in their order.

    :param of: the group and the listing of one.
    :param gone: listings of which there is to be none.
    """
    groups, listings = set[str](), set(gone)
    for one in given:
        group, listing = of(one)
        if group not in groups and listing not in listings:
            groups.add(group)
            listings.add(listing)
            yield one
