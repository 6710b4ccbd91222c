from hypothesis import given
from hypothesis import strategies as st

from shelfwise_indexer import seen
from shelfwise_indexer.seen import Seen


@given(ids=st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=3)))
def test_an_id_is_new_exactly_once_as_in_a_set(ids):
    held: set[str] = set()
    file = Seen()
    for id_ in ids:
        assert file.add(id_) == (id_ not in held)
        held.add(id_)
    file.close()


def test_more_ids_than_its_memory_holds_are_told_apart(monkeypatch):
    monkeypatch.setattr(seen, "CACHE_KIB", 64)
    file = Seen()
    assert all(file.add(f"product-{number}") for number in range(20_000))
    assert not any(file.add(f"product-{number}") for number in range(0, 20_000, 7))
    file.close()


def test_ids_that_only_look_the_same_are_different():
    file = Seen()
    assert [file.add(id_) for id_ in ("1", "01", "1 ", "\u00e9", "e\u0301", "a\0b", "a", "a\0b")] == [True] * 7 + [
        False
    ]
