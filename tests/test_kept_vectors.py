import numpy as np
import pytest

from shelfwise_indexer.enrich import text_hash
from shelfwise_indexer.kept_vectors import KeptVectors, as_numbers, keep

TEXTS = [text_hash(text) for text in ("kettle", "mug", "kettle", "tent")]
VECTORS = np.array([[1, 0], [0, 1], [1, 0], [0.6, 0.8]], dtype=np.float32)


@pytest.fixture
def kept(tmp_path):
    (tmp_path / "run").mkdir()
    VECTORS.tofile(tmp_path / "run" / "vectors.f32")
    keep(tmp_path / "vectors" / "shop", as_numbers(TEXTS), tmp_path / "run" / "vectors.f32")
    return tmp_path / "vectors" / "shop"


def test_a_vector_is_found_by_the_text_that_it_was_made_of(kept):
    vectors = KeptVectors.load(kept, 2)
    rows = vectors.find([text_hash("tent"), text_hash("kettle"), text_hash("lamp"), "no hash"])
    assert rows[0] == 3
    assert np.array_equal(vectors.at(rows[:2]), VECTORS[[3, 0]])
    assert rows[2:].tolist() == [-1, -1]


@pytest.mark.parametrize("file", ["vectors.f32", "hashes.npy"])
@pytest.mark.parametrize("content", [None, b"", b"no vectors at all"])
def test_what_is_missing_or_damaged_holds_nothing(kept, file, content):
    (kept / file).unlink()
    if content is not None:
        (kept / file).write_bytes(content)
    assert KeptVectors.load(kept, 2).find([text_hash("tent")]).tolist() == [-1]


def test_vectors_of_another_dimension_hold_nothing(kept):
    assert KeptVectors.load(kept, 3).find([text_hash("tent")]).tolist() == [-1]


def test_the_next_run_takes_the_place_of_the_one_before(kept, tmp_path):
    np.ones((1, 2), dtype=np.float32).tofile(tmp_path / "next.f32")
    keep(kept, as_numbers([text_hash("lamp")]), tmp_path / "next.f32")
    assert KeptVectors.load(kept, 2).find([text_hash("lamp"), text_hash("tent")]).tolist() == [0, -1]


def test_where_nothing_can_be_written_nothing_is_kept(kept, tmp_path):
    keep(kept, as_numbers([text_hash("lamp")]), tmp_path / "not there.f32")
    assert not kept.exists()


def test_a_folder_that_cannot_be_made_costs_the_cache_and_is_said(tmp_path, capsys):
    (tmp_path / "cache").write_text("not a folder")
    keep(tmp_path / "cache" / "vectors" / "shop", as_numbers(TEXTS), tmp_path / "vectors.f32")
    assert "vectors are not kept" in capsys.readouterr().err
