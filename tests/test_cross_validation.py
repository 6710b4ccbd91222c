"""Cross-validation and tuning on a tiny BERT: every product is held back once, and an interruption costs nothing."""

from dataclasses import replace
from types import SimpleNamespace

import optuna
import orjson
import pytest

from shelfwise.errors import UsageError
from shelfwise_indexer import cross_validation, tuning
from shelfwise_indexer.catalogue import CatalogueError
from shelfwise_indexer.config import read_config, show_config
from shelfwise_indexer.cross_validation import CrossValidated, cross_validate
from shelfwise_indexer.evaluate import LevelScores, Scores
from shelfwise_indexer.fit import FitSettings
from shelfwise_indexer.preparation import TrainingError
from shelfwise_indexer.settings import TrainSettings
from shelfwise_indexer.tuning import tried, tune
from test_cli import runner_here
from test_good_rows import cut_off
from tiny_backbone import write_tiny_backbone

pytestmark = pytest.mark.model

KINDS = {"Kettles": ["steel", "glass", "travel", "tall"], "Tents": ["dome", "family", "tunnel", "trekking"]}


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    lines = [
        {"id": f"{kind}{word}{size}", "title": f"{size} {word} {kind.lower()[:-1]}", "category": ["All", kind]}
        for kind, words in KINDS.items()
        for word in words
        for size in ("large", "small", "light", "cheap")
    ]
    path = tmp_path_factory.mktemp("catalogue") / "catalogue.jsonl"
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def settings(tmp_path_factory, catalogue):
    texts = [orjson.loads(line)["title"] for line in catalogue.read_bytes().splitlines()]
    backbone = write_tiny_backbone(tmp_path_factory.mktemp("backbone") / "tiny", texts)
    fit = FitSettings(epochs=1, batch_size=8, learning_rate=1e-3, head_learning_rate=5e-3)
    return TrainSettings(backbone=str(backbone), max_tokens=16, retention=0.5, fit=fit)


def test_every_product_is_held_back_once_and_a_second_call_trains_nothing(catalogue, settings, tmp_path, capsys):
    first = cross_validate(catalogue, tmp_path, settings, k=2)
    assert sum(fold.products for fold in first.folds) == 32
    held = [orjson.loads(line)["id"] for n in (0, 1) for line in (tmp_path / f"{n}-held-back.jsonl").open("rb")]
    assert len(held) == len(set(held)) == 32
    capsys.readouterr()
    assert cross_validate(catalogue, tmp_path, settings, k=2) == first
    assert "training on" not in capsys.readouterr().err


def test_a_folder_of_another_catalogue_or_other_settings_is_refused(catalogue, settings, tmp_path):
    cross_validate(catalogue, tmp_path, settings, k=2)
    other = tmp_path / "other.jsonl"
    other.write_bytes(catalogue.read_bytes().replace(b"cheap", b"dear"))
    for given, asked, k in (
        (other, settings, 2),
        (catalogue, replace(settings, max_tokens=12), 2),
        (catalogue, settings, 3),
    ):
        with pytest.raises(UsageError, match="another catalogue, other settings or another number of folds"):
            cross_validate(given, tmp_path, asked, k)


def test_products_of_one_title_are_never_on_both_sides_of_a_fold(settings, tmp_path, monkeypatch):
    lines = [
        {
            "id": f"{n}-{side}",
            "title": f"{kind} model {n * 7919} brushed finish",
            "description": f"{side} {n * 104_729} as {side} as it gets",
            "category": ["All", kind],
        }
        for n in range(50)
        for kind in KINDS
        for side in ("cheap", "sturdy")
    ]
    catalogue = tmp_path / "catalogue.jsonl"
    catalogue.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    sides = []

    def look(learn, out, hold, settings):
        sides.append([{orjson.loads(line)["title"] for line in path.open("rb")} for path in (learn, hold)])
        return SimpleNamespace(scores=Scores(1, (LevelScores(1, 1.0, 1.0, 1.0, 2),)))

    monkeypatch.setattr(cross_validation, "train", look)
    cross_validate(catalogue, tmp_path / "folds", settings, k=2)
    assert [titles & held_back for titles, held_back in sides] == [set(), set()]


@pytest.mark.parametrize("command", [("cross-validate", "-k", 2), ("tune", "--trials", 1, "--out", "best.toml")])
def test_a_rejected_line_is_said_and_makes_the_status_1(command, catalogue, draws, tmp_path):
    (tmp_path / "shop.jsonl").write_bytes(catalogue.read_bytes() + b"{nope\n")
    name, *options = command
    ran = runner_here(tmp_path)(name, "shop.jsonl", "--work", "work", *options)
    assert (ran.status, ran.lines[0]["rejected"]) == (1, 1)
    assert ran.err.startswith("shop.jsonl, line 33: not JSON")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("run", [cross_validate, tune])
def test_a_folder_for_the_work_that_is_a_file_is_refused(run, catalogue, draws, tmp_path):
    (tmp_path / "work").write_text("mine")
    with pytest.raises(UsageError, match="work is there and is not a folder: give --work"):
        run(catalogue, tmp_path / "work")


@pytest.mark.parametrize("run", [cross_validate, tune])
def test_a_catalogue_that_is_cut_off_is_refused(run, draws, tmp_path):
    with pytest.raises(CatalogueError, match="the file is cut off"):
        run(cut_off(tmp_path), tmp_path / "work")
    assert not list((tmp_path / "work").iterdir())


def test_too_few_products_apart_for_so_many_folds_train_nothing(settings, draws, tmp_path):
    few = [{"id": str(n), "title": f"steel thing {n} of {n * 7}", "category": ["ABCD"[n % 4]]} for n in range(8)]
    path = tmp_path / "few.jsonl"
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in few))
    with pytest.raises(TrainingError, match=r"few.jsonl: \d of 9 folds would hold back nothing.* fewer --folds"):
        cross_validate(path, tmp_path / "work", settings, k=9)
    assert not draws.settings


def test_one_fold_is_no_cross_validation(catalogue, settings, tmp_path):
    with pytest.raises(UsageError, match="folds must be at least 2"):
        cross_validate(catalogue, tmp_path, settings, k=1)


def test_mean_and_standard_deviation_over_the_folds():
    folds = [Scores(10, (LevelScores(1, accuracy, accuracy, accuracy, 2),)) for accuracy in (0.5, 0.7)]
    told = CrossValidated(tuple(folds)).to_json()
    assert told["mean_weighted_f1"] == {"mean": 0.6, "sd": pytest.approx(0.1414)}
    assert (told["folds"], told["products"], told["levels"][0]["accuracy"]["mean"]) == (2, 20, 0.6)


def test_a_search_starts_from_what_it_must_beat_and_goes_on_where_it_was(catalogue, settings, tmp_path):
    first = tune(catalogue, tmp_path / "trials", settings=settings, trials=2)
    assert first.trials == 2
    again = tune(catalogue, tmp_path / "trials", settings=settings, trials=3)
    assert again.trials == 3
    assert again.score >= first.score
    path = tmp_path / "best.toml"
    path.write_text(show_config(again.settings))
    assert read_config(path) == again.settings


@pytest.fixture
def draws(monkeypatch):
    """What each trial or fold is to train with; it has the scores, 0.5, or raises the next outcome."""
    drawn = SimpleNamespace(settings=[], retentions=set(), outcomes=[])
    drawn.scores = Scores(1, (LevelScores(1, 0.5, 0.5, 0.5, 2),))

    def score(catalogue, out, validation, settings, on_epoch=None):
        drawn.settings.append((settings.fit.learning_rate, settings.dropout))
        drawn.retentions.add(settings.retention)
        if drawn.outcomes and (outcome := drawn.outcomes.pop(0)):
            raise outcome
        return SimpleNamespace(scores=drawn.scores)

    monkeypatch.setattr(tuning, "train", score)
    monkeypatch.setattr(cross_validation, "train", score)
    return drawn


def test_a_second_call_draws_other_trials_than_the_first(catalogue, settings, draws, tmp_path):
    tune(catalogue, tmp_path, settings=settings, trials=3)
    tune(catalogue, tmp_path, settings=settings, trials=6)
    assert len(set(draws.settings)) == len(draws.settings) == 6


@pytest.mark.parametrize("error", [TrainingError("all products are in Mugs"), KeyboardInterrupt()])
def test_a_trial_that_did_not_end_is_made_again_and_said_once(error, catalogue, settings, draws, tmp_path, capfd):
    draws.outcomes = [error]
    with pytest.raises(type(error)):
        tune(catalogue, tmp_path, settings=settings, trials=2)
    assert "Traceback" not in capfd.readouterr().err
    assert tune(catalogue, tmp_path, settings=settings, trials=2).trials == 2
    as_they_are = (settings.fit.learning_rate, settings.dropout)
    assert draws.settings[:2] == [as_they_are, as_they_are]
    assert len(draws.settings) == 3


def test_a_search_that_can_hold_nothing_back_ends_at_once(catalogue, settings, draws, tmp_path):
    draws.scores = Scores(0, ())
    with pytest.raises(TrainingError, match=r"nothing can be held back.* give a --validation catalogue"):
        tune(catalogue, tmp_path, settings=settings, trials=5)
    assert len(draws.settings) == 1


def test_a_trial_that_is_pruned_leaves_no_checkpoint(catalogue, settings, tmp_path, monkeypatch):
    told = []

    def prune(trial):
        told.append(list(tmp_path.glob(".trial-*")))
        return len(told) > 1

    monkeypatch.setattr(optuna.Trial, "should_prune", prune)
    longer = replace(settings, fit=replace(settings.fit, epochs=3))
    with pytest.raises(UsageError, match="ran to its end"):
        tune(catalogue, tmp_path, settings=longer, trials=1)
    assert told[1]  # there was one
    assert not list(tmp_path.glob(".trial-*"))


def test_a_search_for_another_catalogue_or_other_settings_needs_a_folder_of_its_own(
    catalogue, settings, draws, tmp_path
):
    tune(catalogue, tmp_path / "trials", settings=settings, trials=1)
    other = tmp_path / "other.jsonl"
    other.write_bytes(catalogue.read_bytes().replace(b"cheap", b"dear"))
    for given, asked in ((other, settings), (catalogue, replace(settings, max_tokens=12))):
        with pytest.raises(UsageError, match="another catalogue or other settings"):
            tune(given, tmp_path / "trials", settings=asked, trials=2)


def test_a_search_of_which_nothing_counts_is_no_hindrance(catalogue, settings, draws, tmp_path):
    draws.outcomes = [TrainingError("all products are in Mugs")]
    with pytest.raises(TrainingError):
        tune(catalogue, tmp_path, settings=settings, trials=1)
    assert tune(catalogue, tmp_path, settings=replace(settings, max_tokens=12), trials=1).trials == 1


def test_a_search_of_which_nothing_ran_to_its_end_chooses_nothing(catalogue, settings, draws, tmp_path):
    with pytest.raises(UsageError, match=r"no trial in .* ran to its end"):
        tune(catalogue, tmp_path, settings=settings, trials=0)


def test_how_hard_the_embedding_is_held_is_not_searched_for_as_nothing_measures_it(
    settings, catalogue, draws, tmp_path
):
    given = replace(settings, retention=3.0)
    assert tune(catalogue, tmp_path, settings=given, trials=3).settings.retention == 3.0
    assert draws.retentions == {3.0}


def test_what_is_not_searched_for_stays(settings):
    drawn = {"learning_rate": 1e-4, "head_learning_rate": 1e-3, "dropout": 0.2, "field_dropout": 0.1}
    found = tried(replace(settings, max_tokens=12), drawn | {"level_weight": 0.5, "label_smoothing": 0.1})
    assert (found.max_tokens, found.fit.epochs, found.fit.learning_rate, found.loss.level_weight) == (12, 1, 1e-4, 0.5)
