"""A separate encoder on tiny BERTs: search reads the second model, and the classifier does not know of it."""

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
import torch
from transformers import Trainer

from shelfwise.bundle import Bundle
from shelfwise.encoder import Encoder
from shelfwise.errors import UsageError
from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer import encoder_fit
from shelfwise_indexer.compact import compact
from shelfwise_indexer.encoder_fit import EncoderFitSettings, fit_encoder
from shelfwise_indexer.encoder_pairs import Prompts, batches, pairs_of
from shelfwise_indexer.encoder_retrieval import retrieval
from shelfwise_indexer.export import load_checkpoint
from shelfwise_indexer.fit import FitSettings, last_checkpoint
from shelfwise_indexer.model import BackboneError, load_trunk
from shelfwise_indexer.own_encoder import same_tokens
from shelfwise_indexer.preparation import read_labelled
from shelfwise_indexer.settings import TrainSettings, classifier_only
from shelfwise_indexer.training import train
from tiny_backbone import write_tiny_backbone

pytestmark = pytest.mark.model

KINDS = {"Home > Kettles": "kettle", "Home > Mugs": "mug", "Camping > Tents": "tent"}
EXTRAS = [" ".join(pair) for pair in itertools.product(("large", "small", "light"), ("red", "blue", "grey", "old"))]
LINES = [
    {"id": f"{kind}{n}", "title": f"{extra} {kind}", "description": f"for {extra.split()[1]} days", "category": path}
    for path, kind in KINDS.items()
    for n, extra in enumerate(EXTRAS)
]
WORDS = [f"{line['title']} {line['description']}" for line in LINES]
TEXTS = ["large red kettle", "old tent", "mug"]
PROMPTS = {"query": "query: ", "document": "passage: "}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own-encoder")
    write_tiny_backbone(folder / "backbone", WORDS)
    write_tiny_backbone(folder / "encoder", WORDS, PROMPTS, layers=1, deviation=0.2)
    (folder / "catalogue.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in LINES))
    bought = [{"user": kind, "history": [f"{kind}{n}" for n in range(12)]} for kind in KINDS.values()]
    (folder / "events.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in bought))
    return folder


@pytest.fixture(scope="module")
def catalogue(folder):
    return folder / "catalogue.jsonl"


@pytest.fixture(scope="module")
def settings(folder):
    return TrainSettings(
        backbone=str(folder / "backbone"),
        encoder=str(folder / "encoder"),
        max_tokens=16,
        fit=FitSettings(epochs=1, learning_rate=1e-3, head_learning_rate=5e-3, batch_size=16),
        encoder_fit=EncoderFitSettings(epochs=4, batch_size=8, learning_rate=1e-3),
    )


@pytest.fixture(scope="module")
def trained(folder, catalogue, settings):
    return train(catalogue, folder / "bundle", settings=settings)


@pytest.fixture(scope="module")
def bundle(trained):
    return Bundle.load(trained.bundle)


@pytest.fixture(scope="module")
def other(folder, catalogue, settings):
    """The same, but for the second model: fitted on events too, at another rate, and cut."""
    fit = replace(settings.encoder_fit, learning_rate=3e-3, epochs=1)
    compress = replace(settings.compress, int8=False)
    changed = replace(settings, encoder_fit=fit, dimension=8, compress=compress)
    return Bundle.load(train(catalogue, folder / "other", settings=changed, events=folder / "events.jsonl").bundle)


def given_by(bundle, texts):
    """What the checkpoint gives for documents: embedding and logits."""
    model = load_checkpoint(bundle).eval()
    prompt = bundle.info["prompts"]["document"]
    tokens = model.trunk.tokenizer([prompt + text for text in texts], padding=True, return_tensors="pt")
    with torch.inference_mode():
        outputs = model(tokens["input_ids"], tokens["attention_mask"])
    return outputs["embedding"].numpy(), outputs["logits"].numpy()


def test_the_embedding_is_what_sentence_transformers_gives_for_the_fitted_second_model(bundle, settings):
    fitted = load_trunk(str(bundle.path / "checkpoint" / "encoder"), 16, "cpu")
    assert fitted.prompts["query"] == "query: "
    queries = fitted.encode(TEXTS, prompt_name="query", normalize_embeddings=True)
    np.testing.assert_allclose(bundle.encoder.encode_queries(TEXTS).vectors, queries, atol=1e-4)
    untrained = load_trunk(settings.encoder, 16, "cpu").encode(TEXTS, prompt_name="query", normalize_embeddings=True)
    assert np.abs(queries - untrained).max() > 0.01


def test_the_exported_graph_gives_what_the_checkpoint_gives(bundle):
    embedding, logits = given_by(bundle, TEXTS)
    encoded = bundle.encoder.encode_documents(TEXTS)
    expected = torch.from_numpy(logits / bundle.info["temperature"]).softmax(-1).numpy()
    np.testing.assert_allclose(encoded.vectors, embedding, atol=1e-4)
    np.testing.assert_allclose(encoded.probabilities, expected, atol=1e-4)


def test_the_categories_do_not_depend_on_it(bundle, other):
    one, two = (given_by(each, TEXTS)[1] for each in (bundle, other))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(
        *(each.encoder.encode_documents(TEXTS).probabilities for each in (bundle, other)), atol=1e-6
    )
    assert bundle.info["metrics"] == other.info["metrics"]
    assert bundle.info["thresholds"] == pytest.approx(other.info["thresholds"], abs=1e-6)


def test_with_an_event_log_it_learns_what_was_bought_together_and_it_can_be_cut(bundle, other):
    assert "bought together" not in bundle.info["encoder"]["pairs"]
    assert other.info["encoder"]["pairs"]["bought together"]["used"] > 0
    assert (other.dimension, other.info["embedding"]["full"]) == (8, 32)
    vectors = other.encoder.encode_documents(TEXTS).vectors
    np.testing.assert_allclose(vectors, given_by(other, TEXTS)[0], atol=1e-4)
    cut = load_trunk(str(other.path / "checkpoint" / "encoder"), 16, "cpu")
    np.testing.assert_allclose(vectors, cut.encode(["passage: " + text for text in TEXTS], prompt=""), atol=1e-4)


def test_what_it_finds_is_stated_in_the_output_the_bundle_and_the_page(trained, bundle):
    stated = trained.to_json()["encoder"]
    assert stated == bundle.info["encoder"]
    assert (stated["name"], stated["licence"]) == (bundle.info["settings"]["encoder"], "unknown")
    before, after = (stated["held_back"][when] for when in ("before", "after"))
    assert before["products"] == after["products"] == trained.scores.products > 0
    assert after["title_mrr"] > before["title_mrr"]
    page = (bundle.path / "report" / "index.html").read_text("utf-8")
    assert f"{before['title_mrr']:.3f}" in page
    assert all(0 < count["used"] <= count["found"] for count in stated["pairs"].values())


def test_there_is_an_int8_model_of_both_or_it_is_said_why_not(bundle):
    entry = bundle.info["compressed"]["int8"]
    if not entry["kept"]:
        assert entry["reason"]
        return
    exact, fast = (Encoder(bundle, kind).encode_documents(TEXTS) for kind in ("f32", "int8"))
    assert (exact.vectors * fast.vectors).sum(axis=1).min() > 0.95
    np.testing.assert_allclose(exact.probabilities, fast.probabilities, atol=1e-4)  # all of the classifier stays exact


def test_training_goes_on_from_both_models(bundle, catalogue, settings, tmp_path):
    short = replace(settings, encoder=None, encoder_fit=EncoderFitSettings(learning_rate=1e-9, batch_size=8))
    short = replace(short, compress=replace(settings.compress, int8=False), use_held_back=False)
    after = Bundle.load(train(catalogue, tmp_path / "next", settings=short, start=bundle).bundle)
    assert after.info["encoder"]["name"].endswith(f"@{bundle.version}")
    assert after.info["settings"]["encoder"] == settings.encoder
    assert after.info["encoder"]["held_back"]["before"] == bundle.info["encoder"]["held_back"]["after"]
    vectors = [each.encoder.encode_documents(TEXTS).vectors for each in (bundle, after)]
    np.testing.assert_allclose(*vectors, atol=1e-4)


def test_a_bundle_with_one_is_compacted_with_its_checkpoint(bundle, catalogue, tmp_path):
    smaller = compact(bundle, catalogue, 4, tmp_path / "smaller").bundle
    encoded = smaller.encoder.encode_documents(TEXTS)
    np.testing.assert_allclose(encoded.vectors, given_by(smaller, TEXTS)[0], atol=1e-4)
    assert encoded.probabilities.tobytes() == bundle.encoder.encode_documents(TEXTS).probabilities.tobytes()
    ours, theirs = (load_trunk(str(one.path / "checkpoint"), 16, "cpu") for one in (smaller, bundle))
    assert (len(ours), ours.get_embedding_dimension()) == (len(theirs), 32)  # the trunk is not cut


def test_a_checkpoint_without_its_encoder_is_refused(bundle, catalogue, tmp_path):
    copied = Bundle.load(shutil.copytree(bundle.path, tmp_path / "damaged"))
    shutil.rmtree(copied.path / "checkpoint" / "encoder")
    with pytest.raises(BackboneError, match="encoder cannot be loaded"):
        load_checkpoint(copied)
    with pytest.raises(BackboneError, match="encoder cannot be loaded"):
        train(
            catalogue, tmp_path / "b", settings=replace(classifier_only(TrainSettings()), max_tokens=16), start=copied
        )
    assert not (tmp_path / "b").exists()


def test_an_encoder_of_another_tokenizer_is_refused_by_both_names(folder, catalogue, settings, tmp_path):
    strange = write_tiny_backbone(tmp_path / "strange", ["quite other words"])
    with pytest.raises(BackboneError, match="have different tokenizers") as error:
        train(catalogue, tmp_path / "b", settings=replace(settings, encoder=str(strange)))
    assert str(strange) in str(error.value)
    assert settings.backbone in str(error.value)
    assert not list(tmp_path.glob(".b*"))


def test_one_vocabulary_with_other_rules_is_another_tokenizer(folder):
    one, two = (load_trunk(str(folder / name), 16, "cpu") for name in ("backbone", "encoder"))
    assert same_tokens(one, two, WORDS)
    two.tokenizer.backend_tokenizer.normalizer = None  # capitals stay
    assert not same_tokens(one, two, WORDS)


def test_an_encoder_that_is_not_there_is_one_line(catalogue, settings, tmp_path):
    with pytest.raises(BackboneError, match="cannot be loaded") as error:
        train(catalogue, tmp_path / "b", settings=replace(settings, encoder=str(tmp_path / "nothing")))
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_no_encoder_of_its_own_takes_part_in_a_distillation(bundle, catalogue, settings, tmp_path):
    with pytest.raises(UsageError, match="has a separate encoder"):
        train(catalogue, tmp_path / "b", settings=settings, teacher=bundle)
    plain = Bundle(
        bundle.path, {name: value for name, value in bundle.info.items() if name != "encoder"}, bundle.taxonomy
    )
    with pytest.raises(UsageError, match="one of --encoder and --distil"):
        train(catalogue, tmp_path / "b", settings=settings, teacher=plain)


def test_an_event_log_without_an_encoder_to_teach_is_refused(folder, catalogue, settings, tmp_path):
    with pytest.raises(UsageError, match="give --encoder NAME with --events"):
        train(catalogue, tmp_path / "b", settings=replace(settings, encoder=None), events=folder / "events.jsonl")


def test_the_trunk_is_not_held_where_search_does_not_read_it(settings):
    assert (settings.effective_retention, settings.effective_tuned_share) == (0.0, 1.0)
    assert (TrainSettings().effective_retention, TrainSettings().effective_tuned_share) == (4.0, 0.6)
    given = replace(settings, retention=2.0, tuned_share=0.5)
    assert (given.effective_retention, given.effective_tuned_share) == (2.0, 0.5)
    alone = classifier_only(settings)
    assert (alone.encoder, alone.effective_retention, alone.effective_tuned_share) == (None, 0.0, 1.0)


@pytest.mark.parametrize("whole_epochs", [2, 1])
def test_an_interrupted_fit_ends_as_an_uninterrupted_one(whole_epochs, catalogue, folder, tmp_path, monkeypatch):
    """Where it was killed while it wrote its second checkpoint, it goes on from the first."""
    products = read_labelled(catalogue).products
    some = batches(
        pairs_of(products, WORDS, Taxonomy.of(path for product in products for path in product.categories), Prompts())[
            "title to title"
        ],
        4,
        0,
    )
    settings = EncoderFitSettings(epochs=3, learning_rate=1e-3)

    def fitted(work):
        encoder = load_trunk(str(folder / "encoder"), 16, "cpu")
        fit_encoder(encoder, some, settings, 7, work)
        return encoder.state_dict()

    whole = fitted(tmp_path / "whole")
    read, own = [0], encoder_fit._Columns.__call__

    def ends(self, rows):
        read[0] += 1
        if read[0] > 2 * len(some) + 3:
            raise KeyboardInterrupt
        return own(self, rows)

    with monkeypatch.context() as patched:
        patched.setattr(encoder_fit._Columns, "__call__", ends)
        with pytest.raises(KeyboardInterrupt):
            fitted(tmp_path / "parts")
    newest = Path(last_checkpoint(tmp_path / "parts"))
    if whole_epochs == 1:
        for written_after_the_weights in set(newest.iterdir()) - {newest / "model.safetensors"}:
            written_after_the_weights.unlink()
    steps, own_step = [], Trainer.training_step

    def counted(trainer, *rest):
        steps.append(trainer.state.global_step)
        return own_step(trainer, *rest)

    monkeypatch.setattr(Trainer, "training_step", counted)
    resumed = fitted(tmp_path / "parts")
    assert len(steps) == (3 - whole_epochs) * len(some)  # what was whole is not learnt again
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_what_is_measured_is_what_a_search_by_brute_force_finds(catalogue, folder):
    products = read_labelled(catalogue).products
    encoder = load_trunk(str(folder / "encoder"), 16, "cpu")
    found = retrieval(encoder, products, WORDS, Prompts("query: ", "passage: "))
    documents = encoder.encode(["passage: " + text for text in WORDS], prompt="", normalize_embeddings=True)
    ranks = []
    for number, product in enumerate(products):
        cosines = documents @ encoder.encode(product.title, prompt="query: ", normalize_embeddings=True)
        ranks.append(1 + int((cosines > cosines[number] + 1e-6).sum()))
    assert found.title_mrr == pytest.approx(float(np.mean(1 / np.array(ranks))), abs=0.02)
    assert found.products == len(products)
