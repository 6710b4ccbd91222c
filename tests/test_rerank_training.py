"""Training a reranker on judgements, on a tiny backbone, and its command lines."""

import math

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.errors import UsageError
from shelfwise.reranker import Reranker
from shelfwise_indexer.catalogue import CatalogueError
from shelfwise_indexer.cross_encoder import begin_cross_encoder
from shelfwise_indexer.judgements import JudgementError, Judgements, read_judgements
from shelfwise_indexer.rerank_fit import RerankFitSettings, fit_reranker, label_scale, rerank_ndcg
from shelfwise_indexer.rerank_lists import JudgedList, hold_back, read_lists
from shelfwise_indexer.rerank_training import RerankSettings, train_reranker
from test_cli import refused_in_one_line, runner_here
from test_good_rows import cut_off
from tiny_backbone import write_tiny_backbone
from tiny_cross_encoder import write_tiny_cross_encoder

COLOURS = ["red", "blue", "green", "black", "white", "pink"]
THINGS = ["mug", "kettle", "case", "lamp"]
# A product answers a query that names its thing; in that colour it is the best answer.
PRODUCTS = [{"id": f"{colour}-{thing}", "title": f"{colour} {thing}"} for colour in COLOURS for thing in THINGS]
QUERIES = [f"{colour} {thing}" for colour in COLOURS for thing in THINGS]


def grade(query, title):
    return sum(word in query.split() for word in title.split()) * 2


JUDGED = [
    {"query": query, "id": product["id"], "grade": grade(query, product["title"])}
    for query in QUERIES
    for product in PRODUCTS
]
LISTS = [
    JudgedList(query, tuple(one["title"] for one in PRODUCTS), tuple(grade(query, one["title"]) for one in PRODUCTS))
    for query in QUERIES
]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return str(write_tiny_backbone(tmp_path_factory.mktemp("tiny") / "backbone", [*COLOURS, *THINGS]))


@pytest.fixture
def files(tmp_path):
    (tmp_path / "judged.jsonl").write_bytes(b"\n".join(orjson.dumps(row) for row in JUDGED))
    (tmp_path / "catalogue.jsonl").write_bytes(b"\n".join(orjson.dumps(row) for row in PRODUCTS))
    return tmp_path


@given(names=st.lists(st.text("abAB", min_size=1, max_size=3), min_size=1), share=st.floats(0.01, 0.5))
def test_no_query_is_in_both_parts_and_all_are_in_one(names, share):
    lists = [JudgedList(name, ("t",), (1,)) for name in names]
    train, held_back = hold_back(lists, share, seed=0)
    assert sorted(one.query for one in (*train, *held_back)) == sorted(names)
    assert not {one.query.casefold() for one in train} & {one.query.casefold() for one in held_back}
    assert train


def test_a_tenth_of_the_queries_is_held_back_by_the_seed():
    lists = [JudgedList(f"q{n}", ("t",), (1,)) for n in range(40)]
    first, again, other = (hold_back(lists, 0.1, seed)[1] for seed in (0, 0, 1))
    assert len(first) == 4
    assert first == again != other


def test_labels_are_shares_of_the_best_grade_or_aim_at_the_gain():
    assert label_scale("bce", 4) == 0.25
    aim = np.exp(label_scale("list", 4) * np.array([0, 1, 3]))
    assert aim == pytest.approx([1, 2, 8])
    assert label_scale("lambda", 4) == 1


class TestLists:
    def read(self, files, backbone, fields=("title",), catalogue="catalogue.jsonl"):
        tokenizer = begin_cross_encoder(backbone, 16).tokenizer.backend_tokenizer
        judged = read_judgements(str(files / "judged.jsonl"))
        return read_lists(judged, str(files / catalogue), fields, tokenizer, 16)

    @pytest.mark.model
    def test_judgements_get_the_texts_of_the_catalogue(self, files, backbone):
        read = self.read(files, backbone)
        assert (len(read.lists), read.pairs, read.missing) == (24, 576, 0)
        assert read.lists == tuple(LISTS)

    @pytest.mark.model
    def test_products_that_the_catalogue_lacks_are_counted(self, files, backbone):
        with (files / "judged.jsonl").open("ab") as file:
            file.write(b'\n{"query": "red mug", "id": "gone", "grade": 1}\n{"query": "only", "id": "gone", "grade": 1}')
        read = self.read(files, backbone)
        assert (len(read.lists), read.missing) == (24, 2)

    @pytest.mark.model
    def test_a_catalogue_that_is_cut_off_is_refused(self, files, backbone):
        cut_off(files)
        with pytest.raises(CatalogueError, match="the file is cut off"):
            self.read(files, backbone, catalogue="half.jsonl.gz")

    @pytest.mark.model
    def test_what_teaches_nothing_is_refused(self, files, backbone):
        (files / "judged.jsonl").write_text('{"query": "mug", "id": "red-mug", "grade": 3}\n')
        with pytest.raises(JudgementError, match="every judged product has the same grade"):
            self.read(files, backbone)
        (files / "judged.jsonl").write_text('{"query": "mug", "id": "gone", "grade": 3}\n')
        with pytest.raises(JudgementError, match="has none of the 1 judged products"):
            self.read(files, backbone)


@pytest.mark.model
def test_the_measure_is_ndcg_of_the_models_order(backbone):
    class Backwards:
        def predict(self, pairs, **_):
            return np.array([-grade(*pair) for pair in pairs])

    both = JudgedList("red mug", ("red mug", "blue lamp"), (4, 0))
    assert rerank_ndcg(Backwards(), [both]) == pytest.approx(1 / math.log2(3))


@pytest.mark.model
@pytest.mark.parametrize("loss", ["bce", "list", "lambda"])
def test_every_loss_teaches_a_better_order_of_queries_that_it_never_saw(backbone, loss):
    train, held_back = LISTS[4:], LISTS[:4]
    model = begin_cross_encoder(backbone, 16)
    settings = RerankFitSettings(loss=loss, epochs=3, learning_rate=2e-3, bf16=False)
    before = rerank_ndcg(model, held_back)
    best = fit_reranker(model, train, held_back, settings)
    assert best == pytest.approx(rerank_ndcg(model, held_back))
    assert best > before


@pytest.mark.model
def test_a_training_gives_a_reranker_that_is_the_same_again(files, backbone, tmp_path, capfd):
    judged = read_judgements(str(files / "judged.jsonl"))
    settings = RerankSettings(backbone, max_tokens=16, fit=RerankFitSettings(epochs=2, learning_rate=2e-3, bf16=False))
    trained = train_reranker(judged, files / "catalogue.jsonl", tmp_path / "one", settings)
    assert (trained.queries, trained.held_back, trained.pairs, trained.missing) == (22, 2, 576, 0)
    said = capfd.readouterr()
    assert said.out == ""
    assert "22 queries, 2 queries held back" in said.err
    assert "held-back nDCG@10" in said.err
    reranker = Reranker(tmp_path / "one")
    assert reranker.info["data"]["sha256"] == judged.sha256
    assert reranker.info["settings"]["fit"]["loss"] == "list"
    again = train_reranker(judged, files / "catalogue.jsonl", tmp_path / "two", settings)
    assert again.version == trained.version == reranker.version
    assert {path.name for path in tmp_path.iterdir()} >= {"one", "two"}
    assert not list(tmp_path.glob(".*"))


@pytest.mark.model
def test_of_several_processes_each_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    judged = Judgements((), 0, 0, ())
    with pytest.raises(UsageError, match="trained by one process, this is one of 2"):
        train_reranker(judged, "none.jsonl", tmp_path / "out")


@pytest.mark.model
class TestCommandLine:
    def test_train_then_export_its_checkpoint(self, files, backbone):
        run = runner_here(files)
        common = ["--catalogue", "catalogue.jsonl", "--backbone", backbone, "--epochs", 1, "--max-tokens", 16]
        ran = run("rerank", "train", "judged.jsonl", *common, "--out", "reranker", "--blend", 0.5)
        assert ran.status == 0, ran.err
        [line] = ran.lines
        assert (line["reranker"], line["queries"], line["held_back"], line["missing"]) == ("reranker", 22, 2, 0)
        assert 0 < line["ndcg"] <= 1
        assert "576 judgements read: 576 used" in ran.err
        assert Reranker(files / "reranker").blend == 0.5
        options = ["--out", "again", "--max-tokens", 16, "--blend", 0.5]
        ran = run("rerank", "export", "reranker/checkpoint", *options)
        assert ran.status == 0, ran.err
        assert ran.lines == [{"reranker": "again", "version": line["version"], "max_tokens": 16}]

    def test_a_cross_encoder_is_exported_and_a_backbone_is_refused(self, tmp_path, backbone):
        write_tiny_cross_encoder(tmp_path / "model", COLOURS)
        run = runner_here(tmp_path)
        ran = run("rerank", "export", "model", "--out", "reranker", "--text-fields", "title,color:4")
        assert ran.status == 0, ran.err
        assert ran.lines[0]["max_tokens"] == 64
        assert Reranker(tmp_path / "reranker").text_fields == ("title", "color:4")
        refused = run("rerank", "export", backbone, "--out", "r")
        assert (refused.status, refused.out) == (2, "")
        assert "was never trained to score pairs" in refused.err.splitlines()[-1]

    def test_what_cannot_be_is_one_line(self, files):
        run = runner_here(files)
        assert refused_in_one_line(run("rerank", "train", "none.jsonl", "--catalogue", "c", "--out", "r"), "none.jsonl")
        (files / "full").mkdir()
        (files / "full" / "notes").write_text("mine")
        ran = run("rerank", "train", "judged.jsonl", "--catalogue", "catalogue.jsonl", "--out", "full")
        assert ran.status == 2
        assert "full is there and is not a reranker" in ran.err.splitlines()[-1]
        common = ("--catalogue", "catalogue.jsonl", "--out", "r")
        ran = run("rerank", "train", "judged.jsonl", *common, "--text-fields", ",")
        assert "--text-fields names no field" in ran.err.splitlines()[-1]

    def test_bad_judgements_are_named_and_the_rest_is_learnt(self, files, backbone):
        with (files / "judged.jsonl").open("ab") as file:
            file.write(b"\n{nope")
        ran = runner_here(files)(
            *("rerank", "train", "judged.jsonl", "--catalogue", "catalogue.jsonl", "--out", "r"),
            *("--backbone", backbone, "--epochs", 1, "--max-tokens", 16),
        )
        assert ran.status == 1
        assert "judged.jsonl, line 577: not JSON" in ran.err
        assert len(ran.lines) == 1

    def test_a_rejected_line_of_the_catalogue_is_named_and_the_rest_is_learnt(self, files, backbone):
        with (files / "catalogue.jsonl").open("ab") as file:
            file.write(b"\n{nope")
        ran = runner_here(files)(
            *("rerank", "train", "judged.jsonl", "--catalogue", "catalogue.jsonl", "--out", "r"),
            *("--backbone", backbone, "--epochs", 1, "--max-tokens", 16),
        )
        assert (ran.status, ran.lines[0]["rejected"]) == (1, 1)
        assert "catalogue.jsonl, line 25: not JSON" in ran.err
