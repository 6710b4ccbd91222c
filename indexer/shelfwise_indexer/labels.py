"""Labels: what a shop's taxonomy has twice, repeats or hardly uses, put right where the settings ask for it."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from shelfwise.letters import LETTERS
from shelfwise.product import Product
from shelfwise.taxonomy import Path, ancestors, path_text
from shelfwise_indexer.duplicates import Conflict, conflicts

Policy = Literal["keep", "majority", "drop"]
POLICIES: tuple[Policy, ...] = ("keep", "majority", "drop")
Filed = Sequence[Sequence[Path]]
"""The paths of each product, each path once."""

_BESIDE = rf"(?<=[{LETTERS}+#])[+#]|[+#](?=[+#]*[{LETTERS}])"
_ONE_SIDED = rf"(?<![{LETTERS}+#])-(?=[{LETTERS}])|(?<=[{LETTERS}])-(?![{LETTERS}])"
_NO_WORD = re.compile(rf"(?:(?!{_BESIDE}|{_ONE_SIDED})[^{LETTERS}]|_)+")


@dataclass(frozen=True, slots=True)
class Relabelling:
    """What a stage makes of category paths, and how many products carry each that it moves."""

    moves: Mapping[Path, Path]
    carried: Mapping[Path, int]
    products: int
    """That it moves; one under several moved paths once."""
    held_back_only: frozenset[Path] = frozenset()
    """The moved paths that no product it was learnt from carries."""

    def apply(self, product: Product) -> Product:
        """The product under the new paths; one that no move concerns is the same product."""
        if not any(path in self.moves for path in product.categories):
            return product
        return replace(product, categories=tuple(dict.fromkeys(self.moves.get(p, p) for p in product.categories)))

    def to_json(self) -> dict[str, Any]:
        """Every move, most products first: nothing is merged in silence."""
        order = sorted(self.moves, key=lambda path: (-self.carried[path], path))
        return {
            "categories": len(order),
            "products": self.products,
            "held_back_only": [path_text(path) for path in order if path in self.held_back_only],
            "moves": [
                {"from": path_text(path), "to": path_text(self.moves[path]), "products": self.carried[path]}
                for path in order
            ],
        }


@dataclass(frozen=True, slots=True)
class Settled:
    """Products after a policy for conflicts, the conflicts there were, and the rows that it relabelled or dropped."""

    products: tuple[Product, ...]
    conflicts: tuple[Conflict, ...]
    changed: tuple[int, ...]

    def gone(self, before: Sequence[Product]) -> tuple[Path, ...]:
        """The categories that products had before and none has after, in alphabetical order."""
        had, have = (_labels([product.categories for product in some]) for some in (before, self.products))
        return tuple(sorted(had - have))


def merge_spellings(filed: Filed, held_back: Filed = ()) -> Relabelling:
    """Paths that differ only in case, white space or punctuation become the spelling that most products carry.

    Of equally common ones it is the first by alphabet. Signs that tell names apart ("C", "C#", "C++", "-5") are no
    punctuation.

    :param held_back: other products' paths: they are spelt so too, and have no say in how.
    """
    spellings: dict[Path, Counter[str]] = defaultdict(Counter)
    keys = {label: tuple(map(spelt_alike, label)) for label in _labels([*filed, *held_back])}
    for paths in filed:
        names = {(keys[path][:depth], name) for path in paths for depth, name in enumerate(path, start=1)}
        for key, name in names:
            spellings[key][name] += 1
    chosen = {key: min(names, key=lambda name: (-names[name], name)) for key, names in spellings.items()}
    new = {
        label: tuple(chosen.get(key[:depth], name) for depth, name in enumerate(label, start=1))
        for label, key in keys.items()
    }
    return _relabelling(filed, held_back, new)


def spelt_alike(name: str) -> str:
    """What names have in common that differ only in their spelling: as `normalised`, but with telling signs.

    Those are + and # beside a letter or digit, and a - with one on one side only: that of "Tea-Pots" joins words.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).replace("\u2212", "-")
    return _NO_WORD.sub(" ", folded).strip() or folded.strip()


def skip_repeated_levels(filed: Filed, held_back: Filed = ()) -> Relabelling:
    """A node whose only child has its own name swallows that child: "Toys > Toys > Dolls" becomes "Toys > Dolls".

    :param held_back: other products' paths, which lose the same levels.
    """
    children: dict[Path, set[str]] = defaultdict(set)
    for label in _labels(filed):
        for depth in range(1, len(label)):
            children[label[:depth]].add(label[depth])

    def repeated(label: Path, depth: int) -> bool:
        alike = depth > 0 and spelt_alike(label[depth]) == spelt_alike(label[depth - 1])
        return alike and children.get(label[:depth]) == {label[depth]}

    new = {
        label: tuple(name for depth, name in enumerate(label) if not repeated(label, depth))
        for label in _labels([*filed, *held_back])
    }
    return _relabelling(filed, held_back, new)


def merge_rare(filed: Filed, minimum: int, held_back: Filed = ()) -> Relabelling:
    """Categories of fewer products than the minimum go into their parents, deepest first, as far up as it needs.

    A parent that is still too rare goes up in turn. A root has nowhere to go and stays. The parent becomes a category
    of its own beside those of its children that are large enough.

    :param held_back: other products' paths; those that no product of `filed` carries go up to the first category above
        them that is left, and stay where there is none.
    """
    carriers: dict[Path, set[int]] = defaultdict(set)
    for row, paths in enumerate(filed):
        for path in paths:
            carriers[path].add(row)
    moves: dict[Path, Path] = {}
    for depth in range(max(map(len, carriers), default=0), 1, -1):
        for path in [path for path in carriers if len(path) == depth and len(carriers[path]) < minimum]:
            moves[path] = path[:-1]
            carriers[path[:-1]] |= carriers.pop(path)
    new = {label: _followed(label, moves) for label in _labels(filed)}
    if minimum > 0:
        unknown = _labels(held_back) - new.keys()
        new |= {label: next((node for node in ancestors(label)[::-1] if node in carriers), label) for label in unknown}
    return _relabelling(filed, held_back, new)


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


def _labels(filed: Filed) -> set[Path]:
    return {path for paths in filed for path in paths}


def _relabelling(filed: Filed, held_back: Filed, new: Mapping[Path, Path]) -> Relabelling:
    moves = {label: path for label, path in new.items() if path != label}
    only = (moves.keys() & _labels(held_back)) - _labels(filed)
    concerned = [[path for path in paths if path in moves] for paths in filed]
    concerned += [[path for path in paths if path in only] for paths in held_back]
    carried = Counter(path for paths in concerned for path in paths)
    return Relabelling(moves, {path: carried[path] for path in moves}, sum(map(bool, concerned)), frozenset(only))
