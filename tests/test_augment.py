import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise_indexer.augment import View, views


def test_a_product_is_read_whole_without_each_later_field_and_by_its_title_alone():
    assert views(("title", "shop", "description"), 0.3) == [
        View(("title", "shop", "description"), 0.7),
        View(("title", "description"), pytest.approx(0.1)),
        View(("title", "shop"), pytest.approx(0.1)),
        View(("title",), pytest.approx(0.1)),
    ]


def test_with_two_fields_the_title_alone_is_one_view():
    assert views(("title", "description"), 0.25) == [
        View(("title", "description"), 0.75),
        View(("title",), 0.25),
    ]


@pytest.mark.parametrize(("fields", "dropout"), [(("title",), 0.5), (("title", "description"), 0.0)])
def test_nothing_to_drop_is_one_view(fields, dropout):
    assert views(fields, dropout) == [View(fields, 1.0)]


@given(st.integers(1, 8), st.floats(0, 1))
def test_shares_add_up_and_the_title_is_always_there(n, dropout):
    found = views([f"f{number}" for number in range(n)], dropout)
    assert sum(view.share for view in found) == pytest.approx(1)
    assert all(view.fields[0] == "f0" for view in found)
    assert len(found) <= n + 1
