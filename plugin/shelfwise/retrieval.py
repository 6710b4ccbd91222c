"""The retrieval: the queries of a search become requests, and the answers each query's lists of products."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from shelfwise.alias import LiveAlias
from shelfwise.belief import Belief
from shelfwise.columns import as_source, in_columns
from shelfwise.exact import Exact
from shelfwise.filters import Body
from shelfwise.live_index import LiveIndex
from shelfwise.mending import Answer, Mended, Sent, mend
from shelfwise.misspelt import Misspelt
from shelfwise.query import (
    any_of,
    brute_force,
    by_ids,
    by_own_ids,
    counted,
    how_many,
    in_any_of,
    lexical,
    not_enriched,
    parts,
    semantic,
    with_corrections,
    with_fields,
    with_highlights,
)
from shelfwise.ranking import Found, Retrieved
from shelfwise.search_settings import Mode
from shelfwise.source import Source

ADDED = 50  # nearest products of likely categories that join those found without regard to category
Lists = dict[str, Sequence[Found]]
Ask = Callable[[Sequence[Body]], list[Answer]]


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
    known: bool
    """Whether the model knows any of the words; if not, the vector says nothing."""
    right: Collection[str]
    """Words that are not misspelt, as the synonyms have them; folded."""
    read_as: Callable[[str], Sequence[str]]
    """Gives the readings of other words, by synonyms; see `Synonyms.readings`."""


@dataclass(frozen=True, slots=True)
class Request:
    """What all queries of one call share."""

    mode: Mode
    filters: Sequence[Body]
    misspelt: Misspelt | None
    """What is known of misspelt words; None: words are not mended."""
    highlight: bool
    count: bool = False
    """Ask for the facets too."""
    fields: Sequence[str] = ()
    """Of each hit, beside what a hit shows."""
    columns: bool = False
    """Hits are read by columns; see there."""


def retrieve(
    alias: LiveAlias, index: LiveIndex, asked: Sequence[Asked], depth: int, request: Request
) -> list[Retrieved]:
    """The `depth` best of each retriever for each query, in one request.

    Further ones follow where the graph fell short, and where a word that may be misspelt is met for the first time.

    :raises ServerError: the server did not answer, or refused any part.
    """
    misspelt = request.misspelt
    guesses = [None if misspelt is None else misspelt.guess(one.words, one.right) for one in asked]
    bodies = [_bodies(one, guess, depth, request) for one, guess in zip(asked, guesses, strict=True)]
    # All bodies of a query side by side, so that they travel in one request.
    filtered = bool(request.filters) and request.mode != "lexical"
    there = [how_many(request.filters, depth), any_of(not_enriched(request.filters))] if filtered else []
    ask = partial(_ask, alias, index, columns=request.columns)
    given = iter(ask([*(body for of_one in bodies for body in of_one.values()), *there]))
    answers = [{name: next(given) for name in of_one} for of_one in bodies]
    enough, lacking = (answer["hits"]["total"]["value"] for answer in given) if filtered else (depth, True)
    mended: Sequence[Mended] = ()
    if misspelt is not None and request.mode != "semantic":
        sent = [
            Sent(one.words, guess, of_one["lexical"], one.right)
            for one, guess, of_one in zip(asked, guesses, answers, strict=True)
        ]
        mended = mend(
            sent,
            misspelt,
            search=lambda place, text: _lexical(asked[place], text, depth, request),
            ask=ask,
        )
        for of_one, one in zip(answers, mended, strict=True):
            of_one["lexical"] = one.answer
        if request.count:
            places = [place for place, guess in enumerate(guesses) if mended[place].reading != guess]
            bodies = [_counted(asked[place], mended[place].reading, request) for place in places]
            for place, answer in zip(places, alias.ask(index, bodies), strict=True):
                answers[place]["counted"] = answer
    found: list[Lists] = [{name: answer["hits"]["hits"] for name, answer in of_one.items()} for of_one in answers]
    _complete(ask, asked, found, depth, enough, request)
    return [
        Retrieved(
            lists={name: hits for name, hits in lists.items() if name in ("lexical", "semantic")},
            added=lists.get("added", ()),
            corrections=mended[place].corrections if mended else (),
            counted=answers[place].get("counted"),
            not_enriched=request.mode != "lexical" and bool(lacking),
        )
        for place, lists in enumerate(found)
    ]


def retrieve_not_enriched(alias: LiveAlias, index: LiveIndex, depth: int, request: Request) -> list[Found]:
    """The first `depth` products without a vector that pass the filters, in the order of their ids."""
    body = with_fields(by_own_ids(not_enriched(request.filters), depth), request.fields)
    [answer] = _ask(alias, index, [body], request.columns)
    return sorted(answer["hits"]["hits"], key=lambda hit: str(hit["_id"]))


def count_all(alias: LiveAlias, index: LiveIndex, request: Request) -> Mapping[str, Any]:
    """The facets of everything that passes the filters."""
    return alias.ask(index, [counted(request.filters)])[0]


def _doubted(asked: Asked, request: Request) -> bool:
    """Whether a word of the query may be misspelt, as far as is known."""
    return request.misspelt is not None and not request.misspelt.is_right(asked.words)


def _bodies(asked: Asked, mended: str | None, depth: int, request: Request) -> dict[str, Body]:
    bodies = {}
    if request.mode != "semantic":
        body = _lexical(asked, mended, depth, request)
        bodies["lexical"] = with_corrections(body, asked.words) if _doubted(asked, request) else body
    if asked.vector is not None:
        bodies["semantic"] = with_fields(semantic(asked.vector, depth, request.filters), request.fields)
        if asked.belief is not None and asked.belief.likely:
            filters = [*request.filters, in_any_of(asked.belief.likely)]
            bodies["added"] = with_fields(semantic(asked.vector, ADDED, filters), request.fields)
    if request.count:
        bodies["counted"] = _counted(asked, mended, request)
    return bodies


def _counted(asked: Asked, mended: str | None, request: Request) -> Body:
    words = None if request.mode == "semantic" else asked.words
    return counted(request.filters, words, _others(asked, mended))


def _lexical(asked: Asked, mended: str | None, depth: int, request: Request) -> Body:
    body = with_fields(lexical(asked.words, depth, request.filters, _others(asked, mended)), request.fields)
    return with_highlights(body) if request.highlight else body


def _others(asked: Asked, mended: str | None) -> Sequence[str]:
    """What a query may be read as beside its words.

    :param mended: with its misspelt words replaced, which may have synonyms of their own; None: as it is.
    """
    return asked.others if mended is None else [*asked.others, *asked.read_as(mended)]


def _ask(alias: LiveAlias, index: LiveIndex, bodies: Sequence[Body], columns: bool) -> list[Answer]:
    """One answer a body, in order; by columns, and by `_source` what these do not tell."""
    if not columns:
        return alias.ask(index, bodies)
    answers = alias.ask(index, [in_columns(body) for body in bodies])
    known: dict[str, Source] = {}
    odd = [as_source(answer["hits"]["hits"], known) for answer in answers]
    unnamed = [place for place, ids in enumerate(odd) if ids is None]
    ids = {id_ for of_one in odd for id_ in of_one or ()}
    given = alias.ask(index, [*(bodies[place] for place in unnamed), *map(by_ids, parts(ids))])
    for place, answer in zip(unnamed, given, strict=False):
        answers[place] = answer
    if ids:
        known |= {hit["_id"]: hit["_source"] for answer in given[len(unnamed) :] for hit in answer["hits"]["hits"]}
        answers = [_with_sources(answer, known) for answer in answers]
    return answers


def _with_sources(answer: Answer, known: Mapping[str, Source]) -> Answer:
    """The same answer with the sources that its hits lack; a product that was deleted meanwhile is no hit."""
    hits = [
        hit if "_source" in hit else {**hit, "_source": known[hit["_id"]]}
        for hit in answer["hits"]["hits"]
        if "_source" in hit or hit["_id"] in known
    ]
    return {**answer, "hits": {**answer["hits"], "hits": hits}}


def _complete(
    ask: Ask,
    asked: Sequence[Asked],
    found: Sequence[Lists],
    depth: int,
    enough: int,
    request: Request,
) -> None:
    """Where the graph gave fewer than there are, compare with every product that passes the filters."""
    short = [place for place, lists in enumerate(found) if len(lists.get("semantic", ())) < enough]
    vectors: Iterable[tuple[int, Sequence[float] | None]] = ((place, asked[place].vector) for place in short)
    bodies = {
        place: with_fields(brute_force(vector, depth, request.filters), request.fields)
        for place, vector in vectors
        if vector is not None
    }
    for place, answer in zip(bodies, ask(list(bodies.values())), strict=True):
        found[place]["semantic"] = answer["hits"]["hits"]
