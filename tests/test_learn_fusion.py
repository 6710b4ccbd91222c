from functools import partial

import pytest

from hand_bundle import write_hand_bundle
from hand_index import document, fill
from shelfwise.errors import UsageError
from shelfwise.search import ProductSearch
from shelfwise_indexer.learn_fusion import learn_fusion

pytestmark = pytest.mark.es

# The model takes every 74 for a kettle, and the shop's word for a gift is another: digits want words, others meaning.
WORDS = {"ink": (1, 0), "present": (0, 1), "gift": (0, 1), "warm": (0, 1)}
PRODUCTS = [
    {"id": "i74", "title": "cartridge 74 warm"},
    {"id": "i75", "title": "ink 75"},
    {"id": "p1", "title": "present box"},
    {"id": "g1", "title": "paper for wrapping a gift ink ink"},
]


def test_weights_are_learnt_from_judged_queries(client, alias, tmp_path):
    bundle = write_hand_bundle(tmp_path / "bundle", WORDS, [("A",), ("B",)])
    fill(client, alias, bundle, [document(bundle, record) for record in PRODUCTS])
    judged = {"ink 74": {"i74": 3}, "gift": {"p1": 3}, "gift warm": {"p1": 3}}
    learnt = learn_fusion(partial(ProductSearch, client, alias, bundle), judged)
    assert learnt.of("ink 74")["lexical"] > 0.5 > learnt.of("gift")["lexical"]
    with pytest.raises(UsageError, match="of at least one query"):
        learn_fusion(partial(ProductSearch, client, alias, bundle), {})
