"""Synthetic products: as many as are asked for, put together out of the titles of a real catalogue.

A product keeps the category of a real one; its title is the beginning of one title of that category, the end of
another, with a word or some of further ones, so that words, lengths and categories are spread as in the real catalogue.
Letters-and-digits words (model numbers) get digits of their own. Brands and prices come from the same category.
"""

import gzip
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from shelfwise.product import Product
from shelfwise_indexer.catalogue import Row, read

SWAPPED = 0.6  # of the titles get a word of a further one, of these as many a second one, and so on
PRICE_SPREAD = 0.25  # standard deviation of the logarithm
LEVEL = 1  # of gzip: fast

_CODE = re.compile(r"(?=[^\s]*[A-Za-z])(?=[^\s]*\d)[\w./-]{4,}")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def products(catalogue: Path, count: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """`count` products; the first n of a longer run are those of a shorter one."""
    rng = random.Random(seed)  # noqa: S311
    sources = [row.product for row in read(catalogue) if isinstance(row, Row)]
    shelves: dict[Any, list[Product]] = defaultdict(list)
    for product in sources:
        shelves[_shelf(product)].append(product)
    for number in range(count):
        source = rng.choice(sources)
        shelf = shelves[_shelf(source)]
        yield _product(f"S{number:08d}", source, shelf, rng)


def write(path: Path, catalogue: Path, count: int, seed: int = 0) -> float:
    """Write `count` products as gzipped JSON lines; the share of them whose title no earlier one has."""
    titles: set[int] = set()
    with path.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=LEVEL, mtime=0) as file:
        for product in products(catalogue, count, seed):
            titles.add(hash(product["title"]))
            file.write(orjson.dumps(product) + b"\n")
    return len(titles) / count


def _shelf(product: Product) -> tuple[Any, bool]:
    """Products whose titles can be put together: of one category, and in one script."""
    return product.categories, bool(_CJK.search(product.title))


def _product(id_: str, source: Product, shelf: Sequence[Product], rng: random.Random) -> dict[str, Any]:
    others = [rng.choice(shelf) for _ in range(2)]
    while rng.random() < SWAPPED:
        others.append(rng.choice(shelf))
    described = [product.description for product in (source, *others) if product.description]
    branded = rng.choice(shelf).brand
    record: dict[str, Any] = {"id": id_, "title": _title(source.title, *(other.title for other in others), rng=rng)}
    if described and source.description:
        record["description"] = _joined(source.description, described[-1], rng)
    if branded:
        record["brand"] = branded
    if source.price is not None:
        record["price"] = round(max(source.price, 0.01) * rng.lognormvariate(0, PRICE_SPREAD), 2)
    if source.categories:
        record["category"] = [list(path) for path in source.categories]
    for name in ("in_stock", "popularity", "language"):
        if (value := getattr(source, name)) is not None:
            record[name] = value
    return record | {name: value for name, value in source.attributes.items() if name not in record}


def _title(begins: str, ends: str, *further: str, rng: random.Random) -> str:
    words = _joined(begins, ends, rng).split()
    for other in further:
        words[rng.randrange(len(words))] = rng.choice(other.split())
    return " ".join(_CODE.sub(lambda code: _renumbered(code[0], rng), word) for word in words)


def _joined(one: str, other: str, rng: random.Random) -> str:
    """The beginning of one text and the end of another, cut at the same share of both; together about as long."""
    share, left, right = rng.random(), one.split(), other.split()
    kept, left_out = round(share * len(left)), round(share * len(right))
    return " ".join(left[:kept] + right[left_out:]) or one


def _renumbered(code: str, rng: random.Random) -> str:
    return "".join(str(rng.randrange(10)) if letter.isdigit() else letter for letter in code)
