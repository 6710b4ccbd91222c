import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.errors import InvalidTaxonomy
from shelfwise.taxonomy import Taxonomy, ancestors, parse_path, path_text, written_path

NAMES = st.text(min_size=1).map(str.strip).filter(lambda name: name and ">" not in name)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(tuple)
TAXONOMIES = st.sets(PATHS, min_size=1, max_size=8).map(Taxonomy.of)


@given(PATHS)
def test_a_path_survives_being_written_as_text(path):
    assert parse_path(path_text(path)) == path == parse_path(list(path))


@given(st.one_of(st.text(), st.lists(st.one_of(st.text(), st.integers())), st.integers(), st.none()))
def test_whatever_is_no_path_is_a_value_error(value):
    try:
        path = parse_path(value)
    except ValueError:
        return
    assert path
    assert all(name and name == name.strip() for name in path)


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("Home &gt; Kettles", ("Home", "Kettles")),
        ("Toys &amp; Games &#62; Puzzles", ("Toys & Games", "Puzzles")),
        (["Toys &amp; Games", "M&uuml;hle"], ("Toys & Games", "Mühle")),
        (["Kids", "Age &gt; 3"], ("Kids", "Age &gt; 3")),
        ("R&D > Arts&copy", ("R&D", "Arts&copy")),
    ],
)
def test_a_path_that_was_escaped_for_html_is_plain(written, path):
    assert written_path(written) == path


def test_a_path_of_an_index_stays_as_it_stands():
    assert parse_path("Toys &amp; Games > Puzzles") == ("Toys &amp; Games", "Puzzles")


def test_ancestors_go_from_the_root_to_the_path_itself():
    assert ancestors(("A", "B", "C")) == [("A",), ("A", "B"), ("A", "B", "C")]


@given(TAXONOMIES)
def test_parents_stand_before_their_children_and_every_ancestor_is_a_node(taxonomy):
    place = taxonomy.node_number
    assert set(taxonomy.nodes) == {node for leaf in taxonomy.leaves for node in ancestors(leaf)}
    assert all(place[node[:-1]] < place[node] for node in taxonomy.nodes if len(node) > 1)


@given(TAXONOMIES, st.integers(0, 2**32 - 1))
def test_a_node_is_as_probable_as_the_leaves_below_it(taxonomy, seed):
    leaf = np.random.default_rng(seed).dirichlet(np.ones(len(taxonomy.leaves)), size=3).astype(np.float32)
    of_nodes = taxonomy.node_probabilities(leaf)
    for node, column in zip(taxonomy.nodes, of_nodes.T, strict=True):
        below = [at for at, path in enumerate(taxonomy.leaves) if path[: len(node)] == node]
        assert column == pytest.approx(leaf[:, below].sum(axis=1), abs=1e-5)


def test_roots_sum_to_one():
    taxonomy = Taxonomy.of([("A", "B"), ("A", "C"), ("D",)])
    probabilities = taxonomy.node_probabilities(np.array([[0.5, 0.2, 0.3]], dtype=np.float32))
    assert dict(zip(taxonomy.nodes, probabilities[0].round(3).tolist(), strict=True)) == pytest.approx(
        {("A",): 0.7, ("D",): 0.3, ("A", "B"): 0.5, ("A", "C"): 0.2}
    )


def test_a_leaf_above_the_level_stands_for_itself():
    names, above = Taxonomy.of([("A", "B"), ("A", "C"), ("D",)]).at_depth(2)
    assert names == (("A", "B"), ("A", "C"), ("D",))
    assert above.tolist() == [0, 1, 2]
    names, above = Taxonomy.of([("A", "B"), ("A", "C"), ("D",)]).at_depth(1)
    assert (names, above.tolist()) == ((("A",), ("D",)), [0, 0, 1])


@given(TAXONOMIES)
def test_a_taxonomy_survives_json_with_its_hash(taxonomy):
    again = Taxonomy.from_json(taxonomy.to_json())
    assert again == taxonomy
    assert again.hash == taxonomy.hash


def test_another_leaf_is_another_hash():
    assert Taxonomy.of([("A",)]).hash != Taxonomy.of([("A",), ("B",)]).hash


@pytest.mark.parametrize("content", [{}, {"leaves": 1}, {"leaves": []}, {"leaves": [["A"], ["A"]]}])
def test_a_broken_taxonomy_is_refused(content):
    with pytest.raises(InvalidTaxonomy):
        Taxonomy.from_json(content)


def test_the_closest_to_a_misspelt_category_come_first():
    taxonomy = Taxonomy.of([("Phones", "Cases"), ("Phones", "Chargers"), ("Kitchen", "Kettles")])
    assert taxonomy.closest(("Phones", "Casses"), 1) == [("Phones", "Cases")]
    assert taxonomy.closest(("kettles",), 1) == [("Kitchen", "Kettles")]
    assert len(taxonomy.closest(("zzz",), 3)) == 3


@given(TAXONOMIES, PATHS)
def test_there_is_always_something_closest(taxonomy, path):
    closest = taxonomy.closest(path)
    assert len(closest) == len(set(closest)) <= 3
    assert closest
    assert set(closest) <= set(taxonomy.nodes)
