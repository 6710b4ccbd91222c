"""The evaluation of similar products: how full, how varied, how close the lists beside products are."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from shelfwise.hit import Hit
from shelfwise_indexer.indexed import IndexedCatalogue

SEED = 0

Similar = Callable[[str, int], Sequence[Hit]]
"""At most so many products beside the one of an id, best first."""


def evaluate_similar(similar: Similar, catalogue: IndexedCatalogue, k: int = 10, sample: int = 500) -> dict[str, Any]:
    """Ask for what stands beside a sample of the products (fixed seed), and measure the lists; shares are 0 to 1.

    * `filled`: of the k places of each list, those taken. `coverage`: of all products, those shown at all.
    * `diversity`: mean over lists of 1 - the mean cosine of two different hits (Ziegler et al., WWW 2005).
    * `same_category`: hits that share a leaf with the product, of products that have one.
    * `nearest`: hits among the exact k nearest of other groups in stock, by brute force. Below 1 where the category
      goes before the distance.
    * `duplicates`: hits of the product's own group or title, or of an earlier hit's.

    :raises ValueError: the catalogue is empty.
    """
    count = len(catalogue.hits)
    if not count:
        raise ValueError("the index holds no product with a vector")
    chosen = np.sort(np.random.default_rng(SEED).permutation(count)[:sample])
    place_of = {hit.id: place for place, hit in enumerate(catalogue.hits)}
    group_of = {hit.id: group for hit, group in zip(catalogue.hits, catalogue.groups, strict=True)}
    groups = np.array(catalogue.groups)
    in_stock = np.array([hit.in_stock is not False for hit in catalogue.hits])
    filled, diversity, same, near, seconds = [], [], [], [], []
    duplicates, shown = 0, set()
    for place in tqdm(chosen, desc="evaluate", unit="product"):
        product = catalogue.hits[place]
        started = time.perf_counter()
        hits = similar(product.id, k)
        seconds.append(time.perf_counter() - started)
        shown |= {hit.id for hit in hits}
        filled.append(len(hits) / k)
        places = [place_of[hit.id] for hit in hits if hit.id in place_of]
        if len(places) > 1:
            diversity.append(intra_list_diversity(catalogue.vectors[places]))
        if product.categories:
            same += [bool(set(product.categories) & set(hit.categories)) for hit in hits]
        allowed = np.flatnonzero(in_stock & (groups != groups[place]))
        exact = set(_nearest(catalogue.vectors, place, allowed, k))
        if exact:
            near.append(len(exact & set(places)) / len(exact))
        duplicates += _duplicates(product, hits, group_of)
    fast, slow = np.quantile(seconds, [0.5, 0.95]) * 1000
    return {
        "products": count,
        "asked": len(chosen),
        "k": k,
        "filled": _mean(filled),
        "coverage": round(len(shown) / count, 4),
        "diversity": _mean(diversity),
        "same_category": _mean(same),
        "nearest": _mean(near),
        "duplicates": duplicates,
        "latency_ms": {"p50": round(float(fast), 1), "p95": round(float(slow), 1)},
    }


def intra_list_diversity(vectors: npt.NDArray[np.float32]) -> float:
    """1 - the mean cosine over all pairs of different rows.

    :param vectors: float32 [n, dimension], L2-normalised, n of at least 2.
    """
    count = len(vectors)
    summed = float((vectors @ vectors.T).sum()) - count
    return 1.0 - summed / (count * (count - 1))


def _nearest(
    vectors: npt.NDArray[np.float32], place: int, allowed: npt.NDArray[np.int64], k: int
) -> npt.NDArray[np.int64]:
    scores = vectors[allowed] @ vectors[place]
    return allowed[np.argsort(-scores, kind="stable")[:k]]


def _duplicates(product: Hit, hits: Sequence[Hit], group_of: Mapping[str, str]) -> int:
    groups, titles, found = {group_of[product.id]}, {product.title.casefold()}, 0
    for hit in hits:
        own, title = group_of.get(hit.id, hit.id), hit.title.casefold()
        found += own in groups or title in titles
        groups.add(own)
        titles.add(title)
    return found


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None
