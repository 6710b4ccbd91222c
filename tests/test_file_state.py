import os

import pytest

from shelfwise_indexer.catalogue import CatalogueError
from shelfwise_indexer.file_state import FileState


@pytest.fixture
def catalogue(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text("{}\n")
    return path


def test_a_file_that_nobody_writes_is_as_it_was(catalogue):
    state = FileState.of(catalogue)
    catalogue.read_bytes()
    state.check()


def test_a_file_that_was_written_is_named_with_its_sizes(catalogue):
    state = FileState.of(catalogue)
    catalogue.write_text("{}\n{}\n")
    with pytest.raises(
        CatalogueError, match=r"c\.jsonl: was written while it was read \(it has 6 bytes now, and had 3"
    ):
        state.check()


def test_so_is_one_of_the_same_size_and_one_that_is_gone(catalogue):
    state, lay = FileState.of(catalogue), catalogue.stat()
    os.utime(catalogue, ns=(lay.st_atime_ns, lay.st_mtime_ns + 1))
    with pytest.raises(CatalogueError, match="was written while it was read"):
        state.check()
    catalogue.unlink()
    with pytest.raises(CatalogueError, match="it is not there any more"):
        state.check()


def test_a_pipe_has_no_state_that_could_change(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "-"):
        FileState.of(path).check()
