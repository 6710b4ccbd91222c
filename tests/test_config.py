"""The configuration file: what is shown can be read, and a mistake is named."""

import re
from dataclasses import replace

import orjson
import pytest

from shelfwise.bundle import Bundle
from shelfwise.errors import UsageError
from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.config import read_config, settings_before, settings_of, show_config
from shelfwise_indexer.fit import FitSettings
from shelfwise_indexer.loss import LossSettings
from shelfwise_indexer.settings import TrainSettings

pytestmark = pytest.mark.model


def write(tmp_path, text):
    path = tmp_path / "train.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_shown_is_read_as_the_same_settings(tmp_path):
    settings = replace(TrainSettings(), text_fields=("标题", 'a "b"'), fit=FitSettings(optimiser="sgd", bf16=False))
    assert read_config(write(tmp_path, show_config(settings))) == settings


def test_every_setting_is_shown_with_a_line_of_help():
    lines = show_config().splitlines()
    for at, line in enumerate(lines):
        name, _, value = line.lstrip("# ").partition(" = ")
        if value or line.endswith(" ="):
            assert lines[at - 1].startswith("# "), name
            assert len(lines[at - 1]) > 10, name


def test_what_a_file_does_not_name_keeps_its_default(tmp_path):
    settings = read_config(write(tmp_path, 'head = "cnn"\n[fit]\nepochs = 2\n'))
    assert settings == replace(TrainSettings(), head="cnn", fit=FitSettings(epochs=2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_token = 3", "there is no setting max_token: did you mean max_tokens"),
        ("[fit]\nepoch = 3", r"there is no setting fit\.epoch: did you mean fit\.epochs"),
        ("zzz = 3", "there is no setting zzz: expected one of backbone"),
        ("[fit]\nepochs = 'many'", r"fit\.epochs = 'many'"),
        ("[fit]\noptimiser = 'lamb'", "'adamw', 'adam', 'sgd' or 'rmsprop'"),
        ("dropout = 1.5", "less than 1"),
        ("[fit]\nseed = 4294967296", r"fit\.seed = 4294967296: .* less than or equal to 4294967295"),
        ("head = 'rnn'\ntuned_share = 0.5", "needs the linear head"),
        ("fit = 3", r"fit = 3: expected a table: \[fit\] with its settings below it"),
        ("[fit]\nepochs = 'many'", "expected a whole number"),
        ("text_fields = 'title'", r"text_fields = 'title': expected a list, such as \[\"title\"\]"),
        ("head = 3", "head = 3"),
        ("[fit]\nlearning_rate = inf", r"fit\.learning_rate = inf: expected a finite number"),
        ("[fit]\nweight_decay = nan", r"fit\.weight_decay = nan: expected a finite number"),
        ("[fit]\nepochs = true", r"fit\.epochs = true: expected a whole number"),
        ("dropout = false", "dropout = false: expected a number"),
        ("backbone = ''", "backbone = '': expected auto, english"),
        ("encoder = ' '", "encoder = ' ': expected auto, english"),
        ("text_fields = ['title', 'title:8']", "text_fields names title twice"),
        ("text_fields = ['']", "text_fields: ''"),
        ("text_fields = ['description:0']", "text_fields: 'description:0'"),
        ("epochs = 3", r"there is no setting epochs: did you mean fit\.epochs"),
        ("[fit]\nhead = 'cnn'", r"there is no setting fit\.head: did you mean head \(above the first table\)\?"),
        ("= 3", "is not TOML"),
    ],
)
def test_a_mistake_is_named(tmp_path, text, message):
    with pytest.raises(UsageError, match=rf"{re.escape(str(tmp_path))}/train\.toml.*{message}"):
        read_config(write(tmp_path, text))


def test_what_a_file_does_not_name_is_as_in_the_settings_below_it(tmp_path):
    below = replace(TrainSettings(), text_fields=("title", "brand"), loss=LossSettings(multi_label=True), max_tokens=32)
    path = write(tmp_path, "max_tokens = 16\n[fit]\nepochs = 1\n")
    assert read_config(path, below) == replace(below, max_tokens=16, fit=FitSettings(epochs=1))


def test_a_bundles_settings_are_those_it_was_trained_with(tmp_path):
    settings = replace(TrainSettings(), text_fields=("title", "shop:8"), fit=FitSettings(epochs=7))
    bundle = Bundle(tmp_path, {"settings": orjson.loads(orjson.dumps(settings))}, Taxonomy.of([("A",)]))
    assert settings_of(bundle) == settings
    with pytest.raises(UsageError, match="--config"):
        settings_of(Bundle(tmp_path, {}, bundle.taxonomy))


def test_a_file_stands_in_for_a_bundles_settings_that_cannot_be_read_and_that_is_said(tmp_path, capsys):
    silent = Bundle(tmp_path, {}, Taxonomy.of([("A",)]))
    assert settings_before(silent, tmp_path / "train.toml") == TrainSettings()
    assert "train.toml does not name keeps its default" in capsys.readouterr().err
    with pytest.raises(UsageError, match="--config"):
        settings_before(silent, None)


def test_a_file_that_is_not_there_says_what_writes_one(tmp_path):
    with pytest.raises(UsageError, match="--show-config"):
        read_config(tmp_path / "none.toml")
