import subprocess
import sys
from functools import partial
from pathlib import Path

import orjson
import pytest

from hand_bundle import write_hand_bundle
from hand_index import document, fill
from shelfwise.errors import UsageError
from shelfwise.search import ProductSearch
from shelfwise_indexer.learn_fusion import FOLDS, learn_fusion

pytestmark = pytest.mark.es

# The model takes every 74 for a kettle, and the shop's word for a gift is another: digits want words, others meaning.
WORDS = {"ink": (1, 0), "present": (0, 1), "gift": (0, 1), "warm": (0, 1)}
PRODUCTS = [
    {"id": "i74", "title": "cartridge 74 warm"},
    {"id": "i75", "title": "ink 75"},
    {"id": "p1", "title": "present box"},
    {"id": "g1", "title": "paper for wrapping a gift ink ink"},
]
JUDGED = {"ink 74": {"i74": 3}, "gift": {"p1": 3}, "gift warm": {"p1": 3}, "present": {"p1": 3}, "ink 75": {"i75": 3}}


def test_weights_are_learnt_from_judged_queries(client, alias, tmp_path):
    bundle = write_hand_bundle(tmp_path / "bundle", WORDS, [("A",), ("B",)])
    fill(client, alias, bundle, [document(bundle, record) for record in PRODUCTS])
    weights = learn_fusion(partial(ProductSearch, client, alias, bundle), JUDGED).weights
    assert weights.of("ink 74")["lexical"] > 0.5 > weights.of("gift")["lexical"]


def test_what_was_learnt_is_measured_on_queries_it_was_not_learnt_from(client, alias, tmp_path):
    bundle = write_hand_bundle(tmp_path / "bundle", WORDS, [("A",), ("B",)])
    fill(client, alias, bundle, [document(bundle, record) for record in PRODUCTS])
    search_with = partial(ProductSearch, client, alias, bundle)
    learnt = learn_fusion(search_with, JUDGED)
    assert learnt.gain.queries == len(JUDGED)
    assert learnt.gain.mean == pytest.approx(learnt.unseen - learnt.default)
    assert 0 < learnt.default <= 1
    without = {f"nothing {n}": {"p1": 0} for n in range(4)}  # nDCG 0 whatever the weight
    assert learn_fusion(search_with, JUDGED | without) == learnt
    with pytest.raises(UsageError, match=f"at least {FOLDS} queries with a relevant product"):
        learn_fusion(search_with, {"gift": {"p1": 3}} | without)


def test_the_command_writes_weights_that_a_search_takes(client, alias, tmp_path, elasticsearch_url):
    bundle = write_hand_bundle(tmp_path / "bundle", WORDS, [("A",), ("B",)])
    fill(client, alias, bundle, [document(bundle, record) for record in PRODUCTS])
    judged = tmp_path / "judged.jsonl"
    judged.write_bytes(
        b"".join(
            orjson.dumps({"query": text, "id": id_, "grade": grade}) + b"\n"
            for text, grades in JUDGED.items()
            for id_, grade in grades.items()
        )
    )
    program = [Path(sys.executable).parent / "shelfwise"]
    where = ["--alias", alias, "--bundle", bundle.path, "--url", elasticsearch_url]
    weights = tmp_path / "fusion.json"
    learning = [*program, "evaluate", "fusion", *where, "--judgements", judged, "--out", weights]
    ran = subprocess.run(learning, capture_output=True, check=True)
    said = orjson.loads(ran.stdout)
    assert said["weights"] == orjson.loads(weights.read_bytes())
    assert said["minus"]["queries"] == len(JUDGED)
    searching = [*program, "search", "gift", *where, "--fusion", weights]
    found = subprocess.run(searching, capture_output=True, check=True).stdout.splitlines()
    assert orjson.loads(found[0])["id"] == "p1"
