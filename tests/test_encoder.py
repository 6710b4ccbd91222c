import gc
import math
import shutil
import subprocess
import sys
import threading
import weakref

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hand_bundle import write_hand_bundle
from patience import until
from shelfwise.bulk_encoder import BulkEncoder
from shelfwise.bundle import Bundle, content_version
from shelfwise.encoder import (
    BATCH_TOKENS,
    SHORT_STEP,
    WIDTH_STEP,
    Encoded,
    Encoder,
    batch_shape,
    batches_by_length,
    softmax,
)

WORDS = {"kettle": (1, 0, 0), "case": (0, 1, 0), "phone": (0, 0.8, 0.6), "壶": (0.6, 0, 0.8)}
KETTLE = 2  # its token: [PAD], [UNK], kettle
LEAVES = [("Home",), ("Phones",)]
# From one word to sixty, in no order, many more tokens than one batch takes.
MIXED = [" ".join(list(WORDS)[(n * step) % 4] for step in range(1, n * 37 % 60 + 2)) for n in range(120)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_hand_bundle(tmp_path_factory.mktemp("encoder") / "bundle", WORDS, LEAVES)


@pytest.fixture
def with_settings(bundle, tmp_path):
    """The same model under other settings."""

    def write(**settings):
        folder = shutil.copytree(bundle.path, tmp_path / "bundle", dirs_exist_ok=True)
        info = {**bundle.info, **settings}
        info["version"] = content_version(folder, info)
        (folder / "bundle.json").write_bytes(orjson.dumps(info))
        return Bundle.load(folder).encoder

    return write


def test_a_text_has_the_vector_of_its_words(bundle):
    encoded = bundle.encoder.encode_documents(["kettle", "kettle case", "Phone!"])
    assert encoded.vectors == pytest.approx(np.array([[1, 0, 0], [0.7071, 0.7071, 0], [0, 0.8, 0.6]]), abs=2e-3)
    assert encoded.vectors.dtype == encoded.probabilities.dtype == np.float32


def test_batched_is_the_same_as_one_by_one(bundle):
    together = bundle.encoder.encode_documents(MIXED)
    alone = [bundle.encoder.encode_documents([text]) for text in MIXED]
    assert np.abs(together.vectors - np.concatenate([one.vectors for one in alone])).max() < 1e-6
    assert np.abs(together.probabilities - np.concatenate([one.probabilities for one in alone])).max() < 1e-6


def test_the_mixed_texts_take_several_batches_and_are_in_no_order():
    lengths = [len(text.split()) for text in MIXED]
    assert len(batches_by_length(lengths)) > 1
    assert lengths != sorted(lengths)
    assert (min(lengths), max(lengths)) == (1, 60)


def test_input_order_is_kept_over_mixed_lengths(bundle):
    texts = ["case " * 40, "kettle", "phone " * 10, "case", "kettle " * 30]
    nearest = bundle.encoder.encode_documents(texts).vectors.argmax(axis=1)
    assert nearest.tolist() == [1, 0, 1, 1, 0]


def test_reversed_input_gives_reversed_output(bundle):
    there, back = bundle.encoder.encode_documents(MIXED), bundle.encoder.encode_documents(MIXED[::-1])
    assert there.vectors == pytest.approx(back.vectors[::-1], abs=1e-6)


def test_the_token_that_fills_a_batch_does_not_matter(bundle, with_settings):
    texts = ["case", "case phone phone phone case phone 壶"]
    padded_with_a_word = with_settings(pad_token_id=KETTLE).encode_documents(texts)
    assert padded_with_a_word.vectors == pytest.approx(bundle.encoder.encode_documents(texts).vectors, abs=1e-6)


def test_nothing_gives_nothing_of_the_right_shape(bundle):
    for encoded in (bundle.encoder.encode_documents([]), bundle.encoder.encode_queries([])):
        assert encoded.vectors.shape == (0, 3)
        assert encoded.probabilities.shape == (0, 2)
        assert encoded.vectors.dtype == np.float32


def test_probabilities_sum_to_one(bundle):
    sums = bundle.encoder.encode_documents(MIXED).probabilities.sum(axis=1)
    assert sums == pytest.approx(np.ones(len(MIXED)), abs=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 10.0])
def test_probabilities_follow_the_temperature(with_settings, temperature):
    # The hand bundle's logits of "kettle" are 10 and 0.
    [[home, phones]] = with_settings(temperature=temperature).encode_documents(["kettle"]).probabilities
    assert home == pytest.approx(1 / (1 + math.exp(-10 / temperature)), abs=1e-6)
    assert phones == pytest.approx(1 / (1 + math.exp(10 / temperature)), abs=1e-6)


def test_temperature_changes_no_vector_and_no_winner(bundle, with_settings):
    warm, cool = with_settings(temperature=7.0).encode_documents(MIXED), bundle.encoder.encode_documents(MIXED)
    assert np.array_equal(warm.vectors, cool.vectors)
    assert np.array_equal(warm.probabilities.argmax(axis=1), cool.probabilities.argmax(axis=1))


def test_vectors_have_unit_length(bundle):
    vectors = bundle.encoder.encode_documents([*MIXED, "no word of it is known"]).vectors
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(MIXED) + 1), abs=1e-5)


def test_what_stands_after_max_tokens_is_not_read(with_settings):
    encoder = with_settings(max_tokens=2)
    cut, whole = encoder.encode_documents(["kettle case phone phone phone", "kettle case"]).vectors
    assert np.array_equal(cut, whole)


def test_a_prompt_counts_towards_max_tokens(with_settings):
    encoder = with_settings(max_tokens=2, prompts={"document": "kettle "})
    [vector] = encoder.encode_documents(["kettle case"]).vectors
    assert vector == pytest.approx(np.array([1, 0, 0]), abs=1e-6)


def test_documents_and_queries_are_read_behind_their_own_prompts(bundle, with_settings):
    prompted = with_settings(prompts={"document": "case ", "query": "kettle "})
    plain = bundle.encoder.encode_documents(["case 壶", "kettle 壶"])
    assert np.array_equal(prompted.encode_documents(["壶"]).vectors, plain.vectors[:1])
    assert np.array_equal(prompted.encode_queries(["壶"]).vectors, plain.vectors[1:])
    assert not np.array_equal(*plain.vectors)


def test_without_prompts_a_query_and_a_document_are_read_alike(bundle):
    assert np.array_equal(bundle.encoder.encode_queries(MIXED).vectors, bundle.encoder.encode_documents(MIXED).vectors)


def test_chinese_is_read_character_by_character(bundle):
    alone, among_unknown = bundle.encoder.encode_documents(["壶", "不锈钢电热水壶，大容量"]).vectors
    assert alone == pytest.approx(np.array([0.6, 0, 0.8]), abs=1e-6)
    assert float(alone @ among_unknown) > 0.999


def test_a_text_is_known_when_any_part_of_it_is(bundle):
    known = [bundle.encoder.knows(text) for text in ("壶", "quince 壶", "quince", "🎁", "\x00", "")]
    assert known == [True, True, False, False, False, False]


def test_a_text_of_which_a_quarter_is_unknown_is_not_read(bundle):
    texts = ["壶", "壶壶壶 quince", "壶壶壶壶 quince", "quince", "", "壶"]
    unread = bundle.encoder.encode_documents(texts).unread
    assert unread.tolist() == [False, True, False, True, False, False]


def test_softmax_stands_large_logits():
    assert softmax(np.array([[1000, 0], [-1000, -1000]], dtype=np.float32)).tolist() == [[1, 0], [0.5, 0.5]]


@given(lengths=st.lists(st.integers(0, 3 * BATCH_TOKENS), max_size=60))
def test_every_text_is_in_one_batch_and_no_batch_of_several_is_too_large(lengths):
    batches = [batch.tolist() for batch in batches_by_length(lengths)]
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        assert batch
        assert len(batch) == 1 or len(batch) * max(lengths[place] for place in batch) <= BATCH_TOKENS


@given(lengths=st.lists(st.integers(1, 64), min_size=1, max_size=300), most=st.integers(64, 512))
def test_batches_are_filled_up_to_few_shapes_that_hold_them(lengths, most):
    for batch in batches_by_length(lengths):
        longest = max(lengths[place] for place in batch)
        size, width = batch_shape(len(batch), longest, most)
        assert len(batch) <= size
        assert longest <= width <= most
        assert size * width <= BATCH_TOKENS
        whole = BATCH_TOKENS // width
        assert (size, width) == (whole, longest) or (
            (width % WIDTH_STEP == 0 and size in {8, 16, 32, 64, 128, 256, whole})
            or (width <= WIDTH_STEP and width % SHORT_STEP == 0 and size in {2, 4, 8, 16, 32, 64, 128, 256, whole})
        )


def test_over_many_catalogues_of_titles_the_shapes_stay_few():
    draw, shapes, cells, tokens = np.random.default_rng(0), set(), 0, 0
    for _ in range(200):
        lengths = np.minimum(draw.lognormal(2.5, 0.35, 2048).astype(int) + 2, 64)  # of titles, a long tail
        for batch in batches_by_length(lengths.tolist()):
            shape = batch_shape(len(batch), int(lengths[batch].max()), 64)
            shapes.add(shape)
            cells += shape[0] * shape[1]
        tokens += lengths.sum()
    assert len(shapes) < 60
    assert cells < 1.12 * tokens


def test_a_text_for_itself_is_not_filled_up(bundle, monkeypatch):
    shapes = []
    really = bundle.encoder._inputs
    monkeypatch.setattr(bundle.encoder, "_inputs", lambda *given: shapes.append(really(*given)) or shapes[-1])
    bundle.encoder.encode_queries(["kettle case phone"])
    bundle.encoder.encode_documents(["kettle case", "phone"])
    assert [inputs["input_ids"].shape for inputs in shapes] == [(1, 3), (2, 4)]


def test_what_a_batch_is_filled_up_with_is_not_seen(bundle):
    texts = ["kettle", "phone case", "case"]
    assert batch_shape(3, 2, 64) == (4, 4)
    encoded = bundle.encoder.encode_documents(texts)
    assert (encoded.vectors.shape, encoded.probabilities.shape) == ((3, 3), (3, 2))
    alone = [bundle.encoder.encode_documents([text]).vectors for text in texts]
    assert np.abs(encoded.vectors - np.concatenate(alone)).max() < 1e-6


def test_the_same_text_is_read_once_and_stands_where_it_stood(bundle, monkeypatch):
    runs = []
    run = bundle.encoder._filled
    monkeypatch.setattr(bundle.encoder, "_filled", lambda tokens, **more: runs.extend(tokens) or run(tokens, **more))
    texts = ["kettle", "phone", "kettle", "phone case", "phone"]
    encoded = bundle.encoder.encode_documents(texts)
    assert len(runs) == 3
    for row, text in enumerate(texts):
        alone = bundle.encoder.encode_documents([text])
        np.testing.assert_allclose(encoded.vectors[row], alone.vectors[0], atol=1e-6)
        np.testing.assert_allclose(encoded.probabilities[row], alone.probabilities[0], atol=1e-6)


def test_a_query_is_read_once_and_answered_the_same_again(bundle, monkeypatch):
    encoder, runs = Encoder(bundle), []
    run = encoder._filled
    monkeypatch.setattr(encoder, "_filled", lambda tokens, **more: runs.extend(tokens) or run(tokens, **more))
    first = encoder.encode_queries(["kettle", "phone", "kettle"])
    assert len(runs) == 2
    first.vectors[:] = 0  # the caller's own
    again = encoder.encode_queries(["phone", "case"])
    assert len(runs) == 3
    np.testing.assert_array_equal(again.vectors[0], Encoder(bundle).encode_queries(["phone"]).vectors[0])
    assert encoder.encode_queries([]).vectors.shape == (0, bundle.dimension)


def test_queries_of_many_threads_are_read_together_and_each_gets_its_own(bundle):
    encoder, passes, begun, gate = Encoder(bundle), [], threading.Event(), threading.Event()
    really = encoder._encode

    def encode(prompt, texts):
        passes.append(list(texts))
        begun.set()
        assert gate.wait(10)
        return really(prompt, texts)

    encoder._encode, got = encode, {}
    queries = ["kettle", "phone case", "case", "kettle phone"]
    threads = [
        threading.Thread(target=lambda text=text, n=n: got.update({n: encoder.encode_queries([text])}))
        for n, text in enumerate(queries)
    ]
    threads[0].start()
    assert begun.wait(10)
    for count, thread in enumerate(threads[1:], start=1):
        thread.start()
        until(lambda count=count: len(encoder._reading._waiting) == count)
    gate.set()
    for thread in threads:
        thread.join()
    assert passes == [queries[:1], queries[1:]]
    for n, text in enumerate(queries):
        alone = Encoder(bundle).encode_queries([text])
        np.testing.assert_allclose(got[n].vectors, alone.vectors, atol=1e-6)
        np.testing.assert_allclose(got[n].probabilities, alone.probabilities, atol=1e-6)


def test_an_encoder_that_nobody_holds_gives_its_memory_back_at_once(bundle):
    gc.collect()
    gc.disable()
    try:
        for kind in (Encoder, BulkEncoder):
            encoder = kind(bundle)
            encoder.encode_queries(["kettle"])
            gone = weakref.ref(encoder)
            del encoder
            assert gone() is None
    finally:
        gc.enable()


def test_the_latest_queries_are_remembered_and_no_more(bundle, monkeypatch):
    monkeypatch.setattr("shelfwise.encoder.REMEMBERED", 2)
    encoder = Encoder(bundle)
    for text in ("kettle", "phone", "kettle", "case"):
        encoder.encode_queries([text])
    assert list(encoder._remembered) == ["kettle", "case"]
    assert len(encoder.encode_queries(["a", "b", "c", "a"]).vectors) == 4
    assert len(encoder._remembered) == 2


@pytest.mark.parametrize("module", ["shelfwise.encoder", "shelfwise_indexer.quantization"])
def test_the_runtime_tells_nobody_that_it_is_used(module):
    program = (
        f"import {module}, openvino.tools.ovc.telemetry_utils as t, sys\n"
        "print(t.tm.__name__, sys.modules['openvino_telemetry'])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["openvino.tools.ovc.telemetry_stub", "None"]


def test_a_vector_moves_towards_what_is_alike_and_stays_of_unit_length():
    vectors, alike = np.array([[1, 0], [0, 1]], np.float32), np.array([[0, 1], [0, 0]], np.float32)
    encoded = Encoded(vectors, np.ones((2, 1), np.float32), alike)
    assert encoded.expanded(0.5) == pytest.approx(np.array([[2 / np.sqrt(5), 1 / np.sqrt(5)], [0, 1]]), abs=1e-6)
    assert encoded.expanded(0.5).dtype == np.float32
    assert encoded.expanded(0.0) is vectors
    assert Encoded(vectors, encoded.probabilities).expanded(0.5) is vectors


def test_to_a_model_that_remembers_nothing_nothing_is_alike(bundle):
    encoded = bundle.encoder.encode_queries(["kettle", "case"])
    assert encoded.alike.tolist() == [[0, 0, 0]] * 2
    np.testing.assert_array_equal(encoded.expanded(0.2), encoded.vectors)
    assert bundle.encoder.encode_documents(["kettle"]).alike is None


def test_texts_taken_together_are_their_mean_and_one_alone_stays():
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1]], dtype=np.float32)
    probabilities = np.array([[1, 0], [0.3, 0.7], [0.5, 0.5]], dtype=np.float32)
    encoded = Encoded(vectors, probabilities, np.zeros_like(vectors))
    assert encoded.together([1, 1, 1]) is encoded
    together = encoded.together([1, 2])
    assert (together.vectors[0] == vectors[0]).all()
    assert together.vectors[1] == pytest.approx(np.array([0.6, 1.8]) / np.hypot(0.6, 1.8))
    assert together.probabilities[1] == pytest.approx([0.4, 0.6])
    assert together.alike is not None
    assert not together.alike.any()
