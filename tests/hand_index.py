"""Indices filled by hand, document by document as the mapping has them: what search and recommend are tested on."""

from collections.abc import Iterable, Mapping
from typing import Any

from elasticsearch import Elasticsearch, helpers

from shelfwise.bundle import Bundle
from shelfwise.index import create_index, finish, swap
from shelfwise.product import parse_product
from shelfwise.taxonomy import ancestors, path_text

CATALOGUE = "c" * 64


def document(bundle: Bundle, record: Mapping[str, Any], **enriched: Any) -> dict[str, Any]:
    """A product as the index holds it; its categories are accepted.

    :param enriched: fields of `shelfwise` that differ, such as `vector` or `similar`.
    """
    product = parse_product(record)
    paths = [path_text(path) for path in product.categories]
    nodes = dict.fromkeys(path_text(node) for path in product.categories for node in ancestors(path))
    if "vector" not in enriched:
        enriched["vector"] = bundle.encoder.encode_documents([bundle.text(product)]).vectors[0].tolist()
    own = ("id", "title", "description", "brand", "price", "variant_of", "in_stock", "language")
    given = {name: value for name in own if (value := getattr(product, name)) is not None}
    return {
        **given,
        "category": paths,
        "attributes": dict(product.attributes),
        "shelfwise": {
            "category": paths,
            "ancestors": list(nodes),
            "confidence": 0.9,
            "status": "accepted",
            "bundle": bundle.version,
            "group": product.variant_of or product.id,
            "enriched_at": "2026-01-01T00:00:00+00:00",
            **enriched,
        },
    }


def add(client: Elasticsearch, index: str, documents: Iterable[Mapping[str, Any]]) -> None:
    """Index documents and make them visible."""
    helpers.bulk(client, ({"_index": index, "_id": one["id"], "_source": one} for one in documents))
    client.indices.refresh(index=index)


def fill(client: Elasticsearch, alias: str, bundle: Bundle, documents: Iterable[Mapping[str, Any]]) -> str:
    """A new index of these documents, live; its name."""
    name = create_index(client, alias, bundle, CATALOGUE)
    add(client, name, documents)
    finish(client, name)
    swap(client, alias, name)
    return name
