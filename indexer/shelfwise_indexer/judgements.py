"""Judgements: queries, and how well products answer them, read from files in which one bad line costs one line."""

import gzip
import hashlib
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, cast

import orjson

from shelfwise.errors import ShelfwiseError, UsageError
from shelfwise.product import id_text, plain
from shelfwise.taxonomy import Path, written_path
from shelfwise.wanted import words_of
from shelfwise_indexer.records import Line, lines, opened

MOST_GRADE = 30  # the gain 2^grade - 1 must stay an integer that trec_eval can hold
MAX_LINE_BYTES = 1_000_000


class JudgementError(ShelfwiseError):
    """Judgements or their queries cannot be used at all; the text names the file and what to do."""


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """One query and the grades of the products that somebody judged for it."""

    id: str
    text: str
    category: Path | None
    """Of the query's own products, where the queries name one: what an oracle would predict."""
    grades: Mapping[str, int]
    """Product id to grade; 0 is irrelevant."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that was not used: where, and why."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Judgements:
    """What was read: read = used + rejected, in lines of the judgements; lines of the queries are told apart."""

    queries: tuple[JudgedQuery, ...]
    read: int
    used: int
    rejected: tuple[BadLine, ...]
    bad_queries: tuple[BadLine, ...] = ()
    unjudged: tuple[str, ...] = ()
    """Ids of queries that no judgement names: nothing can be measured on them."""

    @property
    def sha256(self) -> str:
        """Of queries and grades (hex), whatever the file looked like: equal judgements, equal hash."""
        return hashlib.sha256(orjson.dumps(self.to_json(), option=orjson.OPT_SORT_KEYS)).hexdigest()

    def to_json(self) -> list[dict[str, Any]]:
        """The queries with their grades, as saved figures carry them."""
        return [
            {
                "id": query.id,
                "query": query.text,
                "category": list(query.category) if query.category else None,
                "grades": dict(query.grades),
            }
            for query in sorted(self.queries, key=lambda query: query.id)
        ]

    def by_text(self) -> dict[str, dict[str, int]]:
        """Query text to product id to grade; where queries have the same text, the highest grade counts."""
        grades: dict[str, dict[str, int]] = {}
        for query in self.queries:
            known = grades.setdefault(query.text, {})
            known |= {id_: max(grade, known.get(id_, grade)) for id_, grade in query.grades.items()}
        return grades

    @classmethod
    def from_json(cls, content: Sequence[Mapping[str, Any]]) -> "Judgements":
        """Read what `to_json` wrote."""
        queries = tuple(
            JudgedQuery(
                str(row["id"]),
                str(row["query"]),
                tuple(row["category"]) if row["category"] else None,
                {str(id_): int(grade) for id_, grade in row["grades"].items()},
            )
            for row in content
        )
        judged = sum(len(query.grades) for query in queries)
        return cls(queries, judged, judged, ())


def read_judgements(judgements: str, queries: str | None = None) -> Judgements:
    """Judgements with the text of their queries, in the order in which the queries first occur.

    A file whose first line is an object holds JSON lines with `query`, `id` and `grade` (the query's text is its id);
    any other holds TREC qrels, `query 0 product grade`, and needs the queries: JSON lines with `id`, `query` and
    optionally `category`. Both may be `.gz`. A grade below 0, TREC's junk, counts as 0.

    :raises JudgementError: a file is not there, or not one line of it could be used.
    """
    its_lines = [line for line in _lines(judgements) if not line.blank]
    as_objects = bool(its_lines) and its_lines[0].content.lstrip().startswith(b"{")
    if queries is None and its_lines and not as_objects:
        raise JudgementError(
            f"{judgements}: holds TREC qrels, which name queries by their id: give their texts with --queries FILE "
            '(JSON lines such as {"id": "q1", "query": "travel mug"})'
        )
    texts, bad_queries = ({}, []) if queries is None else _read_queries(queries)
    if as_objects:  # a query is its text
        texts = {text: (text, category) for text, category in texts.values()}
    grades, rejected = _graded(
        judgements, its_lines, _object_row if as_objects else partial(_qrels_row, texts, queries)
    )
    return Judgements(
        queries=tuple(JudgedQuery(id_, *texts.get(id_, (id_, None)), given) for id_, given in grades.items()),
        read=len(its_lines),
        used=len(its_lines) - len(rejected),
        rejected=rejected,
        bad_queries=tuple(bad_queries),
        unjudged=tuple(id_ for id_ in texts if id_ not in grades),
    )


def _graded(
    name: str, its_lines: Sequence[Line], row: Callable[[Line], tuple[str, str, int]]
) -> tuple[dict[str, dict[str, int]], tuple[BadLine, ...]]:
    """The grade of each product of each query, and the lines that could not be used.

    :param row: gives query, product and grade of a line; what it raises says why it is none.
    :raises JudgementError: not one line could be used.
    """
    grades: dict[str, dict[str, int]] = {}
    rejected: list[BadLine] = []
    for line in its_lines:
        try:
            query, product, grade = row(line)
            if product in grades.get(query, {}):
                raise ValueError(f"product {product!r:.60} was judged for this query before, and the first one is kept")
        except ValueError as error:
            rejected.append(BadLine(name, line.number, str(error)))
        else:
            grades.setdefault(query, {})[product] = grade
    if not grades:
        first = f" ({rejected[0]})" if rejected else ""
        raise JudgementError(f"{name}: not one judgement in {len(its_lines)} lines could be used{first}")
    return grades, tuple(rejected)


def _read_queries(name: str) -> tuple[dict[str, tuple[str, Path | None]], list[BadLine]]:
    texts: dict[str, tuple[str, Path | None]] = {}
    bad: list[BadLine] = []
    for line in _lines(name):
        if line.blank:
            continue
        try:
            row = _object(line)
            id_, text = _id(row), _query_text(row)
            category = written_path(row["category"]) if row.get("category") else None
            if id_ in texts:
                raise ValueError(f"query {id_!r:.60}: an earlier line has this id, and the first one is kept")
        except ValueError as error:
            bad.append(BadLine(name, line.number, str(error)))
        else:
            texts[id_] = (text, category)
    if not texts:
        first = f" ({bad[0]})" if bad else ""
        raise JudgementError(f'{name}: no query: expected JSON lines such as {{"id": "q1", "query": "mug"}}{first}')
    return texts, bad


def _qrels_row(texts: Container[str], queries: str | None, line: Line) -> tuple[str, str, int]:
    fields = _decoded(line).split()
    if len(fields) != 4:
        raise ValueError(f"expected four fields, `query 0 product grade`, got {len(fields)}")
    try:
        grade = int(fields[3])
    except ValueError:
        raise ValueError(f"the grade must be a whole number, got {fields[3]!r:.60}") from None
    if fields[0] not in texts:
        raise ValueError(f"query {fields[0]!r:.60} is not among the queries of {queries}")
    return fields[0], fields[2], _grade(grade)


def _object_row(line: Line) -> tuple[str, str, int]:
    row = _object(line)
    return _query_text(row), _id(row), _grade(row.get("grade"))


def _object(line: Line) -> dict[str, Any]:
    try:
        row = orjson.loads(_decoded(line))
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(row, dict):
        raise ValueError(f"expected an object, got {str(row)[:60]}")
    return row


def _decoded(line: Line) -> str:
    if line.fault:
        raise ValueError(line.fault)
    try:
        return line.content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8: save the file as UTF-8") from None


def _query_text(row: Mapping[str, Any]) -> str:
    value = row.get("query")
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
        raise ValueError(f"query must be a text that is not empty, got {value!r:.60}")
    text = plain(str(value))
    try:
        words_of(text)
    except UsageError as error:  # one that cannot be searched for would end the measuring of all
        raise ValueError(str(error)) from None
    return text


def _id(row: Mapping[str, Any]) -> str:
    if (id_ := id_text(row.get("id"))) is None:
        raise ValueError(f"id must be a text that is not empty, got {row.get('id')!r:.60}")
    return id_


def _grade(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value > MOST_GRADE:
        raise ValueError(f"the grade must be a whole number up to {MOST_GRADE}, got {value!r:.60}")
    return max(value, 0)


def _lines(name: str) -> Iterator[Line]:
    with opened(name) as file:
        packed = name.lower().endswith(".gz")
        yield from lines(cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packed else file, MAX_LINE_BYTES)
