"""Names: what a category is called says what belongs there, most of all where few products do.

"Kitchen Travel Mugs" is one more example of its category, and often the very words of a query.
"""

from typing import Any

from shelfwise.product import CONTRACT_FIELDS, TEXT_FIELDS, Product
from shelfwise.taxonomy import Path, Taxonomy, path_text

LAST = 2  # names of a path: "Others" and "Accessories" say little without what they are of


def named_products(taxonomy: Taxonomy, field: str) -> list[Product]:
    """A product for each leaf, in their order, called as the leaf is, after what it lies under.

    :param field: where the name stands: the first that the model reads, which no view of a product lacks. None is
        made where that is no text, such as a price.
    """
    if field in CONTRACT_FIELDS and field not in TEXT_FIELDS:
        return []
    return [_named(leaf, field) for leaf in taxonomy.leaves]


def _named(leaf: Path, field: str) -> Product:
    name = " ".join(leaf[-LAST:])
    given: dict[str, Any] = {field: name} if field in TEXT_FIELDS else {"attributes": {field: name}}
    return Product(**{"id": f"category {path_text(leaf)}", "title": "", "categories": (leaf,), **given})
