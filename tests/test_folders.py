"""Folders: one that cannot be written is one line, which says what to do."""

import os

import pytest

from shelfwise.errors import UsageError
from shelfwise_indexer.folders import check_writable, made


def test_a_folder_is_made_with_those_above_it_and_stays(tmp_path):
    folder = tmp_path / "above" / "work"
    assert made(folder, "give another") == made(folder, "give another") == folder
    assert folder.is_dir()


@pytest.mark.parametrize("name", ["file", "file/work"])
def test_a_file_is_no_folder(tmp_path, name):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match=rf"{name} .*: give another"):
        made(tmp_path / name, "give another")


def test_a_folder_that_may_not_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match="cannot be written: give another"):
        made(tmp_path, "give another")


@pytest.mark.parametrize("name", ["none/vectors.npy", "."])
def test_a_file_that_cannot_be_written_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match=r"cannot be written \(.*\): name another"):
        check_writable(tmp_path / name, "name another")


def test_looking_whether_files_can_be_written_changes_nothing(tmp_path):
    (tmp_path / "there").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for name in ("there", "new", "link"):
        check_writable(tmp_path / name, "name another")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link", "there"]
    assert (tmp_path / "there").read_text() == "mine"
