"""`shelfwise evaluate search` on a small shop of its own, on the real server."""

import math
import uuid
from html import escape

import orjson
import pytest

from conftest import delete_indices
from hand_bundle import write_hand_bundle
from hand_index import document, fill
from hand_reranker import write_hand_reranker
from shelfwise.belief import believe_paths
from shelfwise.live_index import live
from shelfwise_indexer import indexed
from shelfwise_indexer.ablation import ORACLE, SHUFFLED, shuffled
from shelfwise_indexer.indexed import read_index
from shelfwise_indexer.judgements import Judgements
from test_cli import NOWHERE, refused_in_one_line, runner

pytestmark = pytest.mark.es

# Two meanings: boiling water, protecting a phone. "boiler" is only known by its meaning.
WORDS = {"case": (1, 0), "cover": (1, 0), "phone": (0.96, 0.28), "kettle": (0, 1), "boiler": (0, 1)}
CASES, KETTLES = ["Cases"], ["Kettles"]
PRODUCTS = [
    {"id": "k1", "title": "Steel kettle", "category": KETTLES},
    {"id": "k2", "title": "Glass kettle", "category": KETTLES},
    {"id": "c1", "title": "Leather phone case", "category": CASES},
    {"id": "c2", "title": "<b>Phone</b> cover", "category": CASES},
]
QUERIES = [
    {"id": "q1", "query": "boiler", "category": "Kettles"},
    {"id": "q2", "query": "phone case", "category": "Cases"},
    {"id": "q3", "query": "steel kettle", "category": "Kettles"},
]
QRELS = "q1 0 k1 2\nq1 0 k2 2\nq1 0 c1 0\nq2 0 c1 3\nq2 0 c2 1\nq3 0 k1 3\nq3 0 k2 1\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_hand_bundle(tmp_path_factory.mktemp("model"), WORDS, [("Cases",), ("Kettles",)])


@pytest.fixture(scope="module")
def shop(client, model):
    name = f"test-{uuid.uuid4().hex[:12]}"
    fill(client, name, model, [document(model, record) for record in PRODUCTS])
    yield name
    delete_indices(client, name)


@pytest.fixture
def evaluated(tmp_path, elasticsearch_url, model, shop):
    """Runs `evaluate search` on the shop; judgements and queries are files of this test's folder."""
    (tmp_path / "judged.qrels").write_text(QRELS)
    (tmp_path / "queries.jsonl").write_bytes(b"\n".join(orjson.dumps(query) for query in QUERIES))

    def run(*more, judgements="judged.qrels", queries="queries.jsonl", url=elasticsearch_url):
        files = ["--judgements", judgements, *(["--queries", queries] if queries else [])]
        where = ["--alias", shop, "--bundle", model.path, "--url", url]
        return runner(tmp_path)("evaluate", "search", *where, *files, *more)

    return run


def test_a_line_a_system_says_what_each_part_is_worth(evaluated):
    ran = evaluated()
    assert ran.status == 0, ran.err
    lines = {line["system"]: line for line in ran.lines}
    assert list(lines) == [
        "BM25",
        "semantic",
        "hybrid",
        "hybrid + category",
        "hybrid + shuffled category",
        "hybrid + oracle category",
    ]
    # No title holds "boiler": BM25 answers two queries of three, meaning answers all.
    assert lines["BM25"]["ndcg@10"] == pytest.approx(2 / 3, abs=1e-4)
    assert lines["BM25"]["zero_results"] == pytest.approx(1 / 3, abs=1e-4)
    assert lines["hybrid"]["ndcg@10"] == 1.0
    assert lines["hybrid"]["minus"]["BM25"]["mean"] == pytest.approx(1 / 3, abs=1e-4)
    assert (lines["semantic"]["hits"], lines["semantic"]["coverage"]) == (12, 1.0)
    assert lines["semantic"]["unjudged"] == 5
    assert 0.0 < lines["semantic"]["diversity"] < 1.0  # of all four products, two of each kind
    assert "7 judgements read: 7 used, 0 rejected; 3 queries judged, 0 without a judgement" in ran.err


def test_the_figures_and_the_page_are_written(evaluated, tmp_path):
    assert evaluated("--out", "proof").status == 0
    figures = orjson.loads((tmp_path / "proof" / "figures.json").read_bytes())
    assert figures["systems"]["hybrid"]["ndcg_of"] == {"q1": 1.0, "q2": 1.0, "q3": 1.0}
    assert figures["about"]["Elasticsearch"]
    page = (tmp_path / "proof" / "search.html").read_text("utf-8")
    assert "wins 1, loses 0, equals 2 of 3 queries" in page
    assert "<b>Phone" not in page


def test_figures_that_could_not_be_written_are_refused_before_anything_is_measured(evaluated, tmp_path):
    (tmp_path / "proof").write_text("mine")
    assert refused_in_one_line(evaluated("--out", "proof", url=NOWHERE), "proof is there and is not a folder")
    (tmp_path / "to" / "figures.json").mkdir(parents=True)
    assert refused_in_one_line(evaluated("--out", "to", url=NOWHERE), "figures.json cannot be written", "with room")


def test_figures_that_cannot_be_compared_are_refused_before_anything_is_measured(evaluated, tmp_path):
    assert evaluated("--no-ablation", "--out", "proof").status == 0
    gate = ["--gate", "proof/figures.json"]
    assert refused_in_one_line(evaluated(*gate, "-k", "5", url=NOWHERE), "holds nDCG@10", "give -k 10")
    assert refused_in_one_line(evaluated(*gate, url=NOWHERE), "at least 5 queries", "figures.json gives 3")


def test_a_table_is_for_people_and_only_two_systems_are_enough(evaluated):
    ran = evaluated("--table", "--no-ablation")
    assert len(ran.out.splitlines()) == 2
    assert ran.out.startswith("BM25 ")
    assert "nDCG@10 0.667" in ran.out


def test_bad_lines_are_named_and_the_rest_is_measured(evaluated, tmp_path):
    (tmp_path / "bad.qrels").write_text(QRELS + "q1 0 k1\nq9 0 k1 2\n")
    ran = evaluated(judgements="bad.qrels")
    assert ran.status == 1
    assert "bad.qrels, line 8: expected four fields" in ran.err
    assert "bad.qrels, line 9: query 'q9' is not among the queries" in ran.err
    assert "9 judgements read: 7 used, 2 rejected" in ran.err
    assert ran.lines[0]["queries"] == 3


def test_json_lines_need_no_queries_and_qrels_do(evaluated, tmp_path):
    (tmp_path / "judged.jsonl").write_text('{"query": "boiler", "id": "k1", "grade": 2}\n')
    assert evaluated(judgements="judged.jsonl", queries=None).lines[0]["queries"] == 1
    assert refused_in_one_line(evaluated(queries=None), "--queries FILE")


def test_judgements_without_a_relevant_product_are_refused(evaluated):
    ran = evaluated("--relevant", "9")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.splitlines()[-1].startswith("shelfwise: no query has a product of grade 9 or more: judge some")


def test_files_or_servers_that_are_not_there_are_one_line(evaluated):
    assert refused_in_one_line(evaluated(judgements="none.qrels"), "none.qrels: there is no such file")
    ran = evaluated(url=NOWHERE)
    assert (ran.status, ran.out) == (2, "")
    assert "nothing answers" in ran.err


def test_queries_of_categories_that_the_taxonomy_lacks_are_said_where_there_is_an_oracle(evaluated, tmp_path):
    queries = [QUERIES[0] | {"category": "Ketles"}, *QUERIES[1:]]
    (tmp_path / "some.jsonl").write_bytes(b"\n".join(orjson.dumps(query) for query in queries))
    ran = evaluated("--out", "proof", queries="some.jsonl")
    said = (
        "1 of 3 query categories are not in the bundle's taxonomy, the first 'Ketles' (closest: Kettles, Cases): "
        "measured with the predicted category"
    )
    assert said in ran.err
    assert ran.lines[-1]["system"] == ORACLE
    figures = orjson.loads((tmp_path / "proof" / "figures.json").read_bytes())
    assert figures["unknown_categories"] == {"named": 3, "unknown": 1, "first": ["Ketles"]}
    assert escape(said) in (tmp_path / "proof" / "search.html").read_text("utf-8")
    assert "query categories" not in evaluated("--no-ablation", queries="some.jsonl").err

    (tmp_path / "none.jsonl").write_bytes(orjson.dumps(queries[0]))
    ran = evaluated(queries="none.jsonl")
    assert "1 of 1 query categories" in ran.err
    assert ": there is no oracle\n" in ran.err
    assert ran.lines[-1]["system"] == SHUFFLED


def test_a_query_of_which_nothing_is_seen_costs_its_line_and_no_more(evaluated, tmp_path):
    with (tmp_path / "queries.jsonl").open("ab") as file:
        file.write(b'\n{"id": "q4", "query": "\\u200d"}\n')
    ran = evaluated("--no-ablation", "--out", "proof")
    assert (ran.status, len(ran.lines)) == (1, 2)
    assert "queries.jsonl, line 4: the query is empty" in ran.err
    assert (tmp_path / "proof" / "figures.json").exists()


def test_an_oracle_needs_queries_that_name_their_category(evaluated, tmp_path):
    (tmp_path / "judged.jsonl").write_text('{"query": "boiler", "id": "k1", "grade": 2}\n')
    assert [line["system"] for line in evaluated(judgements="judged.jsonl", queries=None).lines][-1] == SHUFFLED


def test_a_reranker_is_a_row_of_its_own_and_leaves_the_others_as_they_were(evaluated, tmp_path):
    reranker = write_hand_reranker(tmp_path / "reranker", {"boiler": (1,), "leather": (9,)})
    without = evaluated().lines
    ran = evaluated("--rerank", "10", "--reranker", "reranker", "--out", "proof")
    assert ran.status == 0, ran.err
    *others, line = ran.lines
    assert line["system"] == "hybrid + category + rerank"
    assert [one["ndcg@10"] for one in others] == [one["ndcg@10"] for one in without]
    # To `boiler` it puts a leather case (grade 0) before the two kettles (grade 2, gain 3).
    boiler = (3 / math.log2(3) + 3 / 2) / (3 + 3 / math.log2(3))
    assert line["ndcg@10"] == pytest.approx((2 + boiler) / 3, abs=1e-4)
    assert line["minus"]["hybrid + category"]["mean"] < 0
    assert "rerank minus hybrid + category" in (tmp_path / "proof" / "search.html").read_text("utf-8")
    short = evaluated("--no-ablation", "--rerank", "10", "--reranker", reranker.path)
    assert [one["system"] for one in short.lines] == ["BM25", "hybrid + category", "hybrid + category + rerank"]
    assert refused_in_one_line(evaluated("--rerank", "10"), "needs --reranker FOLDER")


def test_judged_products_that_the_index_lacks_are_counted(evaluated, tmp_path):
    (tmp_path / "other.qrels").write_text(QRELS + "q1 0 z1 2\nq2 0 z1 2\nq3 0 z2 2\n")
    ran = evaluated("--no-ablation", "--out", "proof", judgements="other.qrels")
    assert "2 of 6 judged products are not in test-" in ran.err
    assert orjson.loads((tmp_path / "proof" / "figures.json").read_bytes())["judged_not_in_index"] == 2
    assert "are not in" not in evaluated("--no-ablation").err


def test_what_a_shop_sets_is_what_is_measured(evaluated, tmp_path):
    (tmp_path / "synonyms.txt").write_text("boiler => glass kettle\n")
    (tmp_path / "fusion.json").write_text('{"bias": 9.0, "digits": 0.0, "length": 0.0}')
    plain = evaluated().lines
    ran = evaluated("--synonyms", "synonyms.txt", "--fusion", "fusion.json", "--all-variants", "--any-stock")
    assert ran.status == 0, ran.err
    assert plain[0]["zero_results"] > ran.lines[0]["zero_results"] == 0.0
    assert refused_in_one_line(evaluated("--fusion", "none.json"), "none.json cannot be read")


def test_shuffling_keeps_how_sure_the_classifier_is_and_is_the_same_each_time(model):
    queries = Judgements.from_json(
        [{"id": str(n), "query": "kettle", "category": None, "grades": {"a": 1}} for n in range(20)]
    ).queries
    first, again = shuffled(model, queries), shuffled(model, queries)
    assert first == again
    [sure] = {max(probabilities.values()) for probabilities in first.values()}
    assert sure > 0.99
    leaves = {max(probabilities, key=probabilities.get) for probabilities in first.values()}
    assert leaves == {("Cases",), ("Kettles",)}


def test_shuffled_probabilities_of_several_labels_are_what_a_search_takes(tmp_path):
    bundle = write_hand_bundle(tmp_path / "b", {"both": (1.0, 1.0)}, [("A",), ("B",)], label_thresholds=[0.5, 0.5])
    assert bundle.encoder.encode_queries(["both"]).probabilities.sum() > 1.9
    judged = [{"id": "1", "query": "both", "category": None, "grades": {"a": 1}}]
    [probabilities] = shuffled(bundle, Judgements.from_json(judged).queries).values()
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-6)
    assert believe_paths(bundle.taxonomy, probabilities).steps


def test_what_stands_beside_products_is_measured(shop, tmp_path, elasticsearch_url):
    ran = runner(tmp_path)("evaluate", "similar", "--alias", shop, "--url", elasticsearch_url, "-k", "1")
    assert ran.status == 0, ran.err
    [line] = ran.lines
    assert (line["products"], line["asked"], line["filled"], line["coverage"]) == (4, 4, 1.0, 1.0)
    assert (line["same_category"], line["nearest"], line["duplicates"]) == (1.0, 1.0, 0)


def test_an_index_is_read_back_page_by_page(client, shop, model, monkeypatch):
    whole = read_index(client, live(client, shop).name)
    monkeypatch.setattr(indexed, "PAGE", 2)
    paged = read_index(client, live(client, shop).name)
    assert sorted(hit.id for hit in paged.hits) == sorted(hit.id for hit in whole.hits) == ["c1", "c2", "k1", "k2"]
    vectors = {hit.id: vector for hit, vector in zip(paged.hits, paged.vectors, strict=True)}
    assert vectors["k1"] == pytest.approx(model.encoder.encode_documents(["Steel kettle"]).vectors[0], abs=1e-6)
