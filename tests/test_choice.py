"""The choice that is remembered."""

import pytest

from hand_bundle import add_hand_int8, write_hand_bundle
from shelfwise_indexer import choice
from shelfwise_indexer.choice import Choice

ALL = ("f32", "bf16", "int8")


@pytest.fixture
def bundle(tmp_path):
    return write_hand_bundle(tmp_path / "bundle", {"kettle": [1, 0]})


def test_what_was_chosen_is_found_again_for_the_same_bundle_and_choice_only(bundle, tmp_path):
    folder = tmp_path / "choices"
    assert Choice(bundle, ALL, folder).read() is None
    Choice(bundle, ALL, folder).write("bf16")
    assert Choice(bundle, ALL, folder).read() == "bf16"
    assert Choice(bundle, ("f32", "bf16"), folder).read() is None
    assert Choice(write_hand_bundle(tmp_path / "other", {"kettle": [0, 1]}), ALL, folder).read() is None
    assert Choice(add_hand_int8(bundle), ALL, folder).read() is None


def test_another_machine_does_not_take_it_over(bundle, tmp_path, monkeypatch):
    Choice(bundle, ALL, tmp_path / "choices").write("bf16")
    monkeypatch.setattr(choice.importlib.metadata, "version", lambda name: "1.0")
    assert Choice(bundle, ALL, tmp_path / "choices").read() is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"chosen": "fp4"}', b'{"chosen": ["int8"]}', b"\xff"])
def test_a_damaged_file_is_as_none(bundle, tmp_path, content):
    folder = tmp_path / "choices"
    Choice(bundle, ALL, folder).write("int8")
    [file] = folder.iterdir()
    file.write_bytes(content)
    assert Choice(bundle, ALL, folder).read() is None


def test_where_nothing_can_be_written_nothing_is_remembered(bundle, tmp_path):
    (tmp_path / "choices").write_text("a file")
    Choice(bundle, ALL, tmp_path / "choices").write("int8")
    assert Choice(bundle, ALL, tmp_path / "choices").read() is None
