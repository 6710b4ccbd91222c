"""Baselines: each on the split that train makes, scored as train scores."""

from pathlib import Path

import numpy as np
import orjson
import pytest

from hand_bundle import write_hand_bundle
from shelfwise.bundle import Bundle
from shelfwise_indexer import baselines
from shelfwise_indexer.baselines import Task, compare
from shelfwise_indexer.catalogue import CatalogueError, file_hash
from shelfwise_indexer.evaluate import LevelScores, Scores
from shelfwise_indexer.model import BackboneError
from shelfwise_indexer.preparation import PreparationSettings, TrainingError, parts, read_labelled
from shelfwise_indexer.settings import TrainSettings
from test_cli import runner_here
from tiny_backbone import write_tiny_backbone

pytestmark = pytest.mark.model

COLOURS = ["red", "blue", "green", "black", "white", "pink", "grey", "gold", "teal", "plum"]
NAMES = {
    ("Kitchen", "Mugs"): "mug for hot coffee",
    ("Kitchen", "Kettles"): "kettle for boiling water",
    ("Phones", "Cases"): "case around your phone",
}
PRODUCTS = [
    {"id": f"{path[1]}-{colour}", "title": f"{colour} {name} {n * 7919}", "category": list(path)}
    for path, name in NAMES.items()
    for n, colour in enumerate(COLOURS)
]
TASK = Task(
    texts=["red mug", "blue mug", "tall mug", "red kettle", "blue kettle"],
    labels=np.array([0, 0, 0, 1, 1]),
    held_back=["green kettle", "green mug"],
    classes=3,
    seed=0,
    ideographic=False,
)


def write(file: Path, products) -> Path:
    file.write_bytes(b"\n".join(orjson.dumps(product) for product in products))
    return file


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("baselines")
    catalogue = write(folder / "train.jsonl", PRODUCTS)
    asked = [{"id": "v1", "title": "silver mug for coffee", "category": ["Kitchen", "Mugs"]}]
    asked += [
        {"id": "v2", "title": "silver case for a phone", "categories": [["Gifts", "For him"], ["Phones", "Cases"]]}
    ]
    validation = write(folder / "validation.jsonl", asked)
    backbone = write_tiny_backbone(folder / "tiny", [product["title"] for product in PRODUCTS])
    return catalogue, validation, str(backbone)


def test_majority_always_gives_the_most_common_class():
    assert baselines.majority(TASK).tolist() == [[1, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    "baseline",
    [
        baselines.keyword_rules,
        baselines.decision_tree,
        baselines.tf_idf_svc("words"),
        baselines.tf_idf_svc("stems"),
        baselines.tf_idf_svc("words", "characters"),
    ],
)
def test_a_word_that_only_one_class_has_decides(baseline):
    assert baseline(TASK).tolist() == [[0, 1, 0], [1, 0, 0]]


def test_every_row_is_of_one_split_and_each_level(files):
    catalogue, validation, backbone = files
    compared = compare(catalogue, validation, seed=3, backbone=backbone, kinds=["stems"]).to_json()
    names = [row["name"] for row in compared["rows"]]
    assert names == [
        "majority class",
        "keyword rules",
        "decision tree on TF-IDF",
        "TF-IDF of words + LinearSVC",
        "TF-IDF of characters + LinearSVC",
        "TF-IDF of stems + LinearSVC",
        "TF-IDF of words and characters + LinearSVC",
        "frozen embedding + logistic regression",
    ]
    assert {name: compared["split"][name] for name in ("seed", "trained_on", "held_back", "leaves")} == {
        "seed": 3,
        "trained_on": 30,
        "held_back": 2,
        "leaves": 3,
    }
    assert all([level["level"] for level in row["levels"]] == [1, 2] for row in compared["rows"])


def test_a_product_under_several_paths_is_right_under_any_of_them(files):
    catalogue, validation, backbone = files
    rows = {row.name: row.scores for row in compare(catalogue, validation, backbone=backbone).rows}
    assert rows["TF-IDF of words + LinearSVC"].levels[1].accuracy == 1
    assert rows["majority class"].levels[0].accuracy == 0.5  # Kitchen > Kettles: the root of v1 is right


def test_without_validation_the_held_back_part_is_the_one_of_train(files):
    catalogue, _, backbone = files
    compared = compare(catalogue, seed=5, backbone=backbone)
    train_part, held_back = parts(read_labelled(catalogue), None, ("title", "description"), 5)
    assert (compared.split["trained_on"], compared.split["held_back"]) == (len(train_part), len(held_back))
    assert {row.scores.products for row in compared.rows} == {len(held_back)}


def test_a_bundle_is_the_last_row_and_one_of_other_data_is_said(files, tmp_path, capsys):
    catalogue, validation, backbone = files
    words = {"kettle": (1, 0, 0), "mug": (0, 1, 0), "case": (0, 0, 1)}
    bundle = write_hand_bundle(tmp_path / "bundle", words, list(NAMES))
    compared = compare(catalogue, validation, backbone=backbone, bundle=bundle)
    assert compared.rows[-1].name == f"bundle {bundle.version}"
    assert [level.accuracy for level in compared.rows[-1].scores.levels] == [1, 1]
    assert "may have seen the held-back part" in capsys.readouterr().err


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A bundle as if it had been trained on a catalogue, and one baseline beside it."""
    monkeypatch.setattr(baselines, "_baselines", lambda task, *_: iter([("majority class", baselines.majority)]))
    words = {"kettle": (1, 0, 0), "mug": (0, 1, 0), "case": (0, 0, 1)}
    made = write_hand_bundle(tmp_path / "bundle", words, list(NAMES))

    def trained_on(catalogue, settings):
        data = {"sha256": file_hash(catalogue), "used_held_back": True}
        metrics = Scores(99, (LevelScores(1, 1.0, 1.0, 1.0, 2),)).to_json()
        told = {"settings": orjson.loads(orjson.dumps(settings)), "data": data, "metrics": metrics}
        return Bundle(made.path, {**made.info, **told}, made.taxonomy)

    return trained_on


def test_what_the_bundle_left_out_is_left_out_for_every_row(bundle, tmp_path):
    twice = [PRODUCTS[0], {**PRODUCTS[0], "id": "again", "category": ["Phones", "Cases"]}]
    catalogue = write(tmp_path / "c.jsonl", [*twice, *PRODUCTS[1:]])
    settings = TrainSettings(preparation=PreparationSettings(conflicts="drop"))
    split = compare(catalogue, bundle=bundle(catalogue, settings)).split
    assert split["trained_on"] + split["held_back"] == len(PRODUCTS) - 1


def test_a_bundle_that_held_back_a_part_of_its_own_is_measured_on_the_validation_file(files, bundle):
    catalogue, validation, _ = files
    compared = compare(catalogue, validation, bundle=bundle(catalogue, TrainSettings()))
    assert [row.scores.products for row in compared.rows] == [2, 2]


def test_a_bundle_that_had_a_validation_file_has_learnt_what_is_held_back_here(files, bundle, capsys):
    catalogue, _, _ = files
    given = bundle(catalogue, TrainSettings())
    given.info["data"].update({"used_held_back": False, "products": len(PRODUCTS)})
    compare(catalogue, bundle=given)
    assert "a validation file" in capsys.readouterr().err


def test_a_backbone_that_is_not_there_is_refused_before_anything_is_measured(files, tmp_path, capsys):
    with pytest.raises(BackboneError, match="nothing cannot be loaded"):
        compare(files[0], files[1], backbone=str(tmp_path / "nothing"))
    assert "majority class" not in capsys.readouterr().err


def test_one_category_only_is_refused(tmp_path):
    one = write(tmp_path / "one.jsonl", [product for product in PRODUCTS if product["category"][1] == "Mugs"])
    with pytest.raises(TrainingError, match="all products are in Kitchen > Mugs"):
        compare(one)


def test_a_catalogue_of_which_nothing_can_be_held_back_asks_for_a_validation_file(tmp_path):
    few = write(tmp_path / "few.jsonl", [PRODUCTS[0], PRODUCTS[10]])
    with pytest.raises(TrainingError, match="--validation"):
        compare(few)


def test_text_fields_without_a_word_are_refused(files):
    with pytest.raises(TrainingError, match="no word in material"):
        compare(files[0], files[1], ["material"])


def test_the_table_has_a_line_a_row_below_its_heads(files):
    catalogue, validation, backbone = files
    head, first, *others = compare(catalogue, validation, backbone=backbone).table()
    assert head.split() == [
        *["level", "1:", "acc,", "wF1,", "mF1"],
        *["level", "2:", "acc,", "wF1,", "mF1", "mean", "wF1", "seconds"],
    ]
    assert first.startswith("majority class ")
    assert len(others) == 6


def test_the_command_prints_one_object_and_writes_it(files, tmp_path):
    catalogue, validation, backbone = files
    options = ("--validation", validation, "--backbone", backbone, "--out", "rows.json")
    ran = runner_here(tmp_path)("evaluate", "baselines", catalogue, *options)
    assert ran.status == 0
    assert ran.lines == [orjson.loads((tmp_path / "rows.json").read_bytes())]
    assert "majority class: mean weighted F1" in ran.err


def test_rows_that_cannot_be_written_are_printed(files, tmp_path):
    ran = runner_here(tmp_path)(
        "evaluate", "baselines", files[0], "--validation", files[1], "--backbone", files[2], "--out", "none/rows.json"
    )
    assert (ran.status, len(ran.lines)) == (2, 1)
    assert "none/rows.json cannot be written" in ran.err.splitlines()[-1]


@pytest.mark.parametrize("place", [0, 1])
def test_standard_input_which_is_read_once_is_refused_before_it_is_read(files, place):
    given = [*files[:2]]
    given[place] = "-"
    with pytest.raises(CatalogueError, match="a file is needed here"):
        compare(*given)


def test_rejected_lines_of_both_files_make_the_status_1(files, tmp_path):
    for name, file in zip(("train.jsonl", "test.jsonl"), files, strict=False):
        (tmp_path / name).write_bytes(file.read_bytes() + b"\n{nope")
    ran = runner_here(tmp_path)("evaluate", "baselines", "train.jsonl", "--validation", "test.jsonl")
    assert ran.status == 1
    assert [line["rejected"] for line in ran.lines] == [2]
    assert "train.jsonl, line 31: not JSON" in ran.err
    assert "test.jsonl, line 3: not JSON" in ran.err
