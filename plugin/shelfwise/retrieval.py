"""The retrieval: the queries of a search become requests, and the answers each query's lists of products."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shelfwise.alias import LiveAlias
from shelfwise.belief import Belief
from shelfwise.exact import Exact
from shelfwise.filters import Body
from shelfwise.index import LiveIndex
from shelfwise.query import (
    any_of,
    counted,
    exact,
    holds_outside_title,
    in_any_of,
    lexical,
    semantic,
    with_corrections,
    with_fields,
    with_highlights,
)
from shelfwise.ranking import Found, Retrieved
from shelfwise.search_settings import Mode
from shelfwise.spelling import Correction, corrected, corrections

ADDED = 50  # nearest products of likely categories that join those found without regard to category
Found_ = dict[str, Sequence[Found]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One query, read and encoded."""

    words: str
    others: Sequence[str]
    """Further readings, by synonyms."""
    vector: Sequence[float] | None
    """float32 [dimension], L2-normalised; None in mode `lexical`."""
    belief: Belief | None
    exact: Exact | None


@dataclass(frozen=True, slots=True)
class Request:
    """What all queries of one call share."""

    mode: Mode
    filters: Sequence[Body]
    spelling: bool
    highlight: bool
    count: bool = False
    """Ask for the facets too."""
    fields: Sequence[str] = ()
    """Of each hit, beside what a hit shows."""


def retrieve(
    alias: LiveAlias, index: LiveIndex, asked: Sequence[Asked], depth: int, request: Request
) -> list[Retrieved]:
    """The `depth` best of each retriever for each query, in one request.

    Further requests follow where the graph fell short and where a word may be misspelt.

    :raises ServerError: the server did not answer, or refused any part.
    """
    bodies = [_bodies(one, depth, request) for one in asked]
    # All bodies of a query side by side, so that they travel in one request.
    given = iter(alias.ask(index, [body for of_one in bodies for body in of_one.values()]))
    answers = [{name: next(given) for name in of_one} for of_one in bodies]
    found: list[Found_] = [{name: answer["hits"]["hits"] for name, answer in of_one.items()} for of_one in answers]
    mended = _mend(alias, index, asked, answers, found, depth, request)
    _complete(alias, index, asked, found, depth, request)
    return [
        Retrieved(
            lists={name: hits for name, hits in lists.items() if name in ("lexical", "semantic")},
            added=lists.get("added", ()),
            corrections=corrections_of_one,
            counted=of_one.get("counted"),
        )
        for lists, of_one, corrections_of_one in zip(found, answers, mended, strict=True)
    ]


def count_all(alias: LiveAlias, index: LiveIndex, request: Request) -> Mapping[str, Any]:
    """The facets of everything that passes the filters."""
    return alias.ask(index, [counted(request.filters)])[0]


def _bodies(asked: Asked, depth: int, request: Request) -> dict[str, Body]:
    bodies = {}
    if request.mode != "semantic":
        body = _lexical(asked, depth, request, asked.others)
        bodies["lexical"] = with_corrections(body, asked.words) if request.spelling else body
    if asked.vector is not None:
        bodies["semantic"] = with_fields(semantic(asked.vector, depth, request.filters), request.fields)
        if asked.belief is not None and asked.belief.likely:
            filters = [*request.filters, in_any_of(asked.belief.likely)]
            bodies["added"] = with_fields(semantic(asked.vector, ADDED, filters), request.fields)
    if request.count:
        words = None if request.mode == "semantic" else asked.words
        bodies["counted"] = counted(request.filters, words, asked.others)
    return bodies


def _lexical(asked: Asked, depth: int, request: Request, others: Sequence[str]) -> Body:
    body = with_fields(lexical(asked.words, depth, request.filters, others), request.fields)
    return with_highlights(body) if request.highlight else body


def _mend(
    alias: LiveAlias,
    index: LiveIndex,
    asked: Sequence[Asked],
    answers: Sequence[Mapping[str, Any]],
    found: Sequence[Found_],
    depth: int,
    request: Request,
) -> list[tuple[Correction, ...]]:
    """Search again by words, with the nearest spelling of those that no product has."""
    missing = [corrections(of_one["lexical"]) if "lexical" in of_one else () for of_one in answers]
    doubtful = sorted({correction.word for of_one in missing for correction in of_one})
    elsewhere = alias.ask(index, [any_of(holds_outside_title(word)) for word in doubtful])
    misspelt = {word for word, answer in zip(doubtful, elsewhere, strict=True) if not answer["hits"]["total"]["value"]}
    mended = [tuple(correction for correction in of_one if correction.word in misspelt) for of_one in missing]
    places = [place for place, of_one in enumerate(mended) if of_one]
    again = [
        _lexical(asked[place], depth, request, [*asked[place].others, corrected(asked[place].words, mended[place])])
        for place in places
    ]
    for place, answer in zip(places, alias.ask(index, again), strict=True):
        found[place]["lexical"] = answer["hits"]["hits"]
    return mended


def _complete(
    alias: LiveAlias,
    index: LiveIndex,
    asked: Sequence[Asked],
    found: Sequence[Found_],
    depth: int,
    request: Request,
) -> None:
    """Where the graph gave fewer than were asked for, compare with every product that passes the filters."""
    short = [place for place, lists in enumerate(found) if len(lists.get("semantic", ())) < depth]
    vectors: Iterable[tuple[int, Sequence[float] | None]] = ((place, asked[place].vector) for place in short)
    bodies = {
        place: with_fields(exact(vector, depth, request.filters), request.fields)
        for place, vector in vectors
        if vector is not None
    }
    for place, answer in zip(bodies, alias.ask(index, list(bodies.values())), strict=True):
        found[place]["semantic"] = answer["hits"]["hits"]
