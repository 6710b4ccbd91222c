"""The encoder on GPUs gives what the exported model gives; without a GPU the same code runs on the processor."""

import shutil
from dataclasses import replace

import numpy as np
import orjson
import pytest
import torch
from safetensors.torch import load_file, save_file

from shelfwise.bulk_encoder import BulkEncoder
from shelfwise.bundle import Bundle
from shelfwise.errors import InvalidBundle, UsageError
from shelfwise.precision import BOUNDS, compare
from shelfwise_indexer import document_encoder, gpu_encoder
from shelfwise_indexer.bundle_migration import migrate_bundle
from shelfwise_indexer.compress import CompressSettings
from shelfwise_indexer.document_encoder import DocumentEncoder
from shelfwise_indexer.encoder_fit import EncoderFitSettings
from shelfwise_indexer.fit import FitSettings
from shelfwise_indexer.gpu_encoder import GpuEncoder
from shelfwise_indexer.loss import LossSettings
from shelfwise_indexer.settings import TrainSettings
from shelfwise_indexer.taxonomy_changes import Change, Changes
from shelfwise_indexer.training import train
from tiny_backbone import write_tiny_backbone

pytestmark = pytest.mark.model

HERE = "cuda:0" if torch.cuda.is_available() else "cpu"
LEAVES = {"kettle": ("Kitchen", "Kettles"), "mug": ("Kitchen", "Mugs"), "tent": ("Sports", "Tents")}
EXTRAS = [
    f"{size} {look}"
    for size in ("large", "small", "tall", "wide")
    for look in ("red", "blue", "old", "new", "matt", "light", "heavy", "plain", "cheap", "fine")
]
TITLES = [f"{extra} {kind}" for kind in LEAVES for extra in EXTRAS]
TEXTS = [*TITLES, "mug", "", *[" ".join(TITLES[n : n + 3]) for n in range(0, 60, 7)]]


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backbone")
    prompts = {"query": "query: ", "document": "passage: "}
    write_tiny_backbone(folder / "tiny", TITLES, prompts)
    return TrainSettings(
        backbone=str(folder / "tiny"),
        max_tokens=16,
        fit=FitSettings(epochs=2, learning_rate=1e-3, head_learning_rate=5e-3, batch_size=16),
        encoder_fit=EncoderFitSettings(epochs=1, batch_size=8),
        compress=CompressSettings(int8=False),
    )


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    path = tmp_path_factory.mktemp("catalogue") / "catalogue.jsonl"
    lines = [
        {"id": f"p{number}", "title": title, "category": list(LEAVES[title.split()[-1]])}
        for number, title in enumerate(TITLES)
    ]
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, catalogue, settings):
    return Bundle.load(train(catalogue, tmp_path_factory.mktemp("out") / "bundle", settings=settings).bundle)


def assert_same(bundle, got):
    exact = bundle.encoder.encode_documents(TEXTS)
    np.testing.assert_allclose(got.vectors, exact.vectors, atol=1e-4)
    np.testing.assert_allclose(got.probabilities, exact.probabilities, atol=1e-4)


@pytest.mark.parametrize("most", [16, 64, gpu_encoder.BATCH_TOKENS])
@pytest.mark.parametrize("replicas", [1, 3])
def test_it_gives_what_the_exported_model_gives(bundle, monkeypatch, most, replicas):
    monkeypatch.setattr(gpu_encoder, "BATCH_TOKENS", most)
    encoder = GpuEncoder(bundle, "f32", [HERE] * replicas)
    got = encoder.encode_documents([*TEXTS, TEXTS[0]])
    np.testing.assert_array_equal(got.vectors[0], got.vectors[-1])
    assert_same(bundle, replace(got, vectors=got.vectors[:-1], probabilities=got.probabilities[:-1]))


@pytest.mark.parametrize("kind", ["several labels", "separate encoder", "categories that became one", "cut"])
def test_it_does_so_for_every_kind_of_bundle(bundle, catalogue, settings, tmp_path, kind):
    match kind:
        case "several labels":
            settings = replace(settings, loss=LossSettings(multi_label=True))
        case "separate encoder":
            settings = replace(settings, encoder=settings.backbone)
        case "cut":
            settings = replace(settings, dimension=8)
    if kind == "categories that became one":
        merged = Changes((Change(1, "merged", (LEAVES["kettle"], LEAVES["mug"]), (("Kitchen", "Vessels"),)),))
        merged.check(bundle.taxonomy.leaves)
        migrate_bundle(bundle, merged, tmp_path / "bundle")
    else:
        train(catalogue, tmp_path / "bundle", settings=settings)
    other = Bundle.load(tmp_path / "bundle")
    assert_same(other, GpuEncoder(other, "f32", [HERE]).encode_documents(TEXTS))


def test_queries_get_their_own_prompt(bundle):
    got = GpuEncoder(bundle, "f32", [HERE]).encode_queries(["mug", "old tent"])
    np.testing.assert_allclose(got.vectors, bundle.encoder.encode_queries(["mug", "old tent"]).vectors, atol=1e-4)


def test_sixteen_bits_find_the_same(bundle):
    halved = GpuEncoder(bundle, "bf16", [HERE]).encode_documents(TEXTS)
    exact = bundle.encoder.encode_documents(TEXTS)
    assert compare(exact, halved).passes(BOUNDS["bf16"])
    assert not np.array_equal(halved.vectors, exact.vectors)


def test_a_batch_that_does_not_fit_is_halved_until_it_does(bundle, monkeypatch):
    own, sizes = GpuEncoder._on_device, []

    def small(self, model, tokens):
        sizes.append(len(tokens))
        if len(tokens) > 9:
            raise torch.OutOfMemoryError
        return own(self, model, tokens)

    monkeypatch.setattr(GpuEncoder, "_on_device", small)
    assert_same(bundle, GpuEncoder(bundle, "f32", [HERE]).encode_documents(TEXTS))
    assert max(sizes) > 9 > min(sizes)


def test_a_text_that_does_not_fit_alone_is_an_error(bundle, monkeypatch):
    def none(self, model, tokens):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(GpuEncoder, "_on_device", none)
    with pytest.raises(torch.OutOfMemoryError):
        GpuEncoder(bundle, "f32", [HERE]).encode_documents(TEXTS)


class TestDocumentEncoder:
    @pytest.fixture
    def with_a_gpu(self, monkeypatch):
        monkeypatch.setattr(gpu_encoder, "devices", lambda: [HERE])
        monkeypatch.setattr(document_encoder, "DRIVERS", ("/",))

    @pytest.mark.parametrize("device", ["auto", "gpu"])
    @pytest.mark.parametrize("fastest", ["f32", "bf16"])
    def test_a_gpu_is_used_where_there_is_one(self, bundle, with_a_gpu, monkeypatch, tmp_path, capsys, device, fastest):
        monkeypatch.setattr(gpu_encoder, "arithmetic", lambda: fastest)
        encoder = DocumentEncoder(bundle, choices=tmp_path, device=device)
        got = encoder.encode(TEXTS)
        assert f"encoding in {fastest} on {HERE}" in capsys.readouterr().err
        assert isinstance(encoder._encoder(encoder.precision), GpuEncoder)
        assert compare(bundle.encoder.encode_documents(TEXTS), got).passes(BOUNDS["bf16"])
        assert len(encoder.encode([]).vectors) == 0

    @pytest.mark.parametrize("precision", ["f32", "bf16"])
    def test_the_precision_that_is_asked_for_is_used(self, bundle, with_a_gpu, tmp_path, precision):
        encoder = DocumentEncoder(bundle, precision, tmp_path)
        got = encoder.encode(TEXTS)
        expected = GpuEncoder(bundle, precision, [HERE]).encode_documents(TEXTS)
        np.testing.assert_array_equal(got.vectors, expected.vectors)

    def test_a_checkpoint_of_another_model_is_refused(self, bundle, with_a_gpu, tmp_path, capsys):
        broken = Bundle.load(shutil.copytree(bundle.path, tmp_path / "broken"))
        file = broken.path / "checkpoint" / "model.safetensors"
        weights = load_file(file)
        name = next(name for name in weights if name.endswith("output.dense.weight"))
        weights[name] = -weights[name]
        save_file(weights, file, metadata={"format": "pt"})
        assert Bundle.load(broken.path).version == bundle.version
        with pytest.raises(InvalidBundle, match="is not the model of bundle"):
            DocumentEncoder(broken, "f32", tmp_path, "gpu").encode(TEXTS)
        exact = bundle.encoder.encode_documents(TEXTS)
        for device in ("auto", "cpu"):
            got = DocumentEncoder(broken, "f32", tmp_path, device).encode(TEXTS)
            np.testing.assert_allclose(got.vectors, exact.vectors, atol=1e-6)
        assert capsys.readouterr().err.count("encoding on the processor instead") == 1

    def test_a_damaged_checkpoint_is_named(self, bundle, with_a_gpu, tmp_path):
        broken = Bundle.load(shutil.copytree(bundle.path, tmp_path / "broken"))
        (broken.path / "checkpoint" / "head.safetensors").write_bytes(b"nothing")
        with pytest.raises(InvalidBundle, match="the head cannot be read"):
            DocumentEncoder(broken, "f32", tmp_path, "gpu").encode(TEXTS)

    def test_a_head_of_other_categories_is_refused(self, bundle, with_a_gpu, tmp_path):
        broken = Bundle.load(shutil.copytree(bundle.path, tmp_path / "broken"))
        file = broken.path / "checkpoint" / "head.safetensors"
        save_file(
            {name: weight[:2].clone() if weight.ndim else weight for name, weight in load_file(file).items()}, file
        )
        with pytest.raises(InvalidBundle, match="does not do on"):
            DocumentEncoder(broken, "f32", tmp_path, "gpu").encode(TEXTS)

    def test_a_gpu_without_room_leaves_it_to_the_processor(self, bundle, with_a_gpu, monkeypatch, tmp_path, capsys):
        def none(self, model, tokens):
            raise torch.OutOfMemoryError("out of memory")

        monkeypatch.setattr(GpuEncoder, "_on_device", none)
        got = DocumentEncoder(bundle, "f32", tmp_path).encode(TEXTS)
        np.testing.assert_allclose(got.vectors, bundle.encoder.encode_documents(TEXTS).vectors, atol=1e-6)
        assert "(out of memory): encoding on the processor instead" in capsys.readouterr().err

    def test_without_a_checkpoint_the_processor_is_used(self, bundle, with_a_gpu, tmp_path):
        bare = Bundle.load(shutil.copytree(bundle.path, tmp_path / "bare", ignore=shutil.ignore_patterns("checkpoint")))
        assert isinstance(DocumentEncoder(bare, "f32", tmp_path)._encoder("f32"), BulkEncoder)

    def test_a_gpu_that_is_not_there_is_an_error(self, bundle, monkeypatch, tmp_path):
        monkeypatch.setattr(gpu_encoder, "devices", list)
        with pytest.raises(UsageError, match="torch finds no GPU here"):
            DocumentEncoder(bundle, choices=tmp_path, device="gpu")

    def test_integers_are_for_the_processor(self, bundle, with_a_gpu, tmp_path):
        with pytest.raises(UsageError, match="int8 is for the processor"):
            DocumentEncoder(bundle, "int8", tmp_path, "gpu")
        with pytest.raises(UsageError, match="has no int8 model"):
            DocumentEncoder(bundle, "int8", tmp_path)
