"""The duplicate report: what is probably one product listed twice, by text, title and vector."""

import numpy as np
import pytest

from shelfwise.errors import UsageError
from shelfwise.product import Product
from shelfwise_indexer.duplicate_report import find

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
