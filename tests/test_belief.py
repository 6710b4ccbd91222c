import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.belief import Belief, believe, believe_paths, trust
from shelfwise.errors import UnknownCategory, UsageError
from shelfwise.taxonomy import Taxonomy, ancestors, path_text

LAMPS, LIGHTS, MUGS, TENTS = ("Home", "Light", "Lamps"), ("Home", "Light", "Bulbs"), ("Home", "Mugs"), ("Out", "Tents")
TAXONOMY = Taxonomy.of([LAMPS, LIGHTS, MUGS, TENTS])


def nodes(*paths):
    return [path_text(node) for path in paths for node in ancestors(path)]


def believed(**leaves) -> Belief:
    by_name = {leaf[-1].lower(): leaf for leaf in TAXONOMY.leaves}
    row = np.zeros(len(TAXONOMY.leaves), dtype=np.float32)
    for name, probability in leaves.items():
        row[TAXONOMY.leaf_number[by_name[name]]] = probability
    return believe(TAXONOMY, row)


def test_a_node_is_as_probable_as_its_leaves_together():
    probability = believed(lamps=0.5, bulbs=0.25, mugs=0.25).probability
    assert probability == {
        "Home": 1.0,
        "Home > Light": 0.75,
        "Home > Light > Lamps": 0.5,
        "Home > Light > Bulbs": 0.25,
        "Home > Mugs": 0.25,
    }


def test_a_product_of_the_leaf_counts_whole_and_one_nearby_for_the_steps_shared():
    sure = believed(lamps=1.0)
    assert sure.share(nodes(LAMPS)) == pytest.approx(1.0)
    # Two of three steps shared, less what a guess among four leaves would share: (1 + 2/3 + 1/2 + 0) / 4 for a bulb.
    guess = (1 + 2 / 3 + 1 / 2) / 4
    assert sure.share(nodes(LIGHTS)) == pytest.approx((2 / 3 - guess) / (1 - guess))
    assert sure.share(nodes(TENTS)) == 0.0
    assert sure.share([]) == 0.0


def test_the_share_grows_with_the_probability():
    shares = [believed(tents=p, mugs=1 - p).share(nodes(TENTS)) for p in (0.25, 0.5, 0.75, 1.0)]
    assert shares == pytest.approx([0.0, 1 / 3, 2 / 3, 1.0])


def test_a_product_of_several_categories_counts_for_any():
    assert believed(tents=1.0).share(nodes(MUGS, TENTS)) == pytest.approx(1.0)


def test_where_the_classifier_is_unsure_nobody_gains():
    flat = believed(lamps=0.25, bulbs=0.25, mugs=0.25, tents=0.25)
    assert [flat.share(nodes(leaf)) for leaf in TAXONOMY.leaves] == pytest.approx([0.0] * 4)
    assert flat.likely == ()


def test_likely_leaves_are_few_and_the_most_probable_is_first():
    assert believed(lamps=0.35, mugs=0.6, tents=0.05).likely == (MUGS, LAMPS)


def test_a_node_that_the_caller_names_counts_for_all_below_it():
    named = believe_paths(TAXONOMY, {("Home", "Light"): 1.0})
    assert named.share(nodes(LAMPS)) == named.share(nodes(LIGHTS)) == pytest.approx(1.0)
    assert named.likely == (("Home", "Light"),)


@pytest.mark.parametrize("given", [{MUGS: 1.2}, {MUGS: -0.1}, {MUGS: 0.7, TENTS: 0.7}, {MUGS: float("nan")}])
def test_what_is_no_distribution_is_refused(given):
    with pytest.raises(UsageError, match="each be from 0 to 1 and add up to at most 1"):
        believe_paths(TAXONOMY, given)


def test_a_category_that_is_not_there_is_answered_with_the_closest_and_a_text_with_what_a_path_is():
    with pytest.raises(UnknownCategory, match=r"no category .*Mugz.*: the closest are .*Mugs"):
        believe_paths(TAXONOMY, {(*MUGS[:-1], "Mugz"): 1.0})
    with pytest.raises(UsageError, match=r"of paths such as .*, got 'Home > Mugs'"):
        believe_paths(TAXONOMY, {"Home > Mugs": 1.0})


def test_a_belief_that_no_good_hit_shares_is_not_trusted():
    assert trust([0.0, 0.0], [1.0, 0.5]) == 0.0
    assert trust([1.0, 0.0], [0.1, 0.9]) == pytest.approx(0.5)
    assert trust([1.0, 1.0], [1.0, 1.0]) == 1.0
    assert trust([], []) == 0.0


@given(
    st.lists(st.floats(0, 1), min_size=4, max_size=4).filter(lambda row: sum(row) > 1e-3),
    st.sets(st.sampled_from(TAXONOMY.leaves)),
)
def test_a_share_is_from_0_to_1(row, paths):
    belief = believe(TAXONOMY, np.array(row, dtype=np.float32) / np.float32(sum(row)))
    assert 0.0 <= belief.share(nodes(*paths)) <= 1.0


@given(st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4).filter(lambda row: sum(row) > 1e-3))
def test_the_classifier_is_believed_as_a_caller_who_names_its_leaves(row):
    probabilities = np.array(row, dtype=np.float32) / np.float32(sum(row))
    named = zip(TAXONOMY.leaves, probabilities.tolist(), strict=True)
    assert believe(TAXONOMY, probabilities) == believe_paths(TAXONOMY, {leaf: p for leaf, p in named if p > 0.0})


def test_a_classifier_of_several_labels_is_believed_in_proportion():
    assert believed(lamps=0.9, mugs=0.9) == believed(lamps=0.5, mugs=0.5)
