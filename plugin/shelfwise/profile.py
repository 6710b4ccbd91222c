"""The profile: what a history says of a person's wants, as the searches for them need it."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np

from shelfwise.event_model import Learnt
from shelfwise.filters import TRUTH
from shelfwise.history import Event, in_order, product_weights
from shelfwise.hit import Listing, group_of, known_categories, listing_of, sure_leaves
from shelfwise.query import VECTOR, Body, in_any_of
from shelfwise.recommend_query import none_of, outside
from shelfwise.source import attributes_of, listed
from shelfwise.taxonomy import Path, ancestors

RecommendKind = Literal["any", "substitutes", "complements"]
LONGEST = 50  # newest products of a history that count at all
NEWEST = 5  # products whose words are looked for: with a decay of .7 they hold 83 % of the weight
UNKNOWN = Learnt()

Found = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Profile:
    """A history and what is known of its products."""

    weights: Mapping[str, float]
    """Known product to weight, newest first."""
    titles: Mapping[str, str]
    newest: Sequence[str]
    """Products whose words are looked for."""
    vector: list[float]
    """float32 [dimension], L2-normalised: the weighted sum of the products' own; empty where content says nothing."""
    leaves: Mapping[Path, float]
    """Category to the share of the weight that fell on it; in review the node that the model is sure of."""
    learnt_by: Literal["also", "together"]
    learnt: Mapping[str, float]
    """Products of the same people, or of the same baskets, to their weighted score."""
    again: Mapping[str, float]
    """Products of the history that may come back, to the share of people who buy them again."""
    filters: list[Body]
    """What may be recommended."""
    listings: frozenset[Listing]
    """What may not, whatever its id: listings of the history's products, but for those that may come back."""

    def affinity(self, found: Found) -> float:
        """How near a product's categories are to those of the history, 0 to 1: the share of each path it lies on."""
        nodes = _nodes(found)
        return sum(
            weight * sum(node in nodes for node in ancestors(leaf)) / len(leaf) for leaf, weight in self.leaves.items()
        )


def profile_of(
    history: Sequence[Event],
    weights: Mapping[str, float],
    known: Mapping[str, Found],
    learnt: Mapping[str, Learnt],
    consumable: Iterable[Path],
    kind: RecommendKind,
) -> Profile:
    """The profile of a history.

    :param weights: what is `counting` of it.
    :param known: the products that the index has, as `recommend_query.history_products` gives them; those that count
        with their vectors.
    :param learnt: of those that count all that is known, of the others how many people bought them again.
    :param consumable: categories whose products are bought again.
    """
    mine = [event for event in in_order(history) if event.product in known]
    again = _again(mine, known, learnt, frozenset(consumable)) if kind == "any" else {}
    gone = {event.product for event in mine} - again.keys()
    lacking = {event.product for event in history} - known.keys()  # each may be what variants in the index are of
    groups = (lacking | {group_of(known[id_]) for id_ in gone}) - {group_of(known[id_]) for id_ in again}
    filters = [none_of(gone, groups)]
    of_newest = [leaf for id_ in list(weights)[:1] for leaf in known_categories(known[id_])]
    if kind == "substitutes" and of_newest:
        filters.append(in_any_of(of_newest))
    elif kind == "complements" and (of_all := {leaf for id_ in weights for leaf in sure_leaves(known[id_])}):
        filters.append(outside(sorted(of_all)))  # a node above a leaf would take a department with it
    by_content = kind != "complements"  # what goes with a product is not what is like it
    return Profile(
        weights=weights,
        titles={id_: str(known[id_]["_source"].get("title", "")) for id_ in weights},
        newest=list(weights)[:NEWEST] if by_content else [],
        vector=_vector(weights, known) if by_content else [],
        leaves=_leaves(weights, known),
        learnt_by="also" if by_content else "together",
        learnt=_learnt(weights, learnt, by_content),
        again=again,
        filters=filters,
        listings=frozenset({listing_of(known[id_]) for id_ in gone} - {listing_of(known[id_]) for id_ in again}),
    )


def counting(history: Sequence[Event], known: Container[str]) -> dict[str, float]:
    """The `LONGEST` newest known products of a history to their weights above 0, newest first."""
    weights = product_weights([event for event in in_order(history) if event.product in known])
    return dict(islice(((id_, weight) for id_, weight in weights.items() if weight > 0), LONGEST))


def _vector(weights: Mapping[str, float], known: Mapping[str, Found]) -> list[float]:
    parts = [
        weight * np.asarray(vector, dtype=np.float32)
        for id_, weight in weights.items()
        if (vector := known[id_].get("fields", {}).get(VECTOR))
    ]
    if not parts:
        return []
    summed = np.sum(parts, axis=0)
    length = float(np.linalg.norm(summed))
    return [float(part) for part in summed / length] if length > 0 else []


def _leaves(weights: Mapping[str, float], known: Mapping[str, Found]) -> dict[Path, float]:
    total = sum(weights.values())
    leaves: dict[Path, float] = {}
    for id_, weight in weights.items():
        own = known_categories(known[id_])
        for leaf in own:
            leaves[leaf] = leaves.get(leaf, 0.0) + weight / len(own) / total
    return leaves


def _learnt(weights: Mapping[str, float], learnt: Mapping[str, Learnt], also: bool) -> dict[str, float]:
    scores: dict[str, float] = {}
    for id_, weight in weights.items():
        of_one = learnt.get(id_, UNKNOWN)
        for other, score in (of_one.also if also else of_one.together).items():
            scores[other] = scores.get(other, 0.0) + weight * score
    return scores


def _again(
    mine: Iterable[Event], known: Mapping[str, Found], learnt: Mapping[str, Learnt], consumable: frozenset[Path]
) -> dict[str, float]:
    """What was bought and is bought again, with the share of people who do so: 1 where the shop says that it is."""
    again: dict[str, float] = {}
    for event in mine:
        found = known[event.product]
        said = _marked_consumable(found) or bool(consumable & _nodes(found))
        rate = 1.0 if said else learnt.get(event.product, UNKNOWN).again
        if event.bought and rate > 0:
            again[event.product] = rate
    return again


def _marked_consumable(found: Found) -> bool:
    """Whether the shop's attribute says so."""
    marks = listed(attributes_of(found["_source"]).get("consumable"))
    return any(TRUTH.get(str(mark).strip().lower(), False) for mark in marks)


def _nodes(found: Found) -> set[Path]:
    return {node for leaf in known_categories(found) for node in ancestors(leaf)}
