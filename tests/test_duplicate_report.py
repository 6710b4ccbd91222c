"""The duplicate report: what is probably one product listed twice, by text, title and vector."""

import tracemalloc

import numpy as np
import pytest

from shelfwise.errors import UsageError
from shelfwise.product import Product
from shelfwise_indexer import neighbours
from shelfwise_indexer.duplicate_report import find
from shelfwise_indexer.duplicates import spanning, union

LONG = "A sturdy travel mug of stainless steel that keeps coffee hot for six hours and fits any cup holder"
OTHER = "Brushed finish, wide mouth, dishwasher safe lid with a silicone seal, made for long drives and camping"


def ids(groups):
    return [([product.id for product in group.products], group.by) for group in groups]


def test_the_same_text_and_the_same_title_are_found_and_told_apart():
    products = [
        Product("1", "Steel mug 400 ml", description=LONG),
        Product("2", "Garden hose"),
        Product("3", "STEEL  MUG, 400 ml", description=LONG + "!"),
        Product("4", "Steel mug 400 ml", description=OTHER),
        Product("5", "Linen shirt"),
    ]
    assert ids(find(products)) == [(["1", "3", "4"], ("text", "title"))]
    assert ids(find([products[0], products[3]])) == [(["1", "4"], ("title",))]
    assert find([products[1], products[4]]) == []
    assert find([]) == []


def test_vectors_add_what_words_do_not_say():
    products = [Product("1", "Steel mug"), Product("2", "Thermobecher aus Edelstahl"), Product("3", "Garden hose")]
    angles = np.array([0, 0.1, 1.5])
    vectors = np.column_stack((np.cos(angles), np.sin(angles))).astype(np.float32)
    assert ids(find(products, vectors)) == [(["1", "2"], ("vector",))]
    assert find(products, vectors, cosine=0.9999) == []
    with pytest.raises(UsageError, match="threshold"):
        find(products, vectors, cosine=0)


def test_variants_are_one_product_and_no_duplicates_of_each_other():
    red, blue = Product("1", "Steel mug 400 ml", variant_of="m"), Product("2", "Steel mug 400 ml", variant_of="m")
    assert find([red, blue]) == []
    again = Product("3", "Steel mug 400 ml")
    assert ids(find([red, blue, again])) == [(["1", "3"], ("text", "title"))]


def test_pairs_that_span_their_groups_make_the_same_groups():
    pairs = np.random.default_rng(0).integers(0, 200, (150, 2))
    found = spanning(200, np.split(pairs, [20, 20, 90]))
    each = np.arange(200)
    groups = union(each, pairs.tolist())
    assert union(each, found).tolist() == groups.tolist()
    assert len(found) == 200 - len(set(groups.tolist()))
    assert all(groups[one] == groups[other] for one, other in found)


def test_groups_by_vector_are_those_of_all_pairs_at_once(monkeypatch):
    monkeypatch.setattr(neighbours, "_RANGE_BLOCK", 32)
    generator = np.random.default_rng(3)
    vectors = generator.normal(size=(300, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    families = generator.integers(0, 250, 300)
    products = [Product(str(row), f"{row}", variant_of=f"family-{of}") for row, of in enumerate(families)]
    apart = families[:, None] != families
    pairs = np.argwhere(np.triu((vectors @ vectors.T >= 0.98) & apart, k=1)).tolist()
    groups = union(np.arange(300), pairs).tolist()
    wanted = [[str(row) for row, group in enumerate(groups) if group == number] for number in dict.fromkeys(groups)]
    assert ids(find(products, vectors, cosine=0.98)) == [(rows, ("vector",)) for rows in wanted if len(rows) > 1]


def test_pairs_of_many_nearly_equal_products_are_not_held(monkeypatch):
    monkeypatch.setattr(neighbours, "_RANGE_BLOCK", 128)
    angles = np.linspace(0, 0.01, 1_500)
    vectors = np.column_stack((np.cos(angles), np.sin(angles))).astype(np.float32)
    products = [Product(str(row), f"{row}") for row in range(1_500)]
    find(products[:2], vectors[:2])
    tracemalloc.start()
    [group] = find(products, vectors)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(group.products) == 1_500
    assert peak < 20_000_000
