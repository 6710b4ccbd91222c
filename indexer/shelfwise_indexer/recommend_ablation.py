"""The ablation of recommendations: each of their signals alone, beside the blend that people get."""

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from elasticsearch import Elasticsearch
from tqdm import tqdm

from shelfwise import event_model
from shelfwise.event_model import EventModel
from shelfwise.history import Event
from shelfwise.hit import Hit
from shelfwise.recommender import Recommender
from shelfwise_indexer.held_out import HeldOut, folds
from shelfwise_indexer.item_weights import Content
from shelfwise_indexer.learn_events import log_of, teach
from shelfwise_indexer.recommend_evaluation import Given, System, asked

POPULARITY, CO_OCCURRENCE = "popularity", "co-occurrence"
LAST, CONTENT = "content of the last product", "content of the history"
BLEND = "blend"  # what `shelfwise recommend` does
ROWS = (POPULARITY, CO_OCCURRENCE, LAST, CONTENT, BLEND)


@dataclass(frozen=True, slots=True)
class Teacher:
    """Makes event models of the histories of some people, away from the one that the shop's visitors are served by."""

    client: Elasticsearch
    alias: str
    """Of the model; no alias of products."""
    histories: Mapping[str, Sequence[Event]]
    """Whole, of everybody."""
    ids: Sequence[str]
    """Of the products of the index."""
    content: Content
    """Of these products."""

    def without(self, users: Collection[str]) -> None:
        """Let the model be what everybody's history but theirs teaches."""
        number = {id_: place for place, id_ in enumerate(self.ids)}
        log, _ = log_of([history for user, history in self.histories.items() if user not in users], number)
        teach(self.client, self.alias, self.ids, log, self.content, "evaluation")


def recommended(
    client: Elasticsearch,
    alias: str,
    people: Sequence[HeldOut],
    histories: Mapping[str, Sequence[Event]],
    ids: Sequence[str],
    content: Content,
    k: int,
    count: int,
    consumable: Iterable[str] = (),
) -> dict[str, dict[str, Given]]:
    """What each row of `ROWS` gives to each of the people, by row and user.

    The rows of content know no event log. The others are asked of as many event models as there are folds, each learnt
    from everybody's whole history but that of the fold's people; other people's later events do teach it. These models
    are indices of their own, deleted at the end; the alias's own event model is neither read nor changed.

    :param count: of the folds.
    """
    apart = f"{alias}-evaluate-{uuid.uuid4().hex[:8]}"
    teacher = Teacher(client, apart, histories, ids, content)
    given: dict[str, dict[str, Given]] = {row: {} for row in ROWS}
    systems = _systems(client, alias, EventModel(client, apart), tuple(consumable))
    try:
        with tqdm(desc="evaluate", total=len(ROWS) * len(people), unit="list") as bar:
            for row in (LAST, CONTENT):
                given[row] = _asked(systems[row], people, k, bar.update)
            for part in folds(people, count):
                teacher.without({person.user for person in part})
                for row in (POPULARITY, CO_OCCURRENCE, BLEND):
                    given[row] |= _asked(systems[row], part, k, bar.update)
    finally:
        event_model.forget(client, apart)
    return given


def _systems(client: Elasticsearch, alias: str, events: EventModel, consumable: Sequence[str]) -> dict[str, System]:
    whole = Recommender(client, alias, consumable, events=events)
    content = Recommender(client, alias, consumable, events=events, weights={"also": 0.0})
    also = Recommender(client, alias, consumable, events=events, weights={"vector": 0.0, "words": 0.0, "category": 0.0})

    def popular(history: Sequence[Event], k: int) -> Sequence[Hit]:
        return _hits(whole, _owned(history), k)

    def co_occurring(history: Sequence[Event], k: int) -> Sequence[Hit]:
        return [hit for hit in _hits(also, history, k) if hit.score > 0]

    def like_the_last(history: Sequence[Event], k: int) -> Sequence[Hit]:
        return _hits(content, [*_owned(history[:-1]), history[-1]], k)

    def like_the_history(history: Sequence[Event], k: int) -> Sequence[Hit]:
        return _hits(content, history, k)

    def blended(history: Sequence[Event], k: int) -> Sequence[Hit]:
        return _hits(whole, history, k)

    return {
        POPULARITY: popular,
        CO_OCCURRENCE: co_occurring,
        LAST: like_the_last,
        CONTENT: like_the_history,
        BLEND: blended,
    }


def _owned(history: Sequence[Event]) -> list[Event]:
    """Events that say what a person has, and nothing of what the person may want."""
    return [replace(event, weight=0.0) for event in history]


def _hits(recommender: Recommender, history: Sequence[Event], k: int) -> list[Hit]:
    """Of one person; none where nothing can be recommended."""
    [one] = recommender.recommend_many([history], k)
    return one.hits


def _asked(system: System, people: Sequence[HeldOut], k: int, done: Callable[[int], object]) -> dict[str, Given]:
    system(people[0].history, k)  # once unmeasured: connections, and what the server reads of a new index
    given = asked(system, people, k)
    done(len(people))
    return given
