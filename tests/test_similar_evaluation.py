import numpy as np
import pytest

from shelfwise.hit import Hit
from shelfwise_indexer.indexed import IndexedCatalogue
from shelfwise_indexer.similar_evaluation import evaluate_similar, intra_list_diversity


def hit(id_, title, category, in_stock=None):
    categories = (category,) if category else ()
    return Hit(id_, 0.0, title, category or (), categories, None, None, in_stock, None, None, None, {})


KETTLES, MUGS = ("Kettles",), ("Mugs",)
HITS = (
    hit("k1", "Kettle", KETTLES),
    hit("k2", "Glass kettle", KETTLES),
    hit("k3", "kettle", KETTLES, in_stock=False),
    hit("m1", "Mug", MUGS),
    hit("m2", "Mug, blue", MUGS),  # a variant of m1
)
VECTORS = np.array([[1, 0], [0.8, 0.6], [1, 0], [0, 1], [0, 1]], dtype=np.float32)
CATALOGUE = IndexedCatalogue(HITS, ("k1", "k2", "k3", "m1", "m1"), VECTORS)
BY_ID = {one.id: one for one in HITS}


def evaluated(lists, k=2, **more):
    return evaluate_similar(lambda id_, k: [BY_ID[one] for one in lists.get(id_, ())][:k], CATALOGUE, k, **more)


def test_measures_are_those_computed_by_hand():
    found = evaluated({"k1": ["k2", "m1"], "m1": ["k2"]})
    assert (found["products"], found["asked"]) == (5, 5)
    assert found["filled"] == pytest.approx(3 / 10)
    assert found["coverage"] == pytest.approx(2 / 5)
    assert found["diversity"] == pytest.approx(1 - 0.6)  # one list of two: cosine .6
    assert found["same_category"] == pytest.approx(1 / 3, abs=1e-4)
    # In stock and of another group, the nearest two of k1 are k2 and m1 (or m2, which ties and comes later): 2 of 2.
    # Of m1 they are k2 and k1: 1 of 2. The other three lists are empty.
    assert found["nearest"] == pytest.approx((1 + 0.5) / 5)
    assert found["duplicates"] == 0


def test_a_variant_and_a_title_that_was_shown_are_duplicates():
    assert evaluated({"m1": ["m2"]})["duplicates"] == 1
    assert evaluated({"k1": ["k3"]})["duplicates"] == 1  # the same title, whatever the capitals
    assert evaluated({"k2": ["m1", "m2"]})["duplicates"] == 1
    assert evaluated({"k2": ["k1", "k3"]})["duplicates"] == 1


def test_a_sample_is_the_same_each_time():
    asked = []

    def similar(id_, k):
        asked.append(id_)
        return []

    for _ in range(2):
        assert evaluate_similar(similar, CATALOGUE, 2, sample=2)["asked"] == 2
    assert asked[:2] == asked[2:]


def test_diversity_of_equal_and_of_unlike_products():
    assert intra_list_diversity(np.array([[1, 0], [1, 0]], dtype=np.float32)) == pytest.approx(0.0)
    assert intra_list_diversity(np.array([[1, 0], [0, 1]], dtype=np.float32)) == pytest.approx(1.0)


def test_an_empty_catalogue_is_an_error():
    with pytest.raises(ValueError, match="no product with a vector"):
        evaluate_similar(lambda id_, k: [], IndexedCatalogue((), (), np.empty((0, 2), np.float32)))
