"""The next item: the recommendations behind an alias, measured on what the people of an event log went on to."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from elasticsearch import Elasticsearch

from shelfwise.bundle import Bundle
from shelfwise.live_index import check_compatible, live
from shelfwise.wanted import check_k
from shelfwise_indexer import bulk
from shelfwise_indexer.catalogue import CatalogueError
from shelfwise_indexer.events import read_histories
from shelfwise_indexer.held_out import MEANING, Reason, hold_out, sampled
from shelfwise_indexer.indexed import read_index
from shelfwise_indexer.learn_events import content_of, log_of, say_unknown
from shelfwise_indexer.recommend_ablation import recommended
from shelfwise_indexer.recommend_evaluation import RecommendEvaluation, evaluate_recommend

LEAST = 2  # people: what one is recommended is learnt from the others


@dataclass(frozen=True, slots=True)
class NextItem:
    """An evaluation, and what it was made of: users = measured + not in the sample + skipped."""

    evaluation: RecommendEvaluation
    read: int
    """Lines of the log."""
    rejected: int
    users: int
    skipped: Mapping[Reason, int]
    not_sampled: int
    unknown_products: int
    """Products of the log that the index does not have."""
    repeated: int = 0
    """Lines of the log that tell once more what was told."""

    def to_json(self) -> dict[str, Any]:
        """The figures: the counts, and a line a system by its name."""
        return {
            "format": 1,
            "k": self.evaluation.k,
            "products": self.evaluation.products,
            "read": self.read,
            "repeated": self.repeated,
            "rejected": self.rejected,
            "users": self.users,
            "measured": len(self.evaluation.people),
            "not_sampled": self.not_sampled,
            "skipped": dict(self.skipped),
            "unknown_products": self.unknown_products,
            "repeats": self.repeats,
            "systems": {line["system"]: line for line in self.evaluation.to_json()},
        }

    @property
    def repeats(self) -> int:
        """People who went on to a product that they had bought before."""
        return sum(person.repeats for person in self.evaluation.people)

    @property
    def said(self) -> str:
        """The counts, for people."""
        lines = [
            f"{self.read} lines read, {self.rejected} rejected; {self.users} users: "
            f"{len(self.evaluation.people)} measured, {self.not_sampled} not in the sample, "
            f"{sum(self.skipped.values())} skipped",
            *_said(self.skipped),
            f"{self.repeats} of the measured users went on to what they had bought before",
        ]
        return "\n".join(lines)


def measure(
    client: Elasticsearch,
    events: str | os.PathLike[str],
    alias: str,
    bundle: Bundle | None = None,
    k: int = 10,
    folds: int = 5,
    sample: int = 1000,
    consumable: Iterable[str] = (),
) -> NextItem:
    """Measure recommendations by what people bought next; rejected lines and unknown products are said on stderr.

    :param bundle: what the alias's index must have been made with; None: any.
    :param folds: parts of the people; what one part is recommended is learnt from everybody else.
    :param sample: people who are measured, at most.
    :raises CatalogueError: the log cannot be read, or fewer than two of its people can be measured.
    :raises UsageError: k outside 1 to 10,000, or there is no such alias.
    :raises IncompatibleIndex: the index was made with another bundle.
    :raises ServerError: the server did not answer, or refused any part.
    """
    check_k(k)
    name = os.fspath(events)
    index = live(client, alias)
    if bundle is not None:
        check_compatible(index, bundle)
    told = read_histories(events)
    histories = told.by_user
    ids, vectors = bulk.vectors(client, index.name)
    number = {id_: place for place, id_ in enumerate(ids)}
    _, unknown = log_of(list(histories.values()), number)
    say_unknown(events, unknown, index.name)
    catalogue = read_index(client, index.name)
    split = hold_out(histories, number.keys(), {hit.id for hit in catalogue.hits if hit.in_stock is False})
    if len(split.people) < LEAST:
        why = "; ".join(_said(split.skipped)) or "there are no others"
        raise CatalogueError(
            f"{name}: {len(split.people)} of {len(histories)} users can be measured, at least {LEAST} are needed "
            f"({why}): expected the events of people who did something with at least two products behind alias {alias}"
        )
    people = sampled(split.people, sample)
    given = recommended(client, alias, people, histories, ids, content_of(vectors), k, folds, consumable)
    return NextItem(
        evaluation=evaluate_recommend(given, people, catalogue, len(ids), k),
        read=told.read,
        rejected=told.rejected,
        users=len(histories),
        skipped=split.skipped,
        not_sampled=len(split.people) - len(people),
        unknown_products=len(unknown),
        repeated=told.repeated,
    )


def _said(skipped: Mapping[Reason, int]) -> list[str]:
    return [f"{count} users skipped who {MEANING[reason]}" for reason, count in skipped.items()]
