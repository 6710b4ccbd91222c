"""Compression of a tiny model with every kind of head, beside its slow twin: the exact one."""

import os
from dataclasses import replace

import numpy as np
import openvino as ov
import orjson
import pytest
import torch

from shelfwise.bundle import Bundle, content_version
from shelfwise.compressed import FILES, MODEL, has_int8
from shelfwise.encoder import Encoder
from shelfwise.errors import InvalidBundle
from shelfwise.precision import BOUNDS, Bounds, compare
from shelfwise.product import Product
from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer import compress as compression
from shelfwise_indexer import quantization
from shelfwise_indexer.compress import CompressSettings, Loss, compress, compress_again
from shelfwise_indexer.export import export
from shelfwise_indexer.graph import before
from shelfwise_indexer.lexical import LexicalHead
from shelfwise_indexer.memory import BLOCK, MemoryHead, MemorySettings
from shelfwise_indexer.model import ShelfModel, load_trunk
from shelfwise_indexer.packing import runtime_settings
from shelfwise_indexer.quantization import CompressionError, quantize
from shelfwise_indexer.settings import TrainSettings
from tiny_backbone import write_tiny_backbone

pytestmark = pytest.mark.model

LEAVES = [("Kitchen", "Kettles"), ("Kitchen", "Mugs"), ("Sports", "Tents")]
NOUNS = ["kettle", "mug", "tent"]
EXTRAS = ["large", "small", "light", "heavy", "cheap", "sturdy", "new", "old", "matt", "shiny", "blue", "red"]
PRODUCTS = [
    Product(f"{noun}-{one}-{two}", f"{one} {two} {noun}", categories=(leaf,))
    for noun, leaf in zip(NOUNS, LEAVES, strict=True)
    for one in EXTRAS
    for two in EXTRAS
]
HELD_BACK = PRODUCTS[::4]
SETTINGS = CompressSettings(calibration_texts=32)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compress")
    backbone = write_tiny_backbone(folder / "tiny", (product.title for product in PRODUCTS))
    taxonomy = Taxonomy.of(LEAVES)
    torch.manual_seed(0)
    model = ShelfModel(load_trunk(str(backbone), 16, "cpu"), taxonomy)
    labels = np.eye(3, dtype=np.float32)
    model.head = MemoryHead(model.head, torch.randn(3, 32), labels, MemorySettings(), np.ones(3, np.float32))
    model.lexical = LexicalHead(64, 3, model.trunk.tokenizer.vocab_size)
    model.lexical.coefficients.copy_(torch.randn(64, 3))
    target = folder / "bundle"
    export(model, target, [product.title for product in PRODUCTS[:4]])
    (target / "taxonomy.json").write_bytes(orjson.dumps(taxonomy.to_json()))
    info = runtime_settings(model.trunk, TrainSettings(max_tokens=16))
    info["version"] = content_version(target, info)
    (target / "bundle.json").write_bytes(orjson.dumps(info))
    return Bundle.load(target)


@pytest.fixture(scope="module")
def exact(bundle):
    return bundle.encoder.encode_documents([bundle.text(product) for product in HELD_BACK])


@pytest.fixture(scope="module")
def batches(bundle):
    return list(bundle.encoder.document_inputs([product.title for product in PRODUCTS[:32]]))


def with_entry(bundle, compressed):
    return Bundle(bundle.path, {**bundle.info, "compressed": compressed}, bundle.taxonomy)


def test_it_finds_what_the_exact_model_finds(bundle, exact, capsys):
    compressed = compress(bundle, PRODUCTS, HELD_BACK, exact, SETTINGS, seed=0)
    entry = compressed["int8"]
    assert entry["kept"]
    assert entry["recall_at_10"] >= 0.95
    assert entry["held_back"] == len(HELD_BACK)
    assert entry["products"] == compression.LEAST_CHECKED
    fast = Encoder(with_entry(bundle, compressed), "int8").encode_documents([one.title for one in HELD_BACK])
    assert (fast.vectors * exact.vectors).sum(axis=1).min() > 0.99
    assert (fast.vectors != exact.vectors).any()
    np.testing.assert_allclose(np.linalg.norm(fast.vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(fast.probabilities, exact.probabilities, atol=0.05)
    assert Bundle.load(bundle.path).version == bundle.version
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 2


def test_only_the_trunk_and_the_likeness_to_what_is_remembered_are_in_integers(bundle, batches):
    def in_integers(model):
        """Operations of the trunk and of the heads that read integers, or numbers rounded to them."""
        trunk, all_ = before(model, "embedding"), before(model, "logits")
        heads = {name: one for name, one in all_.items() if name not in trunk}
        assert "Softmax" in {one.get_type_name() for one in heads.values()}
        return [[one for one in part.values() if _reads_integers(one)] for part in (trunk, heads)]

    whole, spared = (in_integers(quantize(bundle, batches, spared)) for spared in (False, True))
    assert len(whole[0]) > len(spared[0]) > 0
    for _, heads in (whole, spared):
        [likeness] = (one for one in heads if one.get_type_name() == "MatMul")
        assert likeness.get_output_partial_shape(0)[1].get_length() == 3 * BLOCK  # three products, each of its own leaf
        assert {one.get_type_name() for one in heads} <= {"MatMul", "Convert", "Multiply", "Subtract"}


def _reads_integers(operation):
    given = operation.input_values()
    return any(
        one.get_node().get_type_name() == "FakeQuantize" or one.get_element_type() in (ov.Type.i8, ov.Type.u8)
        for one in given
    )


def test_the_same_model_and_texts_give_the_same_files(bundle, batches, tmp_path):
    files = []
    for name in ("one", "two"):
        ov.save_model(quantize(bundle, batches, spared=False), tmp_path / f"{name}.xml", compress_to_fp16=False)
        files.append([(tmp_path / f"{name}{end}").read_bytes() for end in (".xml", ".bin")])
    assert files[0] == files[1]


def test_one_that_loses_too_much_is_removed_and_the_reason_stays(bundle, exact, monkeypatch, capsys):
    monkeypatch.setattr(compression, "LEAST_RECALL", 1.01)
    compressed = compress(bundle, PRODUCTS, HELD_BACK, exact, SETTINGS, seed=0)
    entry = compressed["int8"]
    assert not entry["kept"]
    assert entry["spared"]  # the second attempt was made
    assert "at least 1.01 is wanted" in entry["reason"]
    assert not any((bundle.path / name).exists() for name in FILES)
    assert not has_int8(with_entry(bundle, compressed))
    assert f"no int8 model: {entry['reason']}" in capsys.readouterr().err


def test_without_held_back_products_those_trained_on_are_measured(bundle, exact):
    nothing = replace(exact, vectors=exact.vectors[:0], probabilities=exact.probabilities[:0])
    entry = compress(bundle, PRODUCTS, [], nothing, SETTINGS, seed=0)["int8"]
    assert (entry["held_back"], entry["products"]) == (0, compression.LEAST_CHECKED)


def test_a_backbone_that_cannot_be_compressed_is_no_failure_of_the_training(bundle, exact, monkeypatch):
    def fails(*_):
        raise CompressionError("no")

    monkeypatch.setattr(compression, "quantize", fails)
    assert compress(bundle, PRODUCTS, HELD_BACK, exact, SETTINGS, 0) == {"int8": {"kept": False, "reason": "no"}}
    assert not (bundle.path / MODEL).exists()


def test_what_the_library_cannot_take_is_said_in_one_line(bundle):
    with pytest.raises(CompressionError, match="NNCF cannot compress this backbone"):
        quantize(bundle, [{"input_ids": np.zeros((1, 2), np.int64)}], spared=False)


def test_the_library_sends_no_figures(monkeypatch):
    monkeypatch.delenv("NNCF_CI", raising=False)
    quantization._library()
    assert os.environ["NNCF_CI"]  # with it the library makes a stub of what would send them


def test_none_is_made_where_none_is_wanted(bundle, exact):
    assert compress(bundle, PRODUCTS, HELD_BACK, exact, CompressSettings(int8=False), 0) == {}


def kept_before(bundle):
    """The bundle as training leaves it before its head learns more: figures and hash of the model before."""
    measured = {"kept": True, "spared": False, "hash": "0" * 12, "products": 9, "recall_at_10": 0.97}
    return with_entry(bundle, {"int8": measured})


def test_after_more_was_learnt_it_is_compared_with_the_exact_model_again(bundle):
    before = kept_before(bundle)
    entry = compress_again(before, PRODUCTS, SETTINGS, seed=0)["int8"]
    texts = [one.title for one in compression._drawn(PRODUCTS, 0)[-compression.LEAST_CHECKED :]]
    fast = Encoder(with_entry(bundle, {"int8": entry}), "int8").encode_documents(texts)
    found = compare(bundle.encoder.encode_documents(texts), fast)
    assert entry["recall_at_10"] == 0.97
    assert entry["again"]["products"] == compression.LEAST_CHECKED
    assert entry["again"]["agreement"] == found.agreement
    assert entry["again"]["mean_cosine"] == pytest.approx(found.mean_cosine, abs=1e-5)


def test_after_more_was_learnt_one_that_is_too_unlike_is_removed(bundle, monkeypatch, capsys):
    monkeypatch.setitem(BOUNDS, "int8", Bounds(0.9, 0.99, 1.01))
    before = kept_before(bundle)
    compressed = compress_again(before, PRODUCTS, SETTINGS, seed=0)
    entry = compressed["int8"]
    assert (entry["kept"], "hash" in entry) == (False, False)
    assert "at least 101% is wanted" in entry["reason"]
    assert not any((bundle.path / name).exists() for name in FILES)
    assert not has_int8(with_entry(bundle, compressed))
    assert content_version(bundle.path, with_entry(bundle, compressed).info) == bundle.version
    assert f"no int8 model: {entry['reason']}" in capsys.readouterr().err


def test_after_more_was_learnt_what_cannot_be_compressed_is_no_failure_of_the_training(bundle, monkeypatch):
    def fails(*_):
        raise CompressionError("no")

    monkeypatch.setattr(compression, "quantize", fails)
    for name in FILES:
        (bundle.path / name).write_bytes(b"of the model before")
    entry = compress_again(kept_before(bundle), PRODUCTS, SETTINGS, 0)["int8"]
    assert (entry["kept"], entry["reason"], entry["again"]) == (False, "no", None)
    assert not any((bundle.path / name).exists() for name in FILES)


@pytest.mark.parametrize(
    ("lost", "recall", "words"),
    [(0.005, 0.95, None), (0.0051, 0.95, "loses 0.0051 of weighted F1"), (-0.1, 0.9499, "finds 0.9499 of the 10")],
)
def test_the_bounds_are_half_a_point_and_ninety_five_in_a_hundred(lost, recall, words):
    reason = Loss(100, 100, 0.8, lost, recall, 0.99, 0.99, 0.99).reason
    assert reason is None if words is None else words in reason


@pytest.mark.parametrize("compressed", [None, [], {"int8": None}, {"int8": "x"}])
def test_what_is_no_entry_is_an_invalid_bundle(bundle, compressed):
    with pytest.raises(InvalidBundle, match=r"bundle\.json: compressed is no object with int8"):
        has_int8(with_entry(bundle, compressed))
