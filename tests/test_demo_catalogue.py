"""The demo catalogue keeps the promises that its README makes."""

import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

DEMO = Path(__file__).resolve().parent.parent / "demo"
HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+")
LATIN = re.compile(r"[^\W_]+")

Record = dict[str, Any]
CategoryPath = tuple[str, ...]


def read_lines(name: str) -> list[Record]:
    return [json.loads(line) for line in (DEMO / name).read_text(encoding="utf-8").splitlines()]


def paths(product: Record) -> list[CategoryPath]:
    """The category paths of a product, root first; none when the shop gave none."""
    if "categories" in product:
        return [tuple(path) for path in product["categories"]]
    return [tuple(product["category"])] if "category" in product else []


def words(text: str) -> set[str]:
    """Lowercased words, and character bigrams where the script is Chinese."""
    text = text.lower()
    found = set(LATIN.findall(HAN.sub(" ", text)))
    for run in HAN.findall(text):
        found |= {run[at : at + 2] for at in range(len(run) - 1)}
    return found


@pytest.fixture(scope="module")
def products() -> list[Record]:
    return read_lines("catalogue.jsonl")


@pytest.fixture(scope="module")
def by_id(products: list[Record]) -> dict[str, Record]:
    return {product["id"]: product for product in products}


@pytest.fixture(scope="module")
def queries() -> list[Record]:
    return read_lines("queries.jsonl")


@pytest.fixture(scope="module")
def judgements() -> list[tuple[str, str, int]]:
    """(query id, product id, grade) for every line of the qrels file."""
    lines = (DEMO / "judgements.qrels").read_text(encoding="utf-8").splitlines()
    split = [line.split(" ") for line in lines]
    assert all(len(fields) == 4 and fields[1] == "0" for fields in split)
    return [(query, product, int(grade)) for query, _, product, grade in split]


def test_there_are_enough_products_in_each_language(products: list[Record]) -> None:
    counts = Counter(product["language"] for product in products)
    assert set(counts) == {"en", "zh"}
    assert counts["en"] >= 520
    assert counts["zh"] >= 160


def test_the_language_field_says_which_script_the_title_is_in(products: list[Record]) -> None:
    wrong = [p["id"] for p in products if (p["language"] == "zh") != bool(HAN.search(p["title"]))]
    assert wrong == []


def test_every_product_has_the_fields_of_the_contract(products: list[Record]) -> None:
    for product in products:
        assert product["id"] and product["id"] == product["id"].strip()
        assert product["title"].strip()
        assert product["price"] > 0
        assert isinstance(product["in_stock"], bool)
        assert 0 <= product["popularity"] <= 1000
        assert not ("category" in product and "categories" in product), product["id"]


def test_ids_are_unique_without_spaces(products: list[Record]) -> None:
    repeated = [id_ for id_, count in Counter(p["id"] for p in products).items() if count > 1 or " " in id_]
    assert repeated == []


def test_every_category_path_has_three_levels(products: list[Record]) -> None:
    assert {len(path) for product in products for path in paths(product)} == {3}


def test_a_leaf_name_stands_under_one_parent_only(products: list[Record]) -> None:
    parents = defaultdict(set)
    for product in products:
        for *parent, leaf in paths(product):
            parents[leaf].add(tuple(parent))
    assert {leaf: above for leaf, above in parents.items() if len(above) > 1} == {}


def test_every_leaf_has_enough_products_and_some_are_rarer_than_others(products: list[Record]) -> None:
    leaves = Counter(path for product in products for path in paths(product))
    assert 26 <= len(leaves) <= 34
    assert min(leaves.values()) >= 12
    assert max(leaves.values()) >= 2 * min(leaves.values())


def test_every_leaf_is_sold_in_both_languages(products: list[Record]) -> None:
    languages = defaultdict(set)
    for product in products:
        for path in paths(product):
            languages[path].add(product["language"])
    assert [path for path, seen in languages.items() if seen != {"en", "zh"}] == []


def test_some_products_have_two_categories_and_some_have_none(products: list[Record]) -> None:
    counts = Counter(len(paths(product)) for product in products)
    assert counts[2] >= 15
    assert counts[0] >= 25


def test_variants_share_the_leaf_of_their_parent(products: list[Record], by_id: dict[str, Record]) -> None:
    variants = [product for product in products if "variant_of" in product]
    assert len(variants) >= 60
    assert len({product["variant_of"] for product in variants}) >= 20
    for product in variants:
        parent = by_id[product["variant_of"]]
        assert "variant_of" not in parent, f"{product['id']} hangs on {parent['id']}, itself a variant"
        assert paths(product)[0] == paths(parent)[0], product["id"]


def test_a_few_products_are_out_of_stock(products: list[Record]) -> None:
    share = sum(not product["in_stock"] for product in products) / len(products)
    assert 0.03 <= share <= 0.10


def test_more_than_half_of_the_products_have_a_description(products: list[Record]) -> None:
    assert 0.5 <= sum("description" in product for product in products) / len(products) <= 0.7


def test_the_same_listing_occurs_under_more_than_one_id(products: list[Record]) -> None:
    listings = Counter((p["title"], p.get("description"), p["price"]) for p in products)
    assert sum(count > 1 for count in listings.values()) >= 5


def test_there_are_forty_queries_of_every_kind(queries: list[Record]) -> None:
    assert len(queries) == len({query["id"] for query in queries}) == 40
    kinds = {"exact", "synonym", "use", "language", "category", "attribute", "typo"}
    assert {query["kind"] for query in queries} == kinds


def test_the_category_of_a_query_exists_in_the_catalogue(products: list[Record], queries: list[Record]) -> None:
    known = {path[:depth] for product in products for path in paths(product) for depth in (1, 2, 3)}
    assert [query["id"] for query in queries if "category" in query and tuple(query["category"]) not in known] == []


def test_every_judged_query_and_product_exists(
    queries: list[Record], by_id: dict[str, Record], judgements: list[tuple[str, str, int]]
) -> None:
    assert {query for query, _, _ in judgements} == {query["id"] for query in queries}
    assert {product for _, product, _ in judgements} <= by_id.keys()
    assert {grade for _, _, grade in judgements} == {0, 1, 2, 3}


def test_a_product_is_judged_once_for_a_query(judgements: list[tuple[str, str, int]]) -> None:
    pairs = Counter((query, product) for query, product, _ in judgements)
    assert [pair for pair, count in pairs.items() if count > 1] == []


def test_every_query_has_a_grade_three_product_and_a_tempting_wrong_one(
    queries: list[Record], judgements: list[tuple[str, str, int]]
) -> None:
    for grade in (3, 0):
        graded = {query for query, _, given in judgements if given == grade}
        assert [query["id"] for query in queries if query["id"] not in graded] == []


def test_identical_listings_are_judged_alike(by_id: dict[str, Record], judgements: list[tuple[str, str, int]]) -> None:
    grades = defaultdict(set)
    for query, id_, grade in judgements:
        product = by_id[id_]
        grades[query, product["title"], product["price"]].add(grade)
    assert [key for key, given in grades.items() if len(given) > 1] == []


def test_at_least_ten_queries_share_no_word_with_half_of_what_they_ask_for(
    queries: list[Record], by_id: dict[str, Record], judgements: list[tuple[str, str, int]]
) -> None:
    wordless = []
    for query in queries:
        wanted = [by_id[id_] for judged, id_, grade in judgements if judged == query["id"] and grade == 3]
        missed = [
            product
            for product in wanted
            if not words(query["query"]) & words(product["title"] + " " + product.get("description", ""))
        ]
        if 2 * len(missed) >= len(wanted):
            wordless.append(query["id"])
    assert len(wordless) >= 10, wordless
