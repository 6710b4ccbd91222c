"""shelfwise: search and recommendations that know a shop's categories, on Elasticsearch's free licence."""

import sys
from typing import TYPE_CHECKING, Any

from shelfwise.errors import ShelfwiseError

# OpenVINO tells its maker of every import and conversion; without the package that sends it, it does not.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

if TYPE_CHECKING:
    from shelfwise.async_search import AsyncProductSearch
    from shelfwise.bundle import Bundle
    from shelfwise.filters import Filter
    from shelfwise.product import Product, parse_product
    from shelfwise.recommend import SimilarProducts
    from shelfwise.recommender import Recommender
    from shelfwise.reranker import Reranker
    from shelfwise.search import ProductSearch
    from shelfwise.search_settings import SearchSettings
    from shelfwise.server import connect

__all__ = [
    "AsyncProductSearch",
    "Bundle",
    "Filter",
    "Product",
    "ProductSearch",
    "Recommender",
    "Reranker",
    "SearchSettings",
    "ShelfwiseError",
    "SimilarProducts",
    "connect",
    "parse_product",
]

_ROOMS = {
    "AsyncProductSearch": "shelfwise.async_search",
    "Bundle": "shelfwise.bundle",
    "Filter": "shelfwise.filters",
    "Product": "shelfwise.product",
    "ProductSearch": "shelfwise.search",
    "SearchSettings": "shelfwise.search_settings",
    "Recommender": "shelfwise.recommender",
    "Reranker": "shelfwise.reranker",
    "SimilarProducts": "shelfwise.recommend",
    "connect": "shelfwise.server",
    "parse_product": "shelfwise.product",
}


def __getattr__(name: str) -> Any:
    """Load a room when something of it is first asked for, so that `import shelfwise` stays quick."""
    if name not in _ROOMS:
        raise AttributeError(f"module 'shelfwise' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_ROOMS[name]), name)
