"""The evaluation of a search: what each system found for judged queries, measured, and compared query by query."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ir_measures
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from shelfwise.hit import Hit
from shelfwise_indexer.judgements import JudgedQuery, JudgementError, Judgements
from shelfwise_indexer.significance import Difference, paired
from shelfwise_indexer.similar_evaluation import intra_list_diversity

System = Callable[[JudgedQuery, int], Sequence[Hit]]
"""Answers a query with at most so many hits, best first."""
Vectors = Mapping[str, npt.NDArray[np.float32]]
"""Product id to float32 [dimension], L2-normalised, of products that have one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one system found for one query, and what that is worth."""

    hits: tuple[tuple[str, str], ...]
    """Id and title, best first."""
    ndcg: float
    recall: float
    reciprocal_rank: float
    unjudged: int
    """Hits that nobody judged; they count as irrelevant."""
    seconds: float


@dataclass(frozen=True, slots=True)
class SystemResult:
    """One system on all queries that have a relevant product."""

    name: str
    answers: Mapping[str, Answer]
    """By query id, in the order of the queries."""
    diversity: float | None = None
    """Mean over the lists of 1 - the mean cosine of two different hits; None where no list has two, or unknown."""

    @property
    def ndcg(self) -> dict[str, float]:
        """nDCG at k of each query."""
        return {id_: answer.ndcg for id_, answer in self.answers.items()}

    @property
    def mean_ndcg(self) -> float:
        """Over the queries."""
        return float(np.mean(list(self.ndcg.values())))


@dataclass(frozen=True, slots=True)
class SearchEvaluation:
    """Several systems on the same queries."""

    judgements: Judgements
    queries: tuple[JudgedQuery, ...]
    """Those measured: queries without a relevant product can only score 0 and are left out."""
    k: int
    relevant: int
    products: int
    systems: Mapping[str, SystemResult]

    def against(self, baseline: str) -> dict[str, Difference]:
        """Each other system's nDCG minus the baseline's."""
        old = self.systems[baseline].ndcg
        return {name: paired(system.ndcg, old) for name, system in self.systems.items() if name != baseline}

    def to_json(self) -> Iterator[dict[str, Any]]:
        """A line a system, as `shelfwise evaluate search` prints them; differences are to every system before."""
        names = list(self.systems)
        for place, (name, system) in enumerate(self.systems.items()):
            yield {
                "system": name,
                **self._means(system),
                "minus": {other: paired(system.ndcg, self.systems[other].ndcg).to_json() for other in names[:place]},
            }

    def figures(self) -> dict[str, Any]:
        """All that a later run is compared with: judgements and each query's nDCG, beside the means."""
        return {
            "format": 1,
            "k": self.k,
            "relevant": self.relevant,
            "products": self.products,
            "judgements": {"sha256": self.judgements.sha256, "queries": self.judgements.to_json()},
            "systems": {
                line["system"]: line | {"ndcg_of": self.systems[line["system"]].ndcg} for line in self.to_json()
            },
        }

    def _means(self, system: SystemResult) -> dict[str, Any]:
        answers = list(system.answers.values())
        shown = sum(len(answer.hits) for answer in answers)
        unjudged = sum(answer.unjudged for answer in answers)
        found = {id_ for answer in answers for id_, _ in answer.hits}
        fast, slow = np.quantile([answer.seconds for answer in answers], [0.5, 0.95]) * 1000
        means = {
            f"ndcg@{self.k}": system.mean_ndcg,
            f"recall@{self.k}": float(np.mean([answer.recall for answer in answers])),
            "mrr": float(np.mean([answer.reciprocal_rank for answer in answers])),
            "zero_results": sum(not answer.hits for answer in answers) / len(answers),
            "coverage": len(found) / self.products if self.products else 0.0,
        }
        return {
            "queries": len(answers),
            **{name: round(value, 4) for name, value in means.items()},
            "diversity": None if system.diversity is None else round(system.diversity, 4),
            "hits": shown,
            "unjudged": unjudged,
            "latency_ms": {"p50": round(float(fast), 1), "p95": round(float(slow), 1)},
        }


def evaluate_search(
    systems: Mapping[str, System],
    judgements: Judgements,
    products: int,
    k: int = 10,
    relevant: int = 1,
    vectors_of: Callable[[Collection[str]], Vectors] | None = None,
) -> SearchEvaluation:
    """Ask every system every query, one by one as shoppers do, and measure what comes.

    :param products: how many the catalogue has; coverage is the share of them that was shown at all.
    :param relevant: the least grade that recall and reciprocal rank count; nDCG uses all grades.
    :param vectors_of: gives the vectors of the products of these ids, for the diversity; None: it is not measured.
    :raises JudgementError: no query has a relevant product.
    """
    queries = measurable(judgements, relevant)
    results = {}
    with tqdm(desc="evaluate", total=len(systems) * len(queries), unit="query") as bar:
        for name, system in systems.items():
            system(queries[0], k)  # once unmeasured: connections, and what a first inference sets up
            found, seconds = {}, {}
            for query in queries:
                started = time.perf_counter()
                found[query.id] = tuple((hit.id, hit.title) for hit in system(query, k))
                seconds[query.id] = time.perf_counter() - started
                bar.update()
            results[name] = _measured(name, queries, found, seconds, k, relevant)
    if vectors_of is not None:
        lists = [answer.hits for result in results.values() for answer in result.answers.values()]
        vectors = vectors_of({id_ for hits in lists for id_, _ in hits})
        results = {name: replace(one, diversity=_diversity(one, vectors)) for name, one in results.items()}
    return SearchEvaluation(judgements, queries, k, relevant, products, results)


def measurable(judgements: Judgements, relevant: int) -> tuple[JudgedQuery, ...]:
    """The queries that have a relevant product.

    :raises JudgementError: there is none.
    """
    queries = tuple(query for query in judgements.queries if max(query.grades.values()) >= relevant)
    if not queries:
        raise JudgementError(f"no query has a product of grade {relevant} or more: judge some, or lower --relevant")
    return queries


def ndcg_of(
    grades: Mapping[str, Mapping[str, int]], ranked: Mapping[str, Sequence[str]], k: int = 10
) -> dict[str, float]:
    """nDCG at k of each query, with gain 2^grade - 1 and discount 1 / log2(rank + 1) (Burges et al., ICML 2005).

    :param grades: query id to the grades of its judged products; at least one above 0 each.
    :param ranked: query id to product ids, best first.
    """
    # trec_eval's gain is the grade itself; its own table of gains loses queries in ir-measures 0.4.3, so grades go in
    # as gains.
    gains = {id_: {product: 2**grade - 1 for product, grade in given.items()} for id_, given in grades.items()}
    return of_each(ir_measures.nDCG @ k, gains, ranked)


def of_each(
    measure: Any, grades: Mapping[str, Mapping[str, int]], ranked: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """A measure of `ir_measures`, of each query.

    :param grades: query id to the grades of its judged products.
    :param ranked: query id to product ids, best first; of no product too.
    """
    # trec_eval breaks ties of scores by id: falling scores keep the ranking as it is.
    run = {id_: {product: float(-rank) for rank, product in enumerate(ids)} for id_, ids in ranked.items()}
    return {one.query_id: float(one.value) for one in ir_measures.iter_calc([measure], grades, run)}


def _measured(
    name: str,
    queries: Sequence[JudgedQuery],
    found: Mapping[str, tuple[tuple[str, str], ...]],
    seconds: Mapping[str, float],
    k: int,
    relevant: int,
) -> SystemResult:
    grades = {query.id: query.grades for query in queries}
    ranked = {id_: [product for product, _ in hits] for id_, hits in found.items()}
    ndcg = ndcg_of(grades, ranked, k)
    recall = of_each(ir_measures.R(rel=relevant) @ k, grades, ranked)
    reciprocal = of_each(ir_measures.RR(rel=relevant) @ k, grades, ranked)
    return SystemResult(
        name,
        {
            query.id: Answer(
                found[query.id],
                ndcg[query.id],
                recall[query.id],
                reciprocal[query.id],
                sum(product not in query.grades for product in ranked[query.id]),
                seconds[query.id],
            )
            for query in queries
        },
    )


def _diversity(system: SystemResult, vectors: Vectors) -> float | None:
    lists = [[vectors[id_] for id_, _ in answer.hits if id_ in vectors] for answer in system.answers.values()]
    varied = [intra_list_diversity(np.stack(given)) for given in lists if len(given) > 1]
    return float(np.mean(varied)) if varied else None
