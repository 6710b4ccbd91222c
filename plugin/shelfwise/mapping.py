"""The mapping: `mappings/products.json`, and what a new index is made of it."""

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson

from shelfwise.errors import UsageError
from shelfwise.product import CONTRACT_FIELDS

SCHEMA = 1
SIMILARITY = "dot_product"
MAX_DIMENSION = 4096  # the server's limit of dense_vector


def index_body(dimension: int, meta: Mapping[str, Any], flat_threshold: bool = True) -> dict[str, Any]:
    """Settings and mappings of a new index: the file's, with dimension and `_meta` filled in.

    :param flat_threshold: whether the server knows `flat_index_threshold`; one that does not refuses it.
    :raises UsageError: the server takes no vectors of this dimension.
    """
    if not 1 <= dimension <= MAX_DIMENSION:
        raise UsageError(f"a vector has 1 to {MAX_DIMENSION} dimensions, got {dimension}")
    body = template("products.json")
    vector = body["mappings"]["properties"]["shelfwise"]["properties"]["vector"]
    vector["dims"] = dimension
    if not flat_threshold:
        vector.get("index_options", {}).pop("flat_index_threshold", None)
    body["mappings"]["_meta"] = {"shelfwise": dict(meta)}
    return body


def index_settings() -> dict[str, Any]:
    """The settings of an index that serves."""
    settings: dict[str, Any] = template("products.json")["settings"]["index"]
    return settings


def fields_of_the_shop() -> frozenset[str]:
    """The fields that the shop added to the file; it writes them itself."""
    return frozenset(template("products.json")["mappings"]["properties"]) - {*CONTRACT_FIELDS, "shelfwise"}


def mapping_hash() -> str:
    """What tells whether a new index would be another: 12 hex digits of the file's content."""
    content = orjson.dumps(template("products.json"), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(content).hexdigest()[:12]


def template(name: str) -> dict[str, Any]:
    """The settings and mappings in a file of `mappings/`."""
    carried = files("shelfwise") / "mappings" / name  # in a wheel
    cloned = Path(__file__).resolve().parents[2] / "mappings" / name
    content: dict[str, Any] = orjson.loads((carried if carried.is_file() else cloned).read_bytes())
    return content
