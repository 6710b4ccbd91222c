"""Continuation: what a bundle that is gone on from does not allow is refused, and what it loses is said."""

from dataclasses import replace

import orjson
import pytest

from hand_bundle import write_hand_bundle
from shelfwise.bundle import Bundle
from shelfwise.errors import UsageError
from shelfwise.product import Product
from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.cli_train import train as train_command
from shelfwise_indexer.continuation import check_continuation, warn_dropped
from shelfwise_indexer.loss import LossSettings
from shelfwise_indexer.settings import TrainSettings
from test_cli import runner_here

pytestmark = pytest.mark.model

ROLE = "the bundle that training continues from,"
LEAVES = [("A", "a"), ("A", "b"), ("B", "c"), ("B", "d"), ("C",)]
SETTINGS = TrainSettings(backbone="english")


def bundle(path, settings=SETTINGS, label_thresholds=None):
    info = {"settings": orjson.loads(orjson.dumps(settings)), "version": "v1"}
    if label_thresholds:
        info["label_thresholds"] = label_thresholds
    return Bundle(path, info, Taxonomy.of(LEAVES))


def test_settings_of_another_number_of_categories_are_refused(tmp_path):
    single, several = bundle(tmp_path), bundle(tmp_path, label_thresholds=[0.5] * 5)
    of_several = replace(SETTINGS, loss=LossSettings(multi_label=True))
    check_continuation(single, SETTINGS, ROLE)
    check_continuation(several, of_several, ROLE)
    with pytest.raises(UsageError, match=r"multi_label = true, .*: give --multi-label, or set multi_label = true"):
        check_continuation(several, SETTINGS, ROLE)
    with pytest.raises(UsageError, match=r"multi_label = false, .*: leave out --multi-label"):
        check_continuation(single, of_several, ROLE)


def test_another_backbone_than_the_bundle_is_refused(tmp_path):
    for named in ("auto", "english"):
        check_continuation(bundle(tmp_path), replace(SETTINGS, backbone=named), ROLE)
    with pytest.raises(UsageError, match=r"backbone = 'multilingual' cannot be taken: .* or set 'english', as the"):
        check_continuation(bundle(tmp_path), replace(SETTINGS, backbone="multilingual"), ROLE)


def test_categories_that_the_catalogue_lacks_are_named(tmp_path, capsys):
    products = [Product("1", "x", categories=(("A", "a"),)), Product("2", "y", categories=(("D",), ("C",)))]
    warn_dropped(bundle(tmp_path), products, Taxonomy.of([("A", "a"), ("D",)]), "new.jsonl")
    told = capsys.readouterr().err
    assert "3 categories of bundle v1 have no product in new.jsonl and will not be predicted any more" in told
    assert "the first: A > b, B > c, B > d: give the whole catalogue" in told
    warn_dropped(bundle(tmp_path), [], Taxonomy.of(LEAVES), "new.jsonl")
    assert not capsys.readouterr().err


@pytest.fixture
def shop(tmp_path):
    """Two kinds of products, and a bundle of several categories that reads title and brand."""
    made = write_hand_bundle(tmp_path / "bundle", {"mug": (1, 0), "pan": (0, 1)}, [("A",), ("B",)], 0.5, [0.5, 0.5])
    settings = replace(SETTINGS, text_fields=("title", "brand"), max_tokens=32, loss=LossSettings(multi_label=True))
    info = made.info | {"settings": orjson.loads(orjson.dumps(settings))}
    (tmp_path / "bundle" / "bundle.json").write_bytes(orjson.dumps(info))
    return tmp_path


def test_a_file_changes_what_it_names_of_the_settings_of_the_bundle(shop):
    (shop / "train.toml").write_text("[fit]\nepochs = 1\n")
    (shop / "other.toml").write_text("max_tokens = 8\n")
    for option in ("--from", "--distil"):
        ran = runner_here(shop)("train", "--show-config", option, "bundle", "--config", "train.toml")
        assert 'text_fields = ["title", "brand"]' in ran.out
        assert "multi_label = true" in ran.out
        assert "max_tokens = 32" in ran.out
        assert "\nepochs = 1\n" in ran.out
        other = runner_here(shop)("train", "--show-config", option, "bundle", "--config", "other.toml")
        assert "max_tokens = 8" in other.out


def test_a_backbone_in_the_file_is_refused_beside_a_bundle(shop):
    (shop / "train.toml").write_text('backbone = "multilingual"\n')
    (shop / "c.jsonl").write_text('{"id": 1, "title": "mug", "category": "A"}')
    for option in ("--from", "--distil"):
        ran = runner_here(shop)("train", "c.jsonl", "--out", "next", option, "bundle", "--config", "train.toml")
        assert ran.status == 2
        assert "backbone = 'multilingual' cannot be taken" in ran.err


def test_the_help_says_that_the_catalogue_is_the_whole_one():
    [option] = [one for one in train_command.params if one.name == "start"]
    assert "CATALOGUE is the whole one" in option.help
