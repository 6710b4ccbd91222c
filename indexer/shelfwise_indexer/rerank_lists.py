"""The lists that a reranker learns from: each judged query with its products' texts and how good they are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from shelfwise.text import TextRecipe
from shelfwise_indexer.good_rows import GoodRows
from shelfwise_indexer.judgements import JudgedQuery, JudgementError, Judgements


@dataclass(frozen=True, slots=True)
class JudgedList:
    """One query and what was judged for it."""

    query: str
    texts: tuple[str, ...]
    grades: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class JudgedLists:
    """The queries that have a product to read; what could not be used is counted."""

    lists: tuple[JudgedList, ...]
    missing: int
    """Judgements of products that the catalogue does not have."""
    rejected: int = 0
    """Lines of the catalogue that are no products."""

    @property
    def pairs(self) -> int:
        """Judgements that are used."""
        return sum(len(one.texts) for one in self.lists)


def read_lists(
    judgements: Judgements, catalogue: str, fields: Sequence[str], tokenizer: Tokenizer, max_tokens: int
) -> JudgedLists:
    """Judgements with the texts of their products; of the catalogue only the judged are kept.

    :raises CatalogueError: the catalogue cannot be read, or not to its end.
    :raises JudgementError: it has none of the judged products, or every product has the same grade.
    """
    recipe = TextRecipe(fields, tokenizer, max_tokens)
    wanted = {id_ for query in judgements.queries for id_ in query.grades}
    rows = GoodRows(catalogue)
    texts = {row.product.id: recipe.text(row.product) for row in rows if row.product.id in wanted}
    lists = tuple(_lists(judgements.queries, texts))
    if not lists:
        raise JudgementError(
            f"{catalogue} has none of the {len(wanted)} judged products: give the catalogue whose ids were judged"
        )
    if len({grade for one in lists for grade in one.grades}) < 2:
        raise JudgementError(
            "every judged product has the same grade, nothing can be learnt: judge some that are worse"
        )
    missing = sum(len(q.grades) for q in judgements.queries) - sum(len(one.texts) for one in lists)
    return JudgedLists(lists, missing, len(rows.rejected))


def _lists(queries: Iterable[JudgedQuery], texts: dict[str, str]) -> Iterable[JudgedList]:
    for query in queries:
        known = [id_ for id_ in query.grades if id_ in texts]
        if known:
            yield JudgedList(query.text, tuple(texts[id_] for id_ in known), tuple(query.grades[id_] for id_ in known))


def hold_back(
    lists: Sequence[JudgedList], share: float, seed: int
) -> tuple[tuple[JudgedList, ...], tuple[JudgedList, ...]]:
    """A part to learn from and one to stop by; a query, capitals aside, is in one of them only.

    :param share: of the queries that is held back, at least one; of a single query nothing is.
    """
    names = sorted({one.query.casefold() for one in lists})
    count = max(1, round(share * len(names))) if len(names) > 1 else 0
    order = np.random.default_rng(seed).permutation(len(names))
    held = {names[place] for place in order[:count]}
    return (
        tuple(one for one in lists if one.query.casefold() not in held),
        tuple(one for one in lists if one.query.casefold() in held),
    )
