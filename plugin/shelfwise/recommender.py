"""The recommender: what a person may want next, from what they looked at and bought.

A history is matched by meaning (vectors), by words, and by what other people of the same products went on to (the
event model). Candidates of all three are scored by all three.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, get_args

from elasticsearch import Elasticsearch

from shelfwise.alias import RECHECK_SECONDS, LiveAlias
from shelfwise.blend import Found, Scores, best, likeness
from shelfwise.errors import UnknownProduct, UsageError
from shelfwise.event_model import EventModel
from shelfwise.history import Event, parse_event, product_weights
from shelfwise.hit import Hit
from shelfwise.known import Known
from shelfwise.live_index import LiveIndex
from shelfwise.product import shown
from shelfwise.profile import LONGEST, Profile, RecommendKind, counting, profile_of
from shelfwise.query import MAX_HITS, Body, brute_force, by_ids, cosine, one_a_group, parts, semantic
from shelfwise.recommend import GROWTH, SPARE
from shelfwise.recommend_query import history_products, like_words, none_of, vector_scores, vectors_of
from shelfwise.taxonomy import Path, parse_path
from shelfwise.wanted import check_k

# Of the blend; each signal is scaled so that its best candidate has 1. Set by hand after a trial over the users of a
# shop of office supplies, in which .1 to .3, .2 to .3 and .5 to .7 did equally well; `category` was not tried.
WEIGHTS: Mapping[str, float] = {"vector": 0.2, "words": 0.3, "also": 0.6, "category": 0.05}
DEPTH = 200  # candidates of each signal, at least
HISTORIES_AT_ONCE = 16
UNKNOWN_SAID = 5


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What is recommended to one person."""

    hits: list[Hit]
    unknown: tuple[str, ...] = ()
    """Products of the history that the index does not have."""
    problem: str | None = None
    """Why nothing could be recommended."""


class Recommender:
    """Recommends to people from the products behind an alias, and from its event model where there is one.

    :param consumable: categories whose products are bought again (`"A > B"`, with all below). Beside them a product
        is consumable that the catalogue says is (`consumable: true`), or that the event log shows is.
    :param recheck: seconds after which a moved alias is noticed.
    :param weights: how much a signal counts, beside the others of `WEIGHTS`; what counts 0 is not looked for.
    :param events: what people of the same products went on to; None: the event model of the alias.
    :raises UsageError: a weight of no signal, or below 0.
    :raises UnknownCategory: no product of the index is in a category that was said to be consumable.
    :raises IncompatibleIndex: the alias is a plain index, or its index was not made by shelfwise.
    """

    def __init__(
        self,
        client: Elasticsearch,
        alias: str,
        consumable: Iterable[str] = (),
        recheck: float = RECHECK_SECONDS,
        weights: Mapping[str, float] = WEIGHTS,
        events: EventModel | None = None,
    ) -> None:
        self._consumable = [_path(text) for text in consumable]
        self._weights = _checked(weights)
        self._alias = LiveAlias(client, alias, None, recheck)
        known = Known(self._alias)
        for path in self._consumable:
            self._alias.over(partial(known.check, category=path, conditions=()))
        self._events = EventModel(client, alias) if events is None else events
        self._name = alias

    def recommend(self, history: Sequence[Event | str], k: int = 10, kind: RecommendKind = "any") -> list[Hit]:
        """The k products that fit a history, best first; as `recommend_many` for one.

        :raises UnknownProduct: the index has none of the history's products, and there is no event model to say what
            is popular.
        :raises UsageError: k outside 1 to 10,000, an empty history without an event model, complements without one.
        :raises ServerError: the server did not answer, or refused any part.
        """
        [one] = self.recommend_many([history], k, kind)
        if one.problem is not None:
            raise (UnknownProduct if one.unknown else UsageError)(one.problem)
        return one.hits

    def recommend_many(
        self, histories: Sequence[Sequence[Event | str]], k: int = 10, kind: RecommendKind = "any"
    ) -> list[Recommendation]:
        """For each history (oldest first) the k products that fit it, in the order of histories.

        Never a product of the history, a variant of one, or a listing of its title and brand, unless it was bought and
        is consumable; never what is out of stock; of each variant group and of each listing the best only. `kind`
        "substitutes" gives what stands in for the newest product (its category), "complements" what was bought together
        with the history, of other categories. With no known product the most popular ones of the event model. `score`
        is the sum of `shares`.

        :raises UsageError: k outside 1 to 10,000, complements without an event model.
        :raises ServerError: the server did not answer, or refused any part.
        """
        check_k(k)
        if kind not in get_args(RecommendKind):
            raise UsageError(f"kind {kind!r}: expected one of {', '.join(get_args(RecommendKind))}")
        given = [_events(one) for one in _several("histories must be a list of lists of product ids", histories)]
        done: list[Recommendation] = []
        for start in range(0, len(given), HISTORIES_AT_ONCE):
            part = given[start : start + HISTORIES_AT_ONCE]
            done.extend(self._alias.over(partial(self._recommended, histories=part, k=k, kind=kind)))
        return done

    def _recommended(
        self, index: LiveIndex, histories: Sequence[Sequence[Event]], k: int, kind: RecommendKind
    ) -> list[Recommendation]:
        known, weights = self._products(index, histories)
        newest = list(dict.fromkeys(id_ for of_one in weights for id_ in of_one))
        learnt = self._events.learnt(newest) | self._events.counts(sorted(known.keys() - set(newest)))
        if kind == "complements" and not learnt and not self._events.popular(1):
            raise UsageError(
                f"complements are learnt from an event log: `shelfwise events learn EVENTS --alias {self._name}` first"
            )
        profiles = [
            self._counted(profile_of(history, of_one, known, learnt, self._consumable, kind))
            for history, of_one in zip(histories, weights, strict=True)
        ]
        ranked = self._ranked(index, [profile for profile in profiles if profile.weights], k)
        done, hits = [], iter(ranked)
        for history, profile in zip(histories, profiles, strict=True):
            unknown = tuple(dict.fromkeys(event.product for event in history if event.product not in known))
            if profile.weights:
                done.append(Recommendation(next(hits), unknown))
            elif kind == "any" and (popular := self._popular(index, profile, k)):
                done.append(Recommendation(popular, unknown))
            else:
                none_known = not any(event.product in known for event in history)
                problem = _nothing_known(index, unknown if none_known else (), self._advice(kind))
                done.append(Recommendation([], unknown, problem))
        return done

    def _advice(self, kind: RecommendKind) -> str:
        """What would help where nothing is known of a history: nothing where events were learnt already."""
        if kind != "any" or self._events.popular(1):
            return ""
        return f"; `shelfwise events learn EVENTS --alias {self._name}` would let the most popular be recommended"

    def _counted(self, profile: Profile) -> Profile:
        """Without what counts 0."""
        return replace(
            profile,
            newest=profile.newest if self._weights["words"] else [],
            vector=profile.vector if self._weights["vector"] else [],
            learnt=profile.learnt if self._weights.get(profile.learnt_by, 1.0) else {},
        )

    def _products(
        self, index: LiveIndex, histories: Sequence[Sequence[Event]]
    ) -> tuple[dict[str, Found], list[dict[str, float]]]:
        """The known products, with their vectors where they count, and what is `counting` of each history."""
        ids = dict.fromkeys(event.product for history in histories for event in history)
        newest = dict.fromkeys(id_ for history in histories for id_ in list(product_weights(history))[:LONGEST])
        known, vectors = self._by_id(index, (history_products, ids), (vectors_of, newest))
        # Where some of the newest are unknown, older ones count as well.
        weights = [counting(history, known) for history in histories]
        older = dict.fromkeys(id_ for of_one in weights for id_ in of_one if id_ not in newest)
        [more] = self._by_id(index, (vectors_of, older))
        return {id_: {**found, **vectors.get(id_, {}), **more.get(id_, {})} for id_, found in known.items()}, weights

    def _by_id(
        self, index: LiveIndex, *asked: tuple[Callable[[Sequence[str]], Body], Iterable[str]]
    ) -> list[dict[str, Found]]:
        """What each kind of body finds of its ids, in one request."""
        pages = [[body(part) for part in parts(ids)] for body, ids in asked]
        answers = iter(self._alias.ask(index, [body for of_one in pages for body in of_one]))
        return [{found["_id"]: found for _ in of_one for found in next(answers)["hits"]["hits"]} for of_one in pages]

    def _ranked(self, index: LiveIndex, profiles: Sequence[Profile], k: int) -> list[list[Hit]]:
        depth = min(MAX_HITS, max(DEPTH, SPARE * k))
        words, nearest = self._looked_for(index, profiles, depth)
        learnt = [[*profile.again, *_learnt(profile, depth)] for profile in profiles]
        candidates = [
            list(dict.fromkeys([*of_events, *near, *of_words]))[:MAX_HITS]
            for of_events, near, of_words in zip(learnt, nearest, words, strict=True)
        ]
        ranked = self._scored(index, profiles, words, candidates, k)
        # Where variants, one listing or the graph left fewer than k, compare with every product, one of each group.
        short = [place for place, profile in enumerate(profiles) if profile.vector]
        for size in dict.fromkeys(min(MAX_HITS, growth * depth) for growth in GROWTH):
            short = [place for place in short if len(ranked[place]) < k]
            wide = [one_a_group(brute_force(profiles[place].vector, size, profiles[place].filters)) for place in short]
            found = dict(zip(short, map(_ids, self._alias.ask(index, wide)), strict=True))
            for place, ids in found.items():
                every = list(dict.fromkeys([*learnt[place], *ids, *candidates[place]]))[:MAX_HITS]
                [ranked[place]] = self._scored(index, [profiles[place]], [words[place]], [every], k)
            short = [place for place, ids in found.items() if len(ids) == size]
        return ranked

    def _looked_for(
        self, index: LiveIndex, profiles: Sequence[Profile], depth: int
    ) -> tuple[list[Scores], list[list[str]]]:
        """For each profile the products like it in words, with their scores, and the nearest by meaning."""
        bodies: list[Body] = []
        for profile in profiles:
            bodies += [like_words(id_, profile.titles[id_], depth) for id_ in profile.newest]
            if profile.vector:
                bodies.append({**semantic(profile.vector, depth, profile.filters), "_source": False})
        answers = iter(self._alias.ask(index, bodies))
        words: list[Scores] = []
        nearest = []
        for profile in profiles:
            words.append(likeness({id_: next(answers) for id_ in profile.newest}, profile.weights))
            nearest.append(_ids(next(answers)) if profile.vector else [])
        return words, nearest

    def _scored(
        self,
        index: LiveIndex,
        profiles: Sequence[Profile],
        words: Sequence[Scores],
        candidates: Sequence[Sequence[str]],
        k: int,
    ) -> list[list[Hit]]:
        """The k best of the candidates that pass each profile's filters, by all signals."""
        bodies: list[Body] = []
        for profile, ids in zip(profiles, candidates, strict=True):
            bodies.append(by_ids(ids, profile.filters))
            if profile.vector:
                bodies.append(vector_scores(profile.vector, ids))
        answers = iter(self._alias.ask(index, bodies))
        ranked = []
        for profile, of_words in zip(profiles, words, strict=True):
            found = next(answers)["hits"]["hits"]
            near = (
                {one["_id"]: cosine(one["_score"]) for one in next(answers)["hits"]["hits"]} if profile.vector else {}
            )
            signals: dict[str, Scores] = {"vector": near, "words": of_words, profile.learnt_by: profile.learnt}
            if profile.learnt_by == "also":
                signals["category"] = {one["_id"]: profile.affinity(one) for one in found}
            ranked.append(best(found, signals, self._weights, profile.again, profile.listings, k))
        return ranked

    def _popular(self, index: LiveIndex, profile: Profile, k: int) -> list[Hit]:
        """The k most popular, of ever more where those out of stock and variants leave fewer."""
        hits: list[Hit] = []
        for size in (min(MAX_HITS, max(DEPTH, SPARE * k)), MAX_HITS):
            users = self._events.popular(size)
            [answer] = self._alias.ask(index, [by_ids(list(users), [none_of([], []), *profile.filters])])
            popular = {id_: float(count) for id_, count in users.items()}
            hits = best(answer["hits"]["hits"], {"popular": popular}, self._weights, {}, profile.listings, k)
            if len(hits) == k or len(users) < size:
                break
        return hits


def _events(history: Iterable[Event | str]) -> list[Event]:
    given = _several("history must be a list of product ids or events, oldest first", history)
    return [one if isinstance(one, Event) else parse_event(one) for one in given]


def _several(expected: str, given: Any) -> Iterable[Any]:
    """:raises UsageError: there is one where several were expected; a text would be read letter by letter."""
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise UsageError(f"{expected}, got {shown(given)}")
    return given


def _learnt(profile: Profile, depth: int) -> list[str]:
    """What the event log names, best first; all of it where no vector can make up for what is sold out."""
    ordered = sorted(profile.learnt.items(), key=lambda one: (-one[1], one[0]))
    return [id_ for id_, _ in (ordered[:depth] if profile.vector else ordered)]


def _ids(answer: Found) -> list[str]:
    return [found["_id"] for found in answer["hits"]["hits"]]


def _checked(weights: Mapping[str, float]) -> dict[str, float]:
    if wrong := {name: weight for name, weight in weights.items() if name not in WEIGHTS or not weight >= 0}:
        raise UsageError(f"weights {wrong}: expected numbers of at least 0 for {', '.join(WEIGHTS)}")
    return {**WEIGHTS, **weights}


def _path(text: str) -> Path:
    try:
        return parse_path(text)
    except ValueError as error:
        raise UsageError(f"category {text[:60]!r}: {error}") from None


def _nothing_known(index: LiveIndex, unknown: Sequence[str], advice: str) -> str:
    if not unknown:
        return f"the history holds no product that counts{advice}"
    named = ", ".join(repr(id_[:60]) for id_ in unknown[:UNKNOWN_SAID])
    more = f" and {len(unknown) - UNKNOWN_SAID} more" if len(unknown) > UNKNOWN_SAID else ""
    return f"none of the history's products is in index {index.name} ({named}{more}): check the ids{advice}"
