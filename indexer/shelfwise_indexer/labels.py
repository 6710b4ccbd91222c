"""Labels: what a shop's taxonomy has twice, repeats or hardly uses, put right where the settings ask for it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from shelfwise.product import Product
from shelfwise.taxonomy import Path, path_text
from shelfwise_indexer.duplicates import Conflict, conflicts, normalised

Policy = Literal["keep", "majority", "drop"]
POLICIES: tuple[Policy, ...] = ("keep", "majority", "drop")


@dataclass(frozen=True, slots=True)
class Relabelling:
    """What a stage makes of category paths, and how many products carry each that it moves."""

    moves: Mapping[Path, Path]
    products: Mapping[Path, int]

    def apply(self, product: Product) -> Product:
        """The product under the new paths; one that no move concerns is the same product."""
        if not any(path in self.moves for path in product.categories):
            return product
        return replace(product, categories=tuple(dict.fromkeys(self.moves.get(p, p) for p in product.categories)))

    def to_json(self) -> dict[str, Any]:
        """Every move, most products first: nothing is merged in silence."""
        order = sorted(self.moves, key=lambda path: (-self.products[path], path))
        return {
            "categories": len(order),
            "products": sum(self.products[path] for path in order),
            "moves": [
                {"from": path_text(path), "to": path_text(self.moves[path]), "products": self.products[path]}
                for path in order
            ],
        }


@dataclass(frozen=True, slots=True)
class Settled:
    """Products after a policy for conflicts, the conflicts there were, and the rows that it relabelled or dropped."""

    products: tuple[Product, ...]
    conflicts: tuple[Conflict, ...]
    changed: tuple[int, ...]


def merge_spellings(labels: Sequence[Path]) -> Relabelling:
    """Paths that differ only in case, white space or punctuation become the spelling that most products carry.

    Of equally common ones it is the first by alphabet.

    :param labels: a path of each product, repeated as it is there.
    """
    spellings: dict[Path, Counter[str]] = defaultdict(Counter)
    keys = {label: tuple(normalised(name) for name in label) for label in set(labels)}
    for label in labels:
        for depth, name in enumerate(label, start=1):
            spellings[keys[label][:depth]][name] += 1
    chosen = {key: min(names, key=lambda name: (-names[name], name)) for key, names in spellings.items()}
    return _relabelling(
        labels,
        {label: tuple(chosen[key[:depth]] for depth in range(1, len(key) + 1)) for label, key in keys.items()},
    )


def skip_repeated_levels(labels: Sequence[Path]) -> Relabelling:
    """A node whose only child has its own name swallows that child: "Toys > Toys > Dolls" becomes "Toys > Dolls"."""
    children: dict[Path, set[str]] = defaultdict(set)
    for label in set(labels):
        for depth in range(1, len(label)):
            children[label[:depth]].add(label[depth])
    return _relabelling(
        labels,
        {
            label: tuple(
                name
                for depth, name in enumerate(label)
                if not depth or normalised(name) != normalised(label[depth - 1]) or len(children[label[:depth]]) > 1
            )
            for label in set(labels)
        },
    )


def merge_rare(labels: Sequence[Path], minimum: int) -> Relabelling:
    """Categories of fewer products than the minimum go into their parents, deepest first, as far up as it needs.

    A parent that is still too rare goes up in turn. A root has nowhere to go and stays. The parent becomes a category
    of its own beside those of its children that are large enough.
    """
    sizes, moves = Counter(labels), {}
    for depth in range(max(map(len, sizes), default=0), 1, -1):
        for path in [path for path in sizes if len(path) == depth and sizes[path] < minimum]:
            moves[path] = path[:-1]
            sizes[path[:-1]] += sizes.pop(path)
    return _relabelling(labels, {label: _followed(label, moves) for label in set(labels)})


def settle_conflicts(products: Sequence[Product], texts: Sequence[str], policy: Policy) -> Settled:
    """Products of one text that have no category in common, treated by a policy.

    `keep` leaves them; `majority` files those that are not there too where most of them are, and leaves them where no
    category has most; `drop` leaves all of them out.
    """
    first = [product.categories[0] if product.categories else () for product in products]
    found = [
        conflict
        for conflict in conflicts(texts, first)
        if not frozenset.intersection(*(frozenset(products[row].categories) for row in conflict.rows))
    ]
    new: dict[int, Product | None] = {}
    for conflict in found:
        winner = _majority([path for row in conflict.rows for path in products[row].categories])
        for row in conflict.rows:
            if policy == "drop":
                new[row] = None
            elif policy == "majority" and winner is not None and winner not in products[row].categories:
                new[row] = replace(products[row], categories=(winner,))
    settled = (new.get(row, product) for row, product in enumerate(products))
    return Settled(tuple(product for product in settled if product is not None), tuple(found), tuple(sorted(new)))


def _majority(labels: Sequence[Path]) -> Path | None:
    (first, most), *others = Counter(labels).most_common(2)
    return None if others and others[0][1] == most else first


def _followed(label: Path, moves: Mapping[Path, Path]) -> Path:
    while label in moves:
        label = moves[label]
    return label


def _relabelling(labels: Sequence[Path], new: Mapping[Path, Path]) -> Relabelling:
    sizes = Counter(labels)
    moves = {label: path for label, path in new.items() if path != label}
    return Relabelling(moves, {label: sizes[label] for label in moves})
