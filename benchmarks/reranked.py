"""Rerankers for judged queries, cross-validated: none sees the labels of a query that it is measured on."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from shelfwise import ProductSearch, Reranker
from shelfwise.encoder import Floats
from shelfwise.errors import InvalidReranker
from shelfwise.hit import Hit
from shelfwise.search_settings import MAX_RERANK, SearchSettings
from shelfwise_indexer.judgements import JudgedQuery, Judgements
from shelfwise_indexer.rerank_training import RerankSettings, train_reranker

FOLDS, SEED = 5, 0


def folds(queries: Sequence[str]) -> list[list[str]]:
    """The queries in FOLDS parts, drawn with SEED."""
    order = np.random.default_rng(SEED).permutation(len(queries))
    return [[queries[place] for place in order[fold::FOLDS]] for fold in range(FOLDS)]


def train_folds(grades: Mapping[str, Mapping[str, int]], catalogue: Path, folder: Path) -> dict[str, Reranker]:
    """Each query's reranker, trained on the other folds, or found in the folder from an earlier run.

    :param grades: query to product id to grade.
    """
    of_query = {}
    for number, own in enumerate(folds(list(grades))):
        others = tuple(JudgedQuery(query, query, None, grades[query]) for query in grades if query not in set(own))
        used = sum(len(query.grades) for query in others)
        judgements = Judgements(others, used, used, ())
        reranker = trained(judgements, catalogue, folder / f"fold-{number}")
        reranker.score = remembered(reranker.score)  # type: ignore[method-assign]
        of_query |= dict.fromkeys(own, reranker)
    return of_query


def trained(judgements: Judgements, catalogue: Path, folder: Path) -> Reranker:
    try:
        found = Reranker(folder)
        wanted = {"data": judgements.sha256, "settings": json.loads(json.dumps(asdict(RerankSettings())))}
        if {"data": found.info["data"]["sha256"], "settings": found.info["settings"]} == wanted:
            return found
    except InvalidReranker:
        pass
    folder.parent.mkdir(parents=True, exist_ok=True)
    train_reranker(judgements, catalogue, folder, RerankSettings())
    return Reranker(folder)


def remembered(score: Callable[[Sequence[tuple[str, str]]], Floats]) -> Callable[[Sequence[tuple[str, str]]], Floats]:
    """The same scores; a pair that was read before, for another fusion or weight, is not read again."""
    seen: dict[tuple[str, str], float] = {}

    def asked(pairs: Sequence[tuple[str, str]]) -> Floats:
        if new := [pair for pair in dict.fromkeys(pairs) if pair not in seen]:
            seen.update(zip(new, score(new).tolist(), strict=True))
        return np.array([seen[pair] for pair in pairs], dtype=np.float32)

    return asked


class CrossValidated:
    """Asks each query of the search whose reranker never saw its labels.

    :param search_with: makes the search of settings.
    :param blend: instead of the rerankers' own.
    """

    def __init__(
        self,
        search_with: Callable[[SearchSettings], ProductSearch],
        settings: SearchSettings,
        rerankers: Mapping[str, Reranker],
        blend: float,
    ) -> None:
        of_reranker = {
            version: search_with(replace(settings, rerank=MAX_RERANK, reranker=blended(reranker, blend)))
            for version, reranker in {one.version: one for one in rerankers.values()}.items()
        }
        self._of_query = {query: of_reranker[reranker.version] for query, reranker in rerankers.items()}

    def search(self, query: str, k: int, **given: Any) -> list[Hit]:
        return self._of_query[query].search(query, k, **given)

    def search_many(self, queries: Sequence[str], k: int, **given: Any) -> list[list[Hit]]:
        return [self.search(query, k, **given) for query in queries]


def blended(reranker: Reranker, blend: float) -> Reranker:
    other = copy.copy(reranker)
    other.info = {**reranker.info, "blend": blend}
    return other
