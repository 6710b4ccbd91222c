"""What categories are called, as products."""

import pytest

from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.names import named_products


def test_each_leaf_is_named_with_what_it_lies_under():
    taxonomy = Taxonomy.of([("Home", "Kitchen", "Others"), ("Garden", "Others"), ("蔬菜",)])
    named = {product.categories: product.title for product in named_products(taxonomy, "title")}
    assert named == {
        (("Home", "Kitchen", "Others"),): "Kitchen Others",
        (("Garden", "Others"),): "Garden Others",
        (("蔬菜",),): "蔬菜",
    }


def test_they_stand_in_the_order_of_the_leaves():
    taxonomy = Taxonomy.of([("B", "C"), ("A",), ("B", "A")])
    assert [product.categories for product in named_products(taxonomy, "title")] == [
        (leaf,) for leaf in taxonomy.leaves
    ]


@pytest.mark.parametrize("field", ["title", "description", "brand", "shop_category"])
def test_the_name_stands_where_every_view_reads_it(field):
    [first, _] = named_products(Taxonomy.of([("Kitchen", "Mugs"), ("Kitchen", "Pans")]), field)
    assert first.text((field, "colour")) == first.text((field,)) == "Kitchen Mugs"


def test_a_first_field_that_holds_no_words_gets_no_names():
    assert named_products(Taxonomy.of([("A",), ("B",)]), "price") == []
