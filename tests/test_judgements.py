import gzip

import pytest

from shelfwise.errors import ShelfwiseError
from shelfwise_indexer.demo import demo_folder
from shelfwise_indexer.judgements import JudgementError, Judgements, read_judgements

QUERIES = '{"id": "q1", "query": "travel mug", "category": "Home &gt; Mugs"}\n{"id": "q2", "query": "kettle"}\n'


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def test_qrels_take_text_and_category_from_the_queries(write):
    judged = read_judgements(write("j.qrels", "q1 0 a 3\nq1 0 b 0\n\nq2\t0\tc\t1\n"), write("q.jsonl", QUERIES))
    assert [(query.id, query.text, query.category, query.grades) for query in judged.queries] == [
        ("q1", "travel mug", ("Home", "Mugs"), {"a": 3, "b": 0}),
        ("q2", "kettle", None, {"c": 1}),
    ]
    assert (judged.read, judged.used, judged.rejected) == (3, 3, ())


def test_two_queries_of_one_text_are_judged_together(write):
    queries = '{"id": "q1", "query": "kettle"}\n{"id": "q2", "query": "kettle"}\n'
    judged = read_judgements(write("j.qrels", "q1 0 a 3\nq1 0 b 1\nq2 0 a 0\nq2 0 c 2\n"), write("q.jsonl", queries))
    assert judged.by_text() == {"kettle": {"a": 3, "b": 1, "c": 2}}


def test_json_lines_name_a_query_by_its_text(write):
    packed = gzip.compress(b'{"query": "kettle", "id": "a", "grade": 4}\n{"query": "kettle", "id": 7, "grade": 1}\n')
    [query] = read_judgements(write("j.jsonl.gz", packed)).queries
    assert (query.id, query.text, query.grades) == ("kettle", "kettle", {"a": 4, "7": 1})


def test_json_lines_take_a_category_from_queries_of_the_same_text(write):
    line = '{"query": "travel mug", "id": "a", "grade": 4}\n'
    judged = read_judgements(write("j.jsonl", line), write("q.jsonl", QUERIES))
    assert judged.queries[0].category == ("Home", "Mugs")
    assert judged.unjudged == ("kettle",)


def test_a_bad_line_is_named_and_the_rest_goes_on(write):
    lines = "q1 0 a 3\nq1 0 b\nq1 0 c high\nq9 0 a 1\nq1 0 a 2\nq2 0 z 2\nq2 0 y 31\n"
    judged = read_judgements(write("j.qrels", lines), write("q.jsonl", QUERIES + "{nope\n" + QUERIES))
    assert [(bad.line, bad.reason.split(":")[0]) for bad in judged.rejected] == [
        (2, "expected four fields, `query 0 product grade`, got 3"),
        (3, "the grade must be a whole number, got 'high'"),
        (4, f"query 'q9' is not among the queries of {write('q.jsonl', QUERIES + '{nope')}"),
        (5, "product 'a' was judged for this query before, and the first one is kept"),
        (7, "the grade must be a whole number up to 30, got 31"),
    ]
    assert (judged.read, judged.used) == (7, 2)
    assert judged.read == judged.used + len(judged.rejected)


def test_bad_lines_of_the_queries_are_named_too(write):
    queries = write("q.jsonl", QUERIES + '{nope\n{"id": "q3", "query": " "}\n{"id": "q1", "query": "cup"}\n')
    judged = read_judgements(write("j.qrels", "q1 0 a 3\n"), queries)
    assert [bad.line for bad in judged.bad_queries] == [3, 4, 5]
    assert str(judged.bad_queries[0]).startswith(f"{queries}, line 3: not JSON")
    assert judged.unjudged == ("q2",)


def test_a_query_of_which_nothing_is_seen_is_a_bad_line_as_no_search_takes_it(write):
    queries = write("q.jsonl", QUERIES + '{"id": "q3", "query": "\\u200d"}\n')
    judged = read_judgements(write("j.qrels", "q1 0 a 3\nq3 0 a 1\n"), queries)
    assert [str(bad) for bad in judged.bad_queries] == [
        f"{queries}, line 3: the query is empty: expected at least one word, got '\\u200d'"
    ]
    assert [bad.line for bad in judged.rejected] == [2]


@pytest.mark.parametrize(
    "line",
    ["[]", '{"query": "", "id": "a", "grade": 1}', '{"query": "x", "grade": 1}', '{"query": "x", "id": "a"}',
     '{"query": "<br>", "id": "a", "grade": 1}', '{"query": "\u200d", "id": "a", "grade": 1}',
     '{"query": "x", "id": "a", "grade": true}', '{"query": "x", "id": "a", "grade": 1.5}', b"\xff\xfe"],
)  # fmt: skip
def test_a_line_that_is_no_judgement_is_rejected(write, line):
    good = b'{"query": "kettle", "id": "a", "grade": 1}\n'
    judged = read_judgements(write("j.jsonl", good + (line if isinstance(line, bytes) else line.encode())))
    assert (judged.read, judged.used, [bad.line for bad in judged.rejected]) == (2, 1, [2])


def test_trec_junk_is_irrelevant(write):
    assert read_judgements(write("j", "q1 0 a -2\n"), write("q", QUERIES)).queries[0].grades == {"a": 0}


def test_qrels_without_queries_say_what_is_missing(write):
    with pytest.raises(JudgementError, match="--queries FILE"):
        read_judgements(write("j.qrels", "q1 0 a 3\n"))


@pytest.mark.parametrize("content", ["", "\n\n", "{nope\n"])
def test_a_file_without_any_judgement_cannot_be_used(write, content):
    with pytest.raises(JudgementError, match="not one judgement"):
        read_judgements(write("j.jsonl", content), write("q.jsonl", QUERIES))


def test_a_file_that_is_not_there_or_not_packed_is_named(write, tmp_path):
    with pytest.raises(ShelfwiseError, match="there is no such file"):
        read_judgements(str(tmp_path / "none"))
    with pytest.raises(JudgementError, match="line 1: the file is cut off or damaged"):
        read_judgements(write("j.jsonl.gz", "{nope"), write("q.jsonl", QUERIES))


def test_saved_judgements_read_back_the_same(write):
    judged = read_judgements(write("j.qrels", "q2 0 c 1\nq1 0 a 3\nq1 0 b 0\n"), write("q.jsonl", QUERIES))
    again = Judgements.from_json(judged.to_json())
    assert again.to_json() == judged.to_json()
    assert again.sha256 == judged.sha256
    other = read_judgements(write("j.qrels", "q2 0 c 2\nq1 0 a 3\nq1 0 b 0\n"), write("q.jsonl", QUERIES))
    assert other.sha256 != judged.sha256


def test_the_demos_judgements_are_all_used():
    judged = read_judgements(str(demo_folder() / "judgements.qrels"), str(demo_folder() / "queries.jsonl"))
    assert (len(judged.queries), judged.read, judged.used, judged.unjudged) == (40, 786, 786, ())
