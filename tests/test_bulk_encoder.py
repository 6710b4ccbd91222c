"""The bulk encoder: batches side by side, and the same vectors and probabilities as one batch after the other."""

import threading

import numpy as np
import pytest

from hand_bundle import add_hand_int8, write_hand_bundle
from shelfwise import bulk_encoder
from shelfwise.bulk_encoder import BulkEncoder
from shelfwise.encoder import BATCH_TOKENS, Encoder
from shelfwise.errors import UsageError
from shelfwise.processor import has_bf16

WORDS = {"kettle": (1, 0), "case": (0.6, 0.8), "phone": (0, 1)}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    bare = write_hand_bundle(tmp_path_factory.mktemp("bulk") / "bundle", WORDS, [("Home",), ("Phones",)])
    return add_hand_int8(bare)


def texts(count):
    draw = np.random.default_rng(count)
    return [" ".join(draw.choice([*WORDS, "unknown"], size=draw.integers(1, 40))) for _ in range(count)]


# One batch, fewer than there are streams, several for each, and none.
@pytest.mark.parametrize("count", [0, 1, 2, 3, 150, 1500])
@pytest.mark.parametrize("precision", ["f32", "int8"])
def test_it_gives_what_one_batch_after_the_other_gives(bundle, count, precision):
    some = texts(count)
    expected = Encoder(bundle, precision).encode_documents(some)
    got = BulkEncoder(bundle, precision).encode_documents(some)
    np.testing.assert_allclose(got.vectors, expected.vectors, atol=1e-5)
    np.testing.assert_allclose(got.probabilities, expected.probabilities, atol=1e-5)


def test_in_sixteen_bits_the_vectors_point_the_same_way(bundle):
    some = texts(300)
    got = BulkEncoder(bundle, "bf16").encode_documents(some).vectors
    cosines = (got * Encoder(bundle).encode_documents(some).vectors).sum(axis=1)
    assert cosines.min() > (0.99 if has_bf16() else 0.9999)


def test_threads_may_share_it(bundle):
    encoder, some = BulkEncoder(bundle), [texts(count) for count in (400, 500, 600)]
    got = [None] * len(some)

    def encode(place):
        got[place] = encoder.encode_documents(some[place]).vectors

    threads = [threading.Thread(target=encode, args=(place,)) for place in range(len(some))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for own, vectors in zip(some, got, strict=True):
        np.testing.assert_allclose(vectors, Encoder(bundle).encode_documents(own).vectors, atol=1e-5)


def test_what_would_be_one_batch_is_shared_out(bundle):
    encoder = BulkEncoder(bundle)
    encoder.streams = 4
    assert [len(batch) for batch in encoder._batches([8] * 40)] == [10] * 4
    assert [len(batch) for batch in encoder._batches([8])] == [1]
    whole = BATCH_TOKENS // 8
    assert [len(batch) for batch in encoder._batches([8] * (3 * whole))] == [whole] * 3


@pytest.mark.parametrize("longest", [64, 512])
def test_a_runtime_without_the_property_runs_all_the_same(bundle, monkeypatch, longest):
    asked, really = [], bulk_encoder.compiled

    def compiled(model, arithmetic, **hints):
        asked.append(sorted(hints))
        if "SNIPPETS_MODE" in hints:
            raise RuntimeError("Unsupported property SNIPPETS_MODE by CPU plugin")
        return really(model, arithmetic, **hints)

    monkeypatch.setattr(bulk_encoder, "compiled", compiled)
    monkeypatch.setitem(bundle.info, "max_tokens", longest)
    got = BulkEncoder(bundle).encode_documents(["kettle"]).vectors
    np.testing.assert_allclose(got, Encoder(bundle).encode_documents(["kettle"]).vectors, atol=1e-5)
    without, both = ["PERFORMANCE_HINT"], [["PERFORMANCE_HINT", "SNIPPETS_MODE"], ["PERFORMANCE_HINT"]]
    assert asked == (both if longest == 64 else [without])


def test_what_the_runtime_itself_says_of_a_property_that_it_does_not_know_is_understood(bundle, monkeypatch):
    monkeypatch.setattr(bulk_encoder, "UNFUSED", {"NO_SUCH_PROPERTY": "DISABLE"})
    got = BulkEncoder(bundle).encode_documents(["kettle"]).vectors
    np.testing.assert_allclose(got, Encoder(bundle).encode_documents(["kettle"]).vectors, atol=1e-5)


def test_int8_that_the_bundle_does_not_have_is_refused(tmp_path):
    bare = write_hand_bundle(tmp_path / "bare", WORDS, [("Home",), ("Phones",)])
    with pytest.raises(UsageError, match="has no int8 model"):
        BulkEncoder(bare, "int8")
