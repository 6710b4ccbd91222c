"""The configuration file: what is shown can be read, and a mistake is named."""

from dataclasses import replace

import orjson
import pytest

from shelfwise.bundle import Bundle
from shelfwise.errors import UsageError
from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.config import read_config, settings_of, show_config
from shelfwise_indexer.fit import FitSettings
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
        ("fit = 3", "fit = 3"),
        ("= 3", "is not TOML"),
    ],
)
def test_a_mistake_is_named(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        read_config(write(tmp_path, text))


def test_a_bundles_settings_are_those_it_was_trained_with(tmp_path):
    settings = replace(TrainSettings(), text_fields=("title", "shop:8"), fit=FitSettings(epochs=7))
    bundle = Bundle(tmp_path, {"settings": orjson.loads(orjson.dumps(settings))}, Taxonomy.of([("A",)]))
    assert settings_of(bundle) == settings
    with pytest.raises(UsageError, match="--config"):
        settings_of(Bundle(tmp_path, {}, bundle.taxonomy))


def test_a_file_that_is_not_there_says_what_writes_one(tmp_path):
    with pytest.raises(UsageError, match="--show-config"):
        read_config(tmp_path / "none.toml")
