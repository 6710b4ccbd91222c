"""The evaluation of recommendations: what each system gave people before they went on to a product, measured."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ir_measures
import numpy as np

from shelfwise.history import Event
from shelfwise.hit import Hit
from shelfwise_indexer.held_out import HeldOut
from shelfwise_indexer.indexed import IndexedCatalogue
from shelfwise_indexer.search_evaluation import of_each
from shelfwise_indexer.significance import Difference, paired
from shelfwise_indexer.similar_evaluation import intra_list_diversity

System = Callable[[Sequence[Event], int], Sequence[Hit]]
"""At most so many products for a history (oldest first), best first."""


@dataclass(frozen=True, slots=True)
class Given:
    """What one system recommended to one person."""

    hits: tuple[str, ...]
    """Ids, best first."""
    seconds: float


@dataclass(frozen=True, slots=True)
class SystemResult:
    """One system on all people; each measure by user, in the order of the people."""

    name: str
    given: Mapping[str, Given]
    measures: Mapping[str, Mapping[str, float]]
    """`ndcg@k`, `recall@k` and `mrr`, of the k hits, to user to value."""
    diversity: float | None
    """Mean over the lists of 1 - the mean cosine of two different hits; None where no list has two."""

    def mean(self, measure: str) -> float:
        """Over the people."""
        return float(np.mean(list(self.measures[measure].values())))

    def standard_error(self, measure: str) -> float:
        """Of the mean."""
        values = list(self.measures[measure].values())
        return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


@dataclass(frozen=True, slots=True)
class RecommendEvaluation:
    """Several systems on the same people."""

    people: tuple[HeldOut, ...]
    k: int
    products: int
    titles: Mapping[str, str]
    systems: Mapping[str, SystemResult]

    @property
    def measures(self) -> tuple[str, str, str]:
        """The names of the measures of a ranking."""
        return measures_at(self.k)

    @property
    def named(self) -> dict[str, str]:
        """The same as people write them, by measure; what matters most first."""
        ndcg, recall, mrr = self.measures
        return {recall: recall, mrr: "MRR", ndcg: f"nDCG@{self.k}"}

    def minus(self, new: str, old: str, measure: str) -> Difference:
        """One system's measure minus another's, person by person."""
        return paired(self.systems[new].measures[measure], self.systems[old].measures[measure])

    def to_json(self) -> Iterator[dict[str, Any]]:
        """A line a system, as `shelfwise evaluate recommend` prints them; differences are to every system before.

        `short` is the share of people who got fewer than k hits, `zero_results` that of those who got none, `coverage`
        that of products that anybody got.
        """
        names = list(self.systems)
        for place, (name, system) in enumerate(self.systems.items()):
            yield {
                "system": name,
                **self._means(system),
                "minus": {
                    other: {measure: _rounded(self.minus(name, other, measure)) for measure in self.measures}
                    for other in names[:place]
                },
            }

    def _means(self, system: SystemResult) -> dict[str, Any]:
        given = list(system.given.values())
        found = {id_ for one in given for id_ in one.hits}
        fast, slow = np.quantile([one.seconds for one in given], [0.5, 0.95]) * 1000
        return {
            "users": len(given),
            **{measure: round(system.mean(measure), 4) for measure in self.measures},
            "standard_error": {measure: round(system.standard_error(measure), 4) for measure in self.measures},
            "coverage": round(len(found) / self.products, 4) if self.products else 0.0,
            "diversity": None if system.diversity is None else round(system.diversity, 4),
            "zero_results": round(sum(not one.hits for one in given) / len(given), 4),
            "short": round(sum(len(one.hits) < self.k for one in given) / len(given), 4),
            "latency_ms": {"p50": round(float(fast), 1), "p95": round(float(slow), 1)},
        }


def asked(system: System, people: Iterable[HeldOut], k: int) -> dict[str, Given]:
    """What a system recommends to each of the people, asked one by one as a shop does; by user."""
    given = {}
    for person in people:
        started = time.perf_counter()
        hits = tuple(hit.id for hit in system(person.history, k))
        given[person.user] = Given(hits, time.perf_counter() - started)
    return given


def evaluate_recommend(
    systems: Mapping[str, Mapping[str, Given]],
    people: Sequence[HeldOut],
    catalogue: IndexedCatalogue,
    products: int,
    k: int = 10,
) -> RecommendEvaluation:
    """Measure what systems gave: whether, and where, the product that each person went on to is among it.

    The very product counts, not a variant of it. Recall at k is 1 or 0, as one product is hidden; MRR is 0 beyond k.

    :param systems: name to user to what was given; all of the people.
    :param products: how many the index has; coverage is the share of them that was given to anybody.
    """
    place_of = {hit.id: place for place, hit in enumerate(catalogue.hits)}
    # trec_eval reads ids as C has texts: users are numbered, whatever characters their ids hold.
    grades = {str(number): {person.next: 1} for number, person in enumerate(people)}
    results = {}
    for name, by_user in systems.items():
        given = {person.user: by_user[person.user] for person in people}
        ranked = {str(number): one.hits[:k] for number, one in enumerate(given.values())}
        by_measure = (
            of_each(measure, grades, ranked) for measure in (ir_measures.nDCG @ k, ir_measures.R @ k, ir_measures.RR)
        )
        measures = {
            measure: {user: values[str(number)] for number, user in enumerate(given)}
            for measure, values in zip(measures_at(k), by_measure, strict=True)
        }
        lists = [[place_of[id_] for id_ in hits if id_ in place_of] for hits in ranked.values()]
        varied = [intra_list_diversity(catalogue.vectors[places]) for places in lists if len(places) > 1]
        results[name] = SystemResult(name, given, measures, float(np.mean(varied)) if varied else None)
    titles = {hit.id: hit.title for hit in catalogue.hits}
    return RecommendEvaluation(tuple(people), k, products, titles, results)


def measures_at(k: int) -> tuple[str, str, str]:
    """The names of the measures of a ranking of k hits."""
    return f"ndcg@{k}", f"recall@{k}", "mrr"


def _rounded(difference: Difference) -> dict[str, float]:
    return {name: round(getattr(difference, name), 4) for name in ("mean", "low", "high")}
