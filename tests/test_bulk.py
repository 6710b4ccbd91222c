"""Bulk: what is sent fast is what would be sent slowly."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import orjson
import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, Urllib3HttpNode
from elasticsearch.serializer import JsonSerializer
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.errors import ServerError
from shelfwise.server import Json, takes_packed_vectors
from shelfwise_indexer import bulk, bulk_request

VECTORS = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


def test_a_packed_vector_is_big_endian_float32():
    assert bulk.packed(np.array([1.0, -2.0], np.float32)) == "P4AAAMAAAAA="


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(codec=None)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    )
)  # fmt: skip
def test_the_fast_json_says_what_the_standard_one_says(content):
    fast, slow = Json(), JsonSerializer()
    assert slow.loads(fast.dumps({"x": content})) == slow.loads(slow.dumps({"x": content}))
    assert fast.loads(fast.dumps({"x": content})) == slow.loads(slow.dumps({"x": content}))


def test_vectors_are_held_as_float32_while_they_are_read(monkeypatch):
    def scanned(*_):
        for number in range(400):
            yield {"_id": f"{number:03}", "fields": {"shelfwise.vector": [number + at / 1000 for at in range(1000)]}}
        yield {"_id": "none"}

    monkeypatch.setattr(bulk, "scanned", scanned)
    tracemalloc.start()
    ids, held = bulk.vectors(None, "products")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3 * held.nbytes
    assert (ids[-1], held[-1].any()) == ("none", False)
    assert held[7, 5] == np.float32(7.005)


class Narrow(Urllib3HttpNode):
    """The way to a server past a proxy that takes no request of more than `most` bytes."""

    most = 1000

    def perform_request(self, method, target, body=None, **given):
        if len(body or b"") <= self.most:
            return super().perform_request(method, target, body=body, **given)
        meta = ApiResponseMeta(413, "1.1", HttpHeaders({"content-type": "text/html"}), 0.0, self.config)
        return SimpleNamespace(meta=meta, body=b"<html><h1>413 Request Entity Too Large</h1></html>")


@pytest.mark.es
class TestOnAServer:
    @pytest.fixture
    def index(self, client, alias):
        vector = {"type": "dense_vector", "dims": 4, "similarity": "dot_product"}
        mappings = {"dynamic": "strict", "properties": {"id": {"type": "keyword"}, "shelfwise": {
            "properties": {"vector": vector}}}}  # fmt: skip
        client.indices.create(index=f"{alias}-bulk", mappings=mappings)
        return f"{alias}-bulk"

    def test_a_vector_comes_back_as_it_was_in_either_shape(self, client, index):
        shapes = [np.ndarray.tolist, bulk.packed if takes_packed_vectors(client) else np.ndarray.tolist]
        documents = [{"id": str(n), "shelfwise": {"vector": shapes[n % 2](row)}} for n, row in enumerate(VECTORS)]
        assert bulk.send(client, index, documents) == {}
        client.indices.refresh(index=index)
        ids, held = bulk.vectors(client, index)
        assert ids == sorted(str(n) for n in range(len(VECTORS)))
        np.testing.assert_array_equal(held[[ids.index(str(n)) for n in range(len(VECTORS))]], VECTORS)

    def test_what_is_refused_in_either_half_is_named(self, client, index):
        documents = [{"id": str(n)} | ({"colour": "red"} if n in (0, 7) else {}) for n in range(8)]
        refused = bulk.send(client, index, documents)
        assert refused.keys() == {"0", "7"}
        assert all("colour" in reason for reason in refused.values())
        assert bulk.send(client, index, []) == {}

    def test_a_product_whose_twins_are_longer_within_sixteen_bits_is_found(self, client, index):
        """More twins than are asked for, each a hair longer: all come before the product's own vector."""
        row = np.array([0.6, 0.8, 0, 0])
        lengths = [np.sqrt(0.9992)] + [np.sqrt(1.0008)] * 2 * bulk.SELF_AMONG
        documents = [
            {"id": str(n), "shelfwise": {"vector": (length * row).tolist()}} for n, length in enumerate(lengths)
        ]
        documents.append({"id": "other", "shelfwise": {"vector": [0.8, -0.6, 0, 0]}})
        assert bulk.send(client, index, documents) == {}
        client.indices.refresh(index=index)
        assert bulk.found_by_vector(client, index, "0", (lengths[0] * row).astype(np.float32))
        assert not bulk.found_by_vector(client, index, "other", row.astype(np.float32))
        assert not bulk.found_by_vector(client, index, "none", row.astype(np.float32))

    def test_what_is_too_big_for_a_proxy_is_sent_in_halves_and_only_what_is_too_big_alone_is_refused(
        self, client, index, elasticsearch_url
    ):
        narrow = type(client)(elasticsearch_url, node_class=Narrow)
        documents = [{"id": f"{n:0>100}"} for n in range(100)] + [{"id": "long", "shelfwise": {"text": "x" * 1000}}]
        refused = bulk.send(narrow, index, documents)
        assert refused.keys() == {"long"}
        assert "413" in refused["long"]
        assert "client_max_body_size" in refused["long"]
        client.indices.refresh(index=index)
        assert sorted(bulk.ids(client, index)) == [document["id"] for document in documents[:-1]]
        bulk.delete(narrow, index, [document["id"] for document in documents])
        client.indices.refresh(index=index)
        assert list(bulk.ids(client, index)) == []

    @pytest.mark.parametrize("setting", ["write", "read_only_allow_delete"])
    def test_a_block_is_named_at_once(self, client, index, monkeypatch, setting):
        monkeypatch.setattr(bulk_request.time, "sleep", lambda _: pytest.fail("waited"))
        client.indices.put_settings(index=index, settings={f"index.blocks.{setting}": True})
        message = f"^filling index {index}: index {index} has the block index.blocks.{setting}.*run the same command"
        with pytest.raises(ServerError, match=message):
            bulk.send(client, index, [{"id": "1"}])

    def test_what_the_server_is_too_busy_for_is_sent_again(self, client, index, monkeypatch):
        """Twice it has no room for all but the first of each request."""
        own, waited, requests = bulk_request.streaming_bulk, [], []
        full = {"type": "es_rejected_execution_exception", "reason": "the queue is full"}

        def busy(client, actions, **given):
            sent = list(actions)
            requests.append([action["_id"] for action in sent])
            refused = sent[1:] if len(requests) < 3 else []
            yield from own(client, [action for action in sent if action not in refused], **given)
            yield from ((False, {"index": {"_id": one["_id"], "status": 429, "error": full}}) for one in refused)

        monkeypatch.setattr(bulk_request, "streaming_bulk", busy)
        monkeypatch.setattr(bulk_request.time, "sleep", waited.append)
        actions = [{"_index": index, "_id": id_, "_source": {"id": id_}} for id_ in "abcd"]
        assert list(bulk.refusals(client, "filling", actions)) == []
        assert (requests, waited) == ([[*"abcd"], [*"bcd"], [*"cd"]], [1, 2])
        client.indices.refresh(index=index)
        assert sorted(bulk.ids(client, index)) == [*"abcd"]
        monkeypatch.setattr(bulk_request, "WAITS", ())
        requests.clear()
        with pytest.raises(ServerError, match=r"filling: the server is too busy .*the queue is full.*run the same"):
            list(bulk.refusals(client, "filling", actions))

    def test_a_server_that_goes_away_is_one_error(self, client, index):
        with pytest.raises(ServerError, match="filling index"):
            bulk.send(type(client)("http://127.0.0.1:1"), index, [{"id": "1"}, {"id": "2"}])


def test_numbers_of_numpy_are_written_as_json():
    assert orjson.loads(Json().dumps({"v": VECTORS[0]}))["v"] == pytest.approx(VECTORS[0].tolist())
