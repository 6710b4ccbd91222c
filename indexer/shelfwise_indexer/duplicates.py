"""Duplicates: texts that say the same thing in one group, and texts that carry two labels."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rensa import RMinHash
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from shelfwise.letters import LETTERS
from shelfwise.product import Product
from shelfwise.taxonomy import Path

Integers = npt.NDArray[np.int64]

SIMILARITY = 0.8  # Jaccard of character shingles from which two texts are near duplicates
BANDS, ROWS = 21, 6  # a pair at .8 shares a band with 1 - (1 - .8^6)^21 = .998, one at .5 with .28
SHINGLE, SHINGLE_OF_IDEOGRAPHS = 4, 2  # characters
SEED = 20
ESTIMATE_SLACK = 0.15  # what a signature may be off by: 4 standard deviations of 126 hashes at .8
MOST_COMPARED = 64  # neighbours in a band that a text is compared with: bounds the work on boilerplate

_BATCH = 4_096
_FOLDED = re.compile(rf"(?:[^{LETTERS}]|_)+")
_IDEOGRAPHS = ((0x2E80, 0xA4D0), (0xAC00, 0xD7B0), (0xF900, 0xFB00), (0x20000, 0x32000))


@dataclass(frozen=True, slots=True)
class Conflict:
    """One text that stands under several labels, and the rows where."""

    text: str
    labels: tuple[Path, ...]
    rows: tuple[int, ...]


def normalised(text: str) -> str:
    """Text for comparing: NFKC, case folded, every run of punctuation and white space one space.

    Idempotent. A text of nothing but punctuation is compared by it, so that "+" and "-" stay two.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _FOLDED.sub(" ", folded).strip() or folded.strip()


def duplicate_groups(texts: Sequence[str]) -> Integers:
    """Group number of each text (int64 [n], numbered as they appear): duplicates and near duplicates share one.

    Exact after `normalised`; near at a Jaccard similarity of the sets of character shingles (a shingle at every
    character: 4 long, 2 where it begins on an ideograph, so that Chinese works too). MinHash finds candidates and the
    true Jaccard decides, so nothing is merged that should not be, and a pair at .8 is missed once in 500 times.
    One letter changed within a text alters 4 shingles: at .8 a text under 36 letters (18 ideographs) has no near
    duplicates by one changed letter, and "Mug red" is not "Mug blue". A text without words is in no one's group.
    """
    plain_texts = [normalised(text) for text in texts]
    unique: dict[str, int] = {}
    numbers = np.array(
        [unique.setdefault(text or f"\0{row}", len(unique)) for row, text in enumerate(plain_texts)], dtype=np.int64
    )
    groups = _near(list(unique))
    return _numbered(groups[numbers]) if len(numbers) else numbers


def union(groups: Integers, pairs: Iterable[tuple[int, int]]) -> Integers:
    """The groups (int64 [n]) after each pair of rows has been put into one."""
    forest = _Forest(int(groups.max(initial=-1)) + 1)
    for one, other in pairs:
        forest.join(int(groups[one]), int(groups[other]))
    return _numbered(forest.roots()[groups]) if len(groups) else groups


def pairs_of(groups: Integers) -> list[tuple[int, int]]:
    """Each row of a group (int64 [n]) with the first of it, but that one."""
    first: dict[int, int] = {}
    pairs = [(first.setdefault(group, row), row) for row, group in enumerate(groups.tolist())]
    return [(one, other) for one, other in pairs if one != other]


def spanning(rows: int, blocks: Iterable[Integers]) -> list[tuple[int, int]]:
    """Those of the pairs of rows that put together what the ones before did not: fewer than rows, and the same groups.

    :param blocks: int64 [pairs, 2]; one is held at a time.
    """
    forest, roots = _Forest(rows), np.arange(rows, dtype=np.int64)
    found = []
    for pairs in blocks:
        apart = pairs[roots[pairs[:, 0]] != roots[pairs[:, 1]]]
        if not len(apart):
            continue
        for one, other in _spanning_of_block(apart):
            if forest.root(one) != forest.root(other):
                forest.join(one, other)
                found.append((one, other))
        ends = np.unique(apart)
        roots[ends] = [forest.root(row) for row in ends.tolist()]
    return found


def _spanning_of_block(pairs: Integers) -> list[tuple[int, int]]:
    rows, ends = np.unique(pairs, return_inverse=True)
    ends = ends.reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends), dtype=np.int8), (ends[:, 0], ends[:, 1])), shape=(len(rows), len(rows)))
    _, parts = connected_components(graph, directed=False)
    return [(int(rows[one]), int(rows[other])) for one, other in pairs_of(parts)]


def variant_pairs(products: Sequence[Product]) -> list[tuple[int, int]]:
    """Rows that belong to one variant family: each variant with the first row of its family.

    `variant_of` names a product that may or may not be in the catalogue itself.
    """
    first: dict[str, int] = {}
    pairs = [
        (first.setdefault(family, row), row)
        for row, product in enumerate(products)
        for family in (product.id, product.variant_of)
        if family is not None
    ]
    return [(one, other) for one, other in pairs if one != other]


def conflicts(texts: Sequence[str], labels: Sequence[Path]) -> list[Conflict]:
    """Texts that are the same after `normalised` under more than one label; most rows first, then as they appear.

    Rows without a label (an empty path) or without text take no part.
    """
    rows: dict[str, list[int]] = {}
    for row, (text, label) in enumerate(zip(texts, labels, strict=True)):
        if label and (same := normalised(text)):
            rows.setdefault(same, []).append(row)
    found = [
        Conflict(texts[at[0]], several, tuple(at))
        for at in rows.values()
        if len(at) > 1 and len(several := tuple(dict.fromkeys(labels[row] for row in at))) > 1
    ]
    return sorted(found, key=lambda conflict: -len(conflict.rows))


class _Forest:
    """Union-find over the numbers 0 to n - 1; a root is the lowest number of its tree."""

    def __init__(self, n: int) -> None:
        self.parent = list(range(n))

    def root(self, number: int) -> int:
        parent = self.parent
        while parent[number] != number:
            parent[number] = number = parent[parent[number]]
        return number

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.root(one), self.root(other)))
        self.parent[high] = low

    def roots(self) -> Integers:
        return np.array([self.root(number) for number in range(len(self.parent))], dtype=np.int64)


def _near(texts: list[str]) -> Integers:
    """Groups of texts that are all different: int64 [n]."""
    forest = _Forest(len(texts))
    order = sorted(range(len(texts)), key=texts.__getitem__)  # neighbours in a band are then alphabetical neighbours
    shingles, signatures = _sketches([texts[at] for at in order])
    for band in tqdm(range(BANDS), desc="near duplicates", unit="band", delay=2):
        for bucket in _buckets(_mixed(signatures[:, band * ROWS : (band + 1) * ROWS].astype(np.uint64))):
            _join_bucket(bucket, shingles, signatures, forest)
    roots = np.empty(len(texts), dtype=np.int64)
    roots[order] = forest.roots()
    return roots


def _join_bucket(
    bucket: Integers,
    shingles: list[npt.NDArray[np.uint64]],
    signatures: npt.NDArray[np.uint32],
    forest: _Forest,
) -> None:
    if len({forest.root(number) for number in bucket.tolist()}) == 1:
        return
    for at in range(1, len(bucket)):
        number, before = int(bucket[at]), bucket[max(0, at - MOST_COMPARED) : at]
        estimates = (signatures[before] == signatures[number]).mean(axis=1)
        for other in before[estimates >= SIMILARITY - ESTIMATE_SLACK].tolist():
            if forest.root(other) != forest.root(number) and _jaccard(shingles[number], shingles[other]) >= SIMILARITY:
                forest.join(number, other)


def _jaccard(one: npt.NDArray[np.uint64], other: npt.NDArray[np.uint64]) -> float:
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)


def _sketches(texts: list[str]) -> tuple[list[npt.NDArray[np.uint64]], npt.NDArray[np.uint32]]:
    """The set of hashed shingles of each text, sorted, and its MinHash signature (uint32 [n, BANDS * ROWS])."""
    shingles: list[npt.NDArray[np.uint64]] = []
    signatures = np.empty((len(texts), BANDS * ROWS), dtype=np.uint32)
    for start in range(0, len(texts), _BATCH):
        sets = [np.unique(_shingles(text)) for text in texts[start : start + _BATCH]]
        offsets = np.concatenate(([0], np.cumsum([len(hashes) for hashes in sets]))).astype(np.uint64)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(np.concatenate(sets), offsets, BANDS * ROWS, SEED)
        signatures[start : start + len(sets)] = matrix.to_rows()
        shingles.extend(sets)
    return shingles, signatures


def _shingles(text: str) -> npt.NDArray[np.uint64]:
    """A hash for each character of the text and those after it (uint64 [characters]); the end counts as a character."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass") + bytes(4 * (SHINGLE - 1)), dtype="<u4")
    windows = np.lib.stride_tricks.sliding_window_view(codes, SHINGLE).astype(np.uint64)
    first = windows[:, 0]
    ideograph = np.zeros(len(first), dtype=bool)
    for least, end in _IDEOGRAPHS:
        ideograph |= (first >= least) & (first < end)
    windows[ideograph, SHINGLE_OF_IDEOGRAPHS:] = 0
    return _mixed(windows)


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """One 64-bit hash of the last axis: FNV-1a's loop over words, finished as MurmurHash3 does."""
    mixed = np.full(values.shape[:-1], 0xCBF29CE484222325, dtype=np.uint64)
    for at in range(values.shape[-1]):
        mixed = (mixed ^ values[..., at]) * np.uint64(0x100000001B3)
        mixed ^= mixed >> np.uint64(29)
    mixed = (mixed ^ (mixed >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    return mixed ^ (mixed >> np.uint64(33))


def _buckets(hashes: npt.NDArray[np.uint64]) -> Iterable[Integers]:
    """Places of equal hashes, each bucket in order, buckets of one left out."""
    order = np.argsort(hashes, kind="stable")
    edges = np.flatnonzero(np.diff(hashes[order])) + 1
    return (bucket for bucket in np.split(order, edges) if len(bucket) > 1)


def _numbered(groups: Integers) -> Integers:
    """The groups with new numbers: 0, 1, 2 as they first appear."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)
