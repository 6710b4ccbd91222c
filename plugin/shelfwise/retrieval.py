"""The retrieval: the queries of a search become requests, and the answers each query's lists of products."""

from collections.abc import Sequence
from dataclasses import dataclass

from shelfwise.alias import LiveAlias
from shelfwise.belief import Belief
from shelfwise.exact import Exact
from shelfwise.filters import Body
from shelfwise.index import LiveIndex
from shelfwise.query import exact, in_any_of, lexical, semantic
from shelfwise.ranking import Found, Retrieved
from shelfwise.search_settings import Mode

ADDED = 50  # nearest products of likely categories that join those found without regard to category


@dataclass(frozen=True, slots=True)
class Asked:
    """One query, read and encoded."""

    words: str
    vector: Sequence[float] | None
    """float32 [dimension], L2-normalised; None in mode `lexical`."""
    belief: Belief | None
    exact: Exact | None


def retrieve(
    alias: LiveAlias, index: LiveIndex, asked: Sequence[Asked], depth: int, filters: Sequence[Body], mode: Mode
) -> list[Retrieved]:
    """The `depth` best of each retriever for each query, in one request; in a second where the graph fell short.

    :raises ServerError: the server did not answer, or refused any part.
    """
    bodies = [_bodies(one, depth, filters, mode) for one in asked]
    # All bodies of a query side by side, so that they travel in one request.
    answers = iter(alias.ask(index, [body for of_one in bodies for body in of_one.values()]))
    found = [{name: next(answers)["hits"]["hits"] for name in of_one} for of_one in bodies]
    _complete(alias, index, asked, found, depth, filters)
    return [
        Retrieved({name: hits for name, hits in lists.items() if name != "added"}, lists.get("added", ()))
        for lists in found
    ]


def _bodies(asked: Asked, depth: int, filters: Sequence[Body], mode: Mode) -> dict[str, Body]:
    bodies = {}
    if mode != "semantic":
        bodies["lexical"] = lexical(asked.words, depth, filters)
    if asked.vector is not None:
        bodies["semantic"] = semantic(asked.vector, depth, filters)
        if asked.belief is not None and asked.belief.likely:
            bodies["added"] = semantic(asked.vector, ADDED, [*filters, in_any_of(asked.belief.likely)])
    return bodies


def _complete(
    alias: LiveAlias,
    index: LiveIndex,
    asked: Sequence[Asked],
    found: Sequence[dict[str, Sequence[Found]]],
    depth: int,
    filters: Sequence[Body],
) -> None:
    """Where the graph gave fewer than were asked for, compare with every product that passes the filters."""
    short = [place for place, lists in enumerate(found) if len(lists.get("semantic", ())) < depth]
    bodies = {place: exact(vector, depth, filters) for place in short if (vector := asked[place].vector) is not None}
    for place, answer in zip(bodies, alias.ask(index, list(bodies.values())), strict=True):
        found[place]["semantic"] = answer["hits"]["hits"]
