"""Similar lists, against dictionaries and arrays in memory."""

import hashlib

import numpy as np
import pytest

from hand_bundle import write_hand_bundle
from shelfwise_indexer import similar_lists
from shelfwise_indexer.enrich import text_hash
from shelfwise_indexer.kept_vectors import as_numbers
from shelfwise_indexer.neighbours import Neighbours, similar
from shelfwise_indexer.similar_lists import SIMILAR, SimilarLists
from shelfwise_indexer.spool import Entry, Spool
from shelfwise_indexer.spooled import Spooled, numbered

LEAVES = [("Home", "Kettles"), ("Home", "Mugs")]


def entry(number, generator):
    leaf = generator.integers(0, 3)
    enrichment = {
        "text_hash": text_hash(f"text {number % 90}"),
        "group": f"g{generator.integers(0, 60)}",
        "candidates": [{"category": "Home > Mugs"}],
    }
    if leaf < 2:
        enrichment["category"] = ["Home > Kettles" if leaf else "Elsewhere"]
    document = {"id": f"壶-{number}", "in_stock": bool(generator.random() < 0.8), "shelfwise": enrichment}
    return Entry(number + 1, document, carried=bool(generator.random() < 0.3))


@pytest.fixture
def filled(tmp_path):
    generator = np.random.default_rng(0)
    bundle = write_hand_bundle(tmp_path / "bundle", {"kettle": [1, 0, 0]}, LEAVES)
    with Spool(tmp_path / "runs", "a run") as spool:
        for segment in range(3):
            vectors = generator.normal(size=(40, 3))
            vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
            spool.write(segment, [entry(40 * segment + place, generator) for place in range(40)], vectors)
        yield spool, bundle


def test_the_lists_are_those_made_in_memory(filled):
    spool, bundle = filled
    entries = list(spool.stream())
    vectors = np.concatenate([spool.vectors(number) for number in range(3)])
    leaves, groups = {"Home > Kettles": 0, "Home > Mugs": 1}, {}
    own = [one.document["shelfwise"] for one in entries]
    filed = [(each.get("category") or [each["candidates"][0]["category"]])[0] for each in own]
    found = similar(
        vectors,
        np.array([leaves.setdefault(leaf, len(leaves)) for leaf in filed]),
        np.array([groups.setdefault(each["group"], len(groups)) for each in own]),
        np.array([one.document["in_stock"] for one in entries]),
        SIMILAR,
    )
    wanted = [
        [
            {"id": entries[row].document["id"], "score": round(float(score), 4)}
            for row, score in zip(rows, scores, strict=True)
            if row >= 0
        ]
        for rows, scores in zip(found.ids[:], found.scores[:], strict=True)
    ]
    products = Spooled.of(spool, bundle)
    lists = SimilarLists.of(spool, products, bundle.dimension)
    assert [one for part in np.split(np.arange(120), 3) for one in lists.at(part)] == wanted
    assert min(map(len, wanted)) == SIMILAR
    assert len(products) == 120
    assert products.carried.tolist() == [one.carried for one in entries]
    assert products.same.tolist() == [one.same for one in entries]
    assert products.text_hashes.tolist() == as_numbers([each["text_hash"] for each in own]).tolist()
    assert list(products.lacks(["not there", "壶-3", "also not", "壶-119"])) == ["not there", "also not"]


def test_lists_of_some_are_those_that_they_have_among_all(filled):
    spool, bundle = filled
    products = Spooled.of(spool, bundle)
    every = SimilarLists.of(spool, products, bundle.dimension).at(np.arange(120))
    some = SimilarLists.of(spool, products, bundle.dimension, ~products.carried).at(np.arange(120))
    assert some == [[] if carried else list_ for list_, carried in zip(every, products.carried, strict=True)]


def test_a_number_for_each_hash_is_the_same_for_the_same_only():
    names = [f"g{number % 7}" for number in range(50)]
    numbers = numbered(b"".join(hashlib.blake2b(name.encode(), digest_size=16).digest() for name in names))
    assert len(dict.fromkeys(zip(names, numbers.tolist(), strict=True))) == len(set(numbers.tolist())) == 7
    halves = [(1, 2), (2, 1), (1, 2), (2, 2), (1, 1)]  # alike in one half only
    numbers = numbered(np.array(halves, dtype=np.uint64).tobytes())
    assert len(set(numbers.tolist())) == 4
    assert numbers[0] == numbers[2]
    assert numbered(b"").tolist() == []


def test_how_many_of_the_nearest_an_approximate_search_finds_is_said(filled, monkeypatch, capsys):
    spool, bundle = filled
    products = Spooled.of(spool, bundle)
    SimilarLists.of(spool, products, bundle.dimension)
    assert "were found" not in capsys.readouterr().err
    own = similar_lists.similar

    def with_recall(*args, **kwargs):
        found = own(*args, **kwargs)
        return Neighbours(found.ids, found.scores, 0.9912)

    monkeypatch.setattr(similar_lists, "similar", with_recall)
    SimilarLists.of(spool, products, bundle.dimension)
    assert "of the nearest at least 99.1% were found" in capsys.readouterr().err
