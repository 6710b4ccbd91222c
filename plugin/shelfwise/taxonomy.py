"""The taxonomy: category paths, their ancestors, and probabilities that add up along them."""

import difflib
import hashlib
import heapq
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import unescape
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from shelfwise.errors import InvalidTaxonomy

Path = tuple[str, ...]
Floats = npt.NDArray[np.float32]
SEPARATOR = " > "
NAMED = 3  # paths in a message
MOST = 1 - 1e-6  # a probability whose complement has a logarithm

_ENTITY = re.compile(r"&#?\w+;")


def parse_path(value: object) -> Path:
    """A category path from a list of names or from text such as `"A > B > C"`.

    :raises ValueError: it is neither, a name is empty, or a name holds the separator.
    """
    if isinstance(value, str):
        names: list[object] = [*value.split(SEPARATOR.strip())]
    elif isinstance(value, (list, tuple)):
        names = [*value]
    else:
        raise ValueError('expected a list of names, root first, or text such as "A > B > C"')
    path = tuple(name.strip() if isinstance(name, str) else "" for name in names)
    if not path or not all(path):
        raise ValueError("every name of a path must be text that is not empty")
    if any(SEPARATOR.strip() in name for name in path):
        raise ValueError(f"a name must not hold {SEPARATOR.strip()!r}, which stands between the names of a path")
    return path


def written_path(value: object) -> Path:
    """A category path as a shop writes it: as `parse_path`, and what was escaped for HTML is plain.

    Not for paths of an index or a bundle, which are compared as they stand.

    :raises ValueError: as `parse_path`.
    """
    if isinstance(value, str):
        return parse_path(_unescaped(value))
    if isinstance(value, (list, tuple)):
        return parse_path([_name(name) if isinstance(name, str) else name for name in value])
    return parse_path(value)


def _name(text: str) -> str:
    """One name of a list; it stays escaped where else it would hold the separator."""
    name = _unescaped(text)
    return text if SEPARATOR.strip() in name else name


def _unescaped(text: str) -> str:
    return _ENTITY.sub(lambda entity: unescape(entity[0]), text) if "&" in text else text


def path_text(path: Sequence[str]) -> str:
    """The path as one string, `"A > B > C"`: what the index holds and what people read."""
    return SEPARATOR.join(path)


def some_paths(paths: Sequence[Path]) -> str:
    """The first few of them for a message, and an ellipsis where there are more."""
    return ", ".join(map(path_text, paths[:NAMED])) + (", …" if len(paths) > NAMED else "")


def ancestors(path: Path) -> list[Path]:
    """The path's nodes, root first, itself last."""
    return [path[:depth] for depth in range(1, len(path) + 1)]


@dataclass(frozen=True)
class Taxonomy:
    """The categories that a model chooses from.

    A leaf is a path that products carry. A path may be a leaf and have leaves below it (a shop that files products
    under "Phones" as well as under "Phones > Cases"); its probability as a node then includes those below.
    """

    leaves: tuple[Path, ...]

    def __post_init__(self) -> None:
        if not self.leaves:
            raise InvalidTaxonomy("the taxonomy is empty: at least one product must carry a category")
        if len(set(self.leaves)) != len(self.leaves):
            raise InvalidTaxonomy("the taxonomy names a leaf twice")

    @classmethod
    def of(cls, paths: Iterable[Path]) -> "Taxonomy":
        """The taxonomy of all paths that occur, in alphabetical order."""
        return cls(tuple(sorted(set(paths))))

    @cached_property
    def nodes(self) -> tuple[Path, ...]:
        """Leaves and all that lies above them, parents before children."""
        return tuple(sorted({node for leaf in self.leaves for node in ancestors(leaf)}, key=lambda n: (len(n), n)))

    @cached_property
    def leaf_number(self) -> dict[Path, int]:
        """Leaf to its place among the logits."""
        return {leaf: number for number, leaf in enumerate(self.leaves)}

    @cached_property
    def node_number(self) -> dict[Path, int]:
        """Node to its place in `nodes`."""
        return {node: number for number, node in enumerate(self.nodes)}

    @cached_property
    def depth(self) -> int:
        """Levels of the longest path."""
        return max(len(leaf) for leaf in self.leaves)

    @cached_property
    def hash(self) -> str:
        """Content hash: two taxonomies of the same leaves have the same."""
        return hashlib.sha256(orjson.dumps([list(leaf) for leaf in self.leaves])).hexdigest()[:12]

    def at_depth(self, level: int) -> tuple[tuple[Path, ...], npt.NDArray[np.int64]]:
        """The nodes of a level (1 = roots) and, for each leaf, the number of the one above it (int64 [leaves]).

        A leaf that ends above the level stands for itself there.
        """
        cut = [leaf[:level] for leaf in self.leaves]
        names = tuple(dict.fromkeys(cut))
        number = {name: at for at, name in enumerate(names)}
        return names, np.array([number[name] for name in cut], dtype=np.int64)

    def node_probabilities(self, probabilities: Floats, multi_label: bool = False) -> Floats:
        """The probability that one of the leaves below each node fits, float32 [n, leaves] to float32 [n, nodes].

        :param multi_label: a product may be in several leaves, each of which fits or not on its own; else they add up.
        """
        return _of_any(lambda terms: terms @ self._below, probabilities, multi_label)

    def level_probabilities(
        self, probabilities: Floats, level: int, multi_label: bool = False
    ) -> tuple[tuple[Path, ...], Floats]:
        """The nodes of a level, as `at_depth` has them, and their probabilities: float32 [n, leaves] to [n, names]."""
        names, above = self.at_depth(level)

        def summed(terms: Floats) -> Floats:
            sums = np.zeros((len(terms), len(names)), dtype=np.float32)
            np.add.at(sums.T, above, terms.T)
            return sums

        return names, _of_any(summed, probabilities, multi_label)

    @cached_property
    def _below(self) -> Floats:
        below = np.zeros((len(self.leaves), len(self.nodes)), dtype=np.float32)
        for number, leaf in enumerate(self.leaves):
            below[number, [self.node_number[node] for node in ancestors(leaf)]] = 1.0
        return below

    def closest(self, path: Path, n: int = 3) -> list[Path]:
        """The n nodes whose names look most like this path (what an error suggests)."""
        wanted, name = path_text(path).lower(), path[-1].lower()
        likely = _most_like(wanted, self._texts, 4 * n) | _most_like(name, self._names, 4 * n)
        texts = {path_text(node).lower(): node for node in likely}
        last = {node[-1].lower(): node for node in likely}
        found = [last[text] for text in difflib.get_close_matches(name, last, n=n, cutoff=0.6)]
        found += [texts[text] for text in difflib.get_close_matches(wanted, texts, n=n, cutoff=0.0)]
        return list(dict.fromkeys(found))[:n]

    @cached_property
    def _texts(self) -> dict[Path, frozenset[str]]:
        return {node: _pairs(path_text(node).lower()) for node in self.nodes}

    @cached_property
    def _names(self) -> dict[Path, frozenset[str]]:
        return {node: _pairs(node[-1].lower()) for node in reversed(self.nodes)}

    def to_json(self) -> dict[str, Any]:
        """What `taxonomy.json` holds."""
        return {"hash": self.hash, "leaves": [list(leaf) for leaf in self.leaves]}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Taxonomy":
        """Read what `to_json` wrote."""
        try:
            return cls(tuple(tuple(leaf) for leaf in content["leaves"]))
        except (KeyError, TypeError) as error:
            raise InvalidTaxonomy(f'expected {{"leaves": [[name, …], …]}}, got {str(content)[:60]}') from error


def _of_any(summed: Callable[[Floats], Floats], probabilities: Floats, multi_label: bool) -> Floats:
    """What exclusive probabilities sum to; of independent ones, 1 - the product of their complements."""
    if not multi_label:
        return summed(probabilities)
    none_of = summed(np.log1p(-np.minimum(probabilities, MOST)).astype(np.float32))
    return np.asarray(-np.expm1(none_of), dtype=np.float32)


def _pairs(text: str) -> frozenset[str]:
    return frozenset(text[place : place + 2] for place in range(max(1, len(text) - 1)))


def _most_like(text: str, nodes: Mapping[Path, frozenset[str]], n: int) -> dict[Path, None]:
    """The n nodes that share most pairs of characters with a text (Dice); comparing every letter takes far longer."""
    own = _pairs(text)
    shares = {node: len(own & theirs) / (len(own) + len(theirs)) for node, theirs in nodes.items()}
    return dict.fromkeys(heapq.nlargest(n, shares, key=lambda node: shares[node]))
