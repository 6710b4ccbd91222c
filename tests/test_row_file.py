import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise_indexer.row_file import RowFile, RowFileError


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    array = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    path = tmp_path_factory.mktemp("rows") / "array.f32"
    path.write_bytes(array.tobytes())
    return RowFile(path, np.float32, 3), array


@given(rows=st.lists(st.integers(0, 49), max_size=80))
def test_rows_are_those_of_the_array_in_memory(both, rows):
    held, array = both
    assert np.array_equal(held[np.array(rows, dtype=np.int64)], array[rows])


@given(rows=st.lists(st.integers(0, 19), max_size=30, unique=True), seed=st.integers(0, 100))
def test_what_is_put_comes_back_and_nothing_else_changes(tmp_path_factory, rows, seed):
    array = np.full((20, 2), -1, dtype=np.int64)
    held = RowFile.full(tmp_path_factory.mktemp("rows") / "array.i64", 20, 2, -1, np.int64)
    at, values = np.array(rows, dtype=np.int64), np.random.default_rng(seed).integers(0, 9, (len(rows), 2))
    held[at] = values
    array[at] = values
    assert np.array_equal(held[:], array)


def test_a_slice_and_the_shape_are_those_of_an_array(both):
    held, array = both
    assert (held.shape, held.dtype, len(held)) == ((50, 3), np.float32, 50)
    assert np.array_equal(held[10:13], array[10:13])
    assert np.array_equal(held[48:99], array[48:99])


def test_a_new_file_of_any_size_holds_one_value(tmp_path, monkeypatch):
    monkeypatch.setattr("shelfwise_indexer.row_file.FILLED_AT_ONCE", 64)
    assert (RowFile.full(tmp_path / "a", 1_000, 3, 7, np.int64)[:] == 7).all()
    assert RowFile.full(tmp_path / "b", 0, 3, 7, np.int64)[:].shape == (0, 3)


def test_rows_beyond_the_end_are_an_error(both):
    with pytest.raises(RowFileError, match="ends at byte 600"):
        both[0][np.array([49, 50])]


def test_a_file_that_cannot_be_written_says_to_free_some_space(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(RowFileError, match=r"cannot be written .* free some space, run again"):
        RowFile.full(tmp_path / "taken", 1, 1, 0, np.int64)
