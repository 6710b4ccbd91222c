"""Which ids of a stream are known, against a set of them."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise_indexer import id_hashes
from shelfwise_indexer.id_hashes import IdHashes


@pytest.mark.parametrize("block", [1, 3, 100_000])
@given(known=st.lists(st.text(max_size=2)), asked=st.lists(st.text(max_size=2)))
def test_it_lacks_what_a_set_of_the_ids_lacks(block, known, asked):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(id_hashes, "BLOCK", block)
        assert list(IdHashes.of(known).lacks(iter(asked))) == [id_ for id_ in asked if id_ not in {*known}]


def test_a_stream_of_known_ids_is_not_held(monkeypatch):
    monkeypatch.setattr(id_hashes, "BLOCK", 1_000)
    known = IdHashes.of(f"product-{number}" for number in range(50_000))
    tracemalloc.start()
    assert list(known.lacks(f"product-{number}" for number in range(50_001))) == ["product-50000"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * 50_000
