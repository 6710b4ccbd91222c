"""Training on a tiny BERT: what comes out is what was trained, and an interruption changes nothing."""

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
import torch
from safetensors.numpy import save_file
from transformers import Trainer

from as_trained import assert_exported_as_trained
from shelfwise.bulk_encoder import BulkEncoder, side_by_side
from shelfwise.bundle import Bundle
from shelfwise.encoder import ALIKE, Encoder, by_leaf, output_names, sigmoid, softmax
from shelfwise.errors import UsageError
from shelfwise.filing import given_leaves
from shelfwise.messages import SAID
from shelfwise.product import Product
from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer import task, training
from shelfwise_indexer.bundle_migration import migrate_bundle
from shelfwise_indexer.catalogue import CatalogueError
from shelfwise_indexer.compress import CompressSettings
from shelfwise_indexer.evaluate import Epoch
from shelfwise_indexer.export import load_checkpoint
from shelfwise_indexer.fit import FitSettings, _epochs, _Progress, _SameOrder, last_checkpoint
from shelfwise_indexer.grouped import Grouping
from shelfwise_indexer.heads import HEADS, LinearHead
from shelfwise_indexer.loss import HierarchicalLoss, LossSettings, retention_loss
from shelfwise_indexer.memory import NEAREST, SILENT
from shelfwise_indexer.model import BackboneError, ShelfModel, load_trunk
from shelfwise_indexer.preparation import HELD_BACK_SHARE, TrainingError, read_labelled, split_apart
from shelfwise_indexer.readings import label_shares
from shelfwise_indexer.refit import RefitSettings
from shelfwise_indexer.settings import TrainSettings
from shelfwise_indexer.task import carry_over
from shelfwise_indexer.taxonomy_changes import Change, Changes
from shelfwise_indexer.trained_on import has_learnt, hashes_of, trained_on
from shelfwise_indexer.training import Trained, train
from test_good_rows import cut_off
from tiny_backbone import write_tiny_backbone

pytestmark = pytest.mark.model

KINDS = {
    ("Kitchen", "Kettles"): ["steel kettle", "glass kettle", "travel kettle", "gooseneck kettle"],
    ("Kitchen", "Mugs"): ["blue mug", "travel mug", "enamel mug", "tall mug"],
    ("Sports", "Tents"): ["dome tent", "family tent", "tunnel tent", "trekking tent"],
}
EXTRAS = ["large", "small", "light", "heavy", "cheap", "sturdy", "new", "old", "matt", "shiny"]


def records() -> list[dict[str, object]]:
    named = (
        (path, f"{extra} {kind}") for path, kinds in KINDS.items() for kind, extra in itertools.product(kinds, EXTRAS)
    )
    return [{"id": f"p{number}", "title": title, "category": list(path)} for number, (path, title) in enumerate(named)]


def write(path: Path, lines: list[dict[str, object]]) -> Path:
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def backbone(tmp_path_factory) -> Path:
    texts = [str(record["title"]) for record in records()]
    prompts = {"query": "query: ", "document": "passage: "}
    return write_tiny_backbone(tmp_path_factory.mktemp("backbone") / "tiny", texts, prompts)


@pytest.fixture(scope="module")
def settings(backbone) -> TrainSettings:
    fit = FitSettings(epochs=6, learning_rate=1e-3, head_learning_rate=5e-3, batch_size=16, seed=7)
    # Random weights hold nothing worth keeping.
    compress = CompressSettings(int8=False)  # takes seconds; one test turns it on
    return TrainSettings(backbone=str(backbone), max_tokens=16, retention=0.5, fit=fit, compress=compress)


@pytest.fixture(scope="module")
def quick(settings) -> TrainSettings:
    """For what does not depend on how well it learns: one epoch, and one export instead of two."""
    return replace(settings, fit=FitSettings(epochs=1), use_held_back=False)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("catalogue") / "catalogue.jsonl", records())


@pytest.fixture(scope="module")
def trained(tmp_path_factory, catalogue, settings) -> Trained:
    return train(catalogue, tmp_path_factory.mktemp("out") / "bundle", settings=settings)


@pytest.fixture(scope="module")
def bundle(trained) -> Bundle:
    return Bundle.load(trained.bundle)


def voices(model) -> int:
    """How many remembered texts have one."""
    return int((model.head.standing > SILENT).sum())


def test_a_learnable_catalogue_is_learnt(trained):
    assert trained.scores.levels[-1].accuracy > 0.9
    assert [level.level for level in trained.scores.levels] == [1, 2]
    assert 0 < trained.scores.products < len(records())


def test_where_nothing_is_accepted_training_says_how_many_held_back_products_prove_too_little(
    catalogue, settings, tmp_path, capsys
):
    eager = replace(settings, auto_accept_precision=0.5, use_held_back=False)
    told = [(train(catalogue, tmp_path / "b", settings=one), capsys.readouterr().err) for one in (settings, eager)]
    (shy, shy_said), (bold, bold_said) = told
    assert (shy.accepted, shy.to_json()["accepted"]) == ({"coverage": 0.0, "precision": None},) * 2
    assert f"{shy.scores.products} held-back products do not show that 95.0% of what would be accepted" in shy_said
    assert "it takes 32 at least, without an error" in shy_said
    assert bold.accepted["coverage"] > 0.5 < bold.accepted["precision"]
    assert "held-back products do not show" not in bold_said


def test_what_is_held_back_and_what_is_trained_on_make_up_the_catalogue(trained):
    assert trained.trained_on + trained.scores.products == len(records())


def test_in_the_end_the_head_learns_what_was_held_back_and_the_scores_are_those_from_before(
    bundle, catalogue, settings, tmp_path
):
    without = train(catalogue, tmp_path / "without", settings=replace(settings, use_held_back=False))
    before = Bundle.load(without.bundle)
    assert bundle.info["metrics"] == before.info["metrics"]
    assert (bundle.info["temperature"], bundle.info["thresholds"]) == (
        before.info["temperature"],
        before.info["thresholds"],
    )
    assert [one.info["data"]["used_held_back"] for one in (bundle, before)] == [True, False]
    every, part = (load_checkpoint(one) for one in (bundle, before))
    assert voices(every) == 2 * (len(records()) + len(KINDS))  # in both views, and what the categories are called
    assert voices(part) == 2 * (without.trained_on + len(KINDS))
    assert torch.equal(every.head.mixing, part.head.mixing)
    assert torch.equal(every.lexical.weight, part.lexical.weight)
    texts = ["large steel kettle", "tall mug"]
    vectors = [one.encoder.encode_documents(texts).vectors for one in (bundle, before)]
    np.testing.assert_array_equal(*vectors)


def test_a_validation_file_is_never_learnt(catalogue, settings, tmp_path, capsys):
    validation = write(tmp_path / "validation.jsonl", records()[:40])
    done = train(catalogue, tmp_path / "out", validation, replace(settings, fit=replace(settings.fit, epochs=1)))
    bundle = Bundle.load(done.bundle)
    assert not bundle.info["data"]["used_held_back"]
    assert voices(load_checkpoint(bundle)) == 2 * (len(records()) + len(KINDS))
    assert "40 of the 40 products of" in capsys.readouterr().err
    report = orjson.loads((bundle.path / "report" / "preparation.json").read_bytes())
    assert report["validation"]["in_training"] == 40


def test_what_a_category_is_called_is_filed_in_it_though_no_product_says_so(quick, tmp_path):
    renamed = {"Kettles": "Boilers", "Mugs": "Cups", "Tents": "Shelters"}
    lines = [{**line, "category": [renamed.get(name, name) for name in line["category"]]} for line in records()]
    texts = [str(line["title"]) for line in lines]
    backbone = write_tiny_backbone(tmp_path / "tiny", [*texts, *(name.lower() for name in renamed.values())])
    catalogue = write(tmp_path / "catalogue.jsonl", lines)
    names = list(renamed.values())

    def filed(category_names):
        told = replace(quick, backbone=str(backbone), category_names=category_names)
        done = train(catalogue, tmp_path / f"out-{category_names}", settings=told)
        assert done.trained_on + done.scores.products == len(lines)  # a name is no product
        bundle = Bundle.load(done.bundle)
        best = bundle.encoder.encode_queries(names).probabilities.argmax(axis=1)
        return [bundle.taxonomy.leaves[leaf][-1] for leaf in best]

    assert filed(category_names=True) == names
    assert filed(category_names=False) != names


def test_the_exported_model_gives_what_the_trained_one_gives(bundle):
    texts = ["large steel kettle", "mug", "a dome tent and very many other unknown words that go on and on"]
    assert_exported_as_trained(bundle, texts, "passage: ")


def test_the_embedding_is_what_sentence_transformers_gives_for_the_checkpoint(bundle):
    trunk = load_trunk(str(bundle.path / "checkpoint"), bundle.max_tokens, device="cpu")
    vectors = trunk.encode(["travel mug", "tent"], prompt_name="query", normalize_embeddings=True)
    np.testing.assert_allclose(bundle.encoder.encode_queries(["travel mug", "tent"]).vectors, vectors, atol=1e-4)


def test_a_query_is_most_like_the_remembered_products_nearest_to_it(bundle):
    head = load_checkpoint(bundle).head
    keys = (head.keys.float() * head.scale)[head.standing > SILENT].numpy()
    texts = ["travel mug", "old dome tent", "kettle", "travel mug"]
    encoded = bundle.encoder.encode_queries(texts)
    for vector, alike in zip(encoded.vectors, encoded.alike, strict=True):
        mean = keys[np.argsort(-(keys @ vector), kind="stable")[:NEAREST]].mean(axis=0)
        assert alike == pytest.approx(mean / np.linalg.norm(mean), abs=1e-4)
    again = bundle.encoder.encode_queries(texts[::-1])  # from what was kept
    np.testing.assert_array_equal(again.alike[::-1], encoded.alike)


def test_products_are_read_without_it(bundle):
    assert BulkEncoder(bundle).encode_documents(["travel mug", "old dome tent"]).alike is None
    assert [output.get_any_name() for output in side_by_side(bundle, "f32").outputs] == ["embedding", "logits"]
    assert ALIKE in output_names(bundle.network)  # which is the same as before


def test_nothing_in_the_bundle_is_a_pickle(bundle):
    endings = {path.suffix for path in bundle.path.rglob("*") if path.is_file()}
    assert endings <= {".json", ".xml", ".bin", ".safetensors", ".md", ".html"}


def test_the_bundle_says_what_it_was_made_of(bundle, catalogue):
    assert bundle.info["settings"]["fit"]["seed"] == 7
    assert bundle.info["taxonomy"] == bundle.taxonomy.hash
    assert bundle.info["prompts"] == {"query": "query: ", "document": "passage: "}
    assert set(bundle.info["libraries"]) >= {"torch", "transformers", "openvino"}
    assert not list(bundle.path.parent.glob(".*training*"))


def test_the_same_seed_gives_the_same_bundle(trained, catalogue, settings, tmp_path):
    assert train(catalogue, tmp_path / "again", settings=settings).version == trained.version


def test_a_compressed_model_stands_beside_the_same_exact_one(trained, catalogue, settings, tmp_path):
    compressed = replace(settings, compress=CompressSettings())
    bundle = Bundle.load(train(catalogue, tmp_path / "b", settings=compressed).bundle)
    assert bundle.version == trained.version
    entry = bundle.info["compressed"]["int8"]
    assert entry["kept"], entry["reason"]
    exact, fast = (Encoder(bundle, kind).encode_documents(["travel kettle", "blue mug"]) for kind in ("f32", "int8"))
    assert (exact.vectors * fast.vectors).sum(axis=1).min() > 0.99
    assert (exact.vectors != fast.vectors).any()
    assert Bundle.load(trained.bundle).info["compressed"] == {}


def test_an_interrupted_training_ends_as_an_uninterrupted_one(trained, catalogue, settings, tmp_path, monkeypatch):
    """Killed in earnest: the process ends within the fourth epoch, and a new one goes on."""
    import subprocess
    import sys

    program = """
import os, sys
from pathlib import Path
from pydantic import TypeAdapter
from transformers import TrainerCallback
from shelfwise_indexer import fit, train
from shelfwise_indexer.refit import RefitSettings
from shelfwise_indexer.settings import TrainSettings

class Killed(TrainerCallback):
    def on_step_begin(self, args, state, control, **kwargs):
        if state.epoch and state.epoch > 3.5:
            os._exit(9)

own = fit._Trainer.__init__
def with_killer(self, *args, **kwargs):
    own(self, *args, **kwargs)
    self.add_callback(Killed())
fit._Trainer.__init__ = with_killer
train(sys.argv[1], sys.argv[2], settings=TypeAdapter(TrainSettings).validate_json(sys.argv[3]))
"""
    out = tmp_path / "bundle"
    arguments = [str(catalogue), str(out), orjson.dumps(settings).decode()]
    killed = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, check=False, text=True)
    assert killed.returncode == 9, killed.stderr
    assert not out.exists()
    [work] = tmp_path.glob(".bundle.training-*")
    assert last_checkpoint(work / "fit")
    steps: list[int] = []
    own = Trainer.training_step

    def counted(trainer, *rest):
        steps.append(trainer.state.global_step)
        return own(trainer, *rest)

    monkeypatch.setattr(Trainer, "training_step", counted)
    resumed = train(catalogue, out, settings=settings)
    assert resumed.version == trained.version
    assert min(steps) == max(steps) + 1 - len(steps) > 0  # those of the first three epochs are not made again


def test_a_checkpoint_that_was_cut_off_is_none(tmp_path):
    assert last_checkpoint(tmp_path / "none") is None
    for steps in (9, 10, 100):
        (tmp_path / f"checkpoint-{steps}").mkdir()
        (tmp_path / f"checkpoint-{steps}" / "model.safetensors").write_bytes(b"")
    assert last_checkpoint(tmp_path) is None
    for steps in (9, 10):
        (tmp_path / f"checkpoint-{steps}" / "trainer_state.json").write_text("{}")
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")


def test_each_text_is_read_once_an_epoch_by_one_of_several_processes_that_drew_unlike_numbers():
    orders = []
    for process in range(2):
        sampler = _SameOrder(4, [number % 7 + 1 for number in range(40)], 7)
        torch.manual_seed(process)
        for epoch in (0, 1, 1):
            sampler.set_epoch(epoch)
            orders.append([*sampler])
            torch.rand(process)
    assert orders[:3] == orders[3:]
    assert orders[0] != orders[1] == orders[2]
    assert sorted(orders[0]) == [*range(40)]


@pytest.mark.parametrize("killed_after", [2, None])
def test_a_training_that_had_stopped_early_trains_no_further(killed_after, catalogue, settings, tmp_path, monkeypatch):
    """Interrupted in the epochs without a better score, and after the last of them."""
    few = replace(settings, use_held_back=False, fit=replace(settings.fit, epochs=9, learning_rate=1e-9, patience=2))
    few = replace(few, fit=replace(few.fit, head_learning_rate=1e-9))
    epochs: list[int] = []
    whole = train(catalogue, tmp_path / "whole", settings=few, on_epoch=lambda epoch, _: epochs.append(epoch))
    assert epochs == [1, 2, 3]

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        if killed_after is None:
            patched.setattr(task, "refit_head", interrupt)
        else:
            patched.setattr(_Progress, "on_epoch_begin", _after(killed_after, interrupt), raising=False)
        train(catalogue, tmp_path / "again", settings=few)
    further: list[int] = []
    again = train(catalogue, tmp_path / "again", settings=few, on_epoch=lambda epoch, _: further.append(epoch))
    assert further == ([] if killed_after is None else [3])
    assert again.version == whole.version


def _after(epoch, interrupt):
    return lambda self, args, state, control, **_: interrupt() if round(state.epoch or 0) == epoch else None


def test_a_training_that_fails_leaves_the_old_bundle_as_it_was(bundle, settings, tmp_path):
    before = bundle.version
    one_class = write(tmp_path / "one.jsonl", [record for record in records() if record["category"][1] == "Mugs"])
    with pytest.raises(TrainingError, match="two categories"):
        train(one_class, bundle.path, settings=settings)
    assert Bundle.load(bundle.path).version == before


def test_a_product_under_two_paths_counts_half_for_each():
    kettles, tents, mugs = ("Kitchen", "Kettles"), ("Sports", "Tents"), ("Kitchen", "Mugs")
    products = [
        Product(id="both", title="kettle", categories=(kettles, tents)),
        Product(id="one", title="mug", categories=(mugs,)),
        Product(id="half known", title="tent", categories=(tents, ("Gone",))),
        Product(id="unknown", title="?", categories=(("Gone",),)),
    ]
    shares = label_shares(Taxonomy((kettles, tents, mugs)), products)
    assert shares.tolist() == [[0.5, 0.5, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_a_class_of_one_and_a_category_that_is_leaf_and_parent_are_learnt_as_they_are(quick, tmp_path):
    """The one product is trained on, never held back; a product filed high up makes its node a leaf of its own."""
    lines = [*records(), {"id": "alone", "title": "brass sextant", "category": ["Sailing"]}]
    lines += [
        {"id": f"k{n}", "title": f"{extra} kitchen thing", "category": ["Kitchen"]} for n, extra in enumerate(EXTRAS)
    ]
    bundle = Bundle.load(train(write(tmp_path / "c.jsonl", lines), tmp_path / "b", settings=quick).bundle)
    assert {("Sailing",), ("Kitchen",), ("Kitchen", "Mugs")} <= set(bundle.taxonomy.leaves)
    probabilities = bundle.encoder.encode_documents(["brass sextant", ""]).probabilities
    assert probabilities.sum(axis=1) == pytest.approx([1, 1], abs=1e-4)  # a text of nothing is answered too
    assert bundle.thresholds[bundle.taxonomy.leaf_number["Sailing",]] >= bundle.threshold


def test_a_catalogue_of_one_title_holds_nothing_back_and_says_so(settings, tmp_path, capsys):
    lines = [record | {"title": "thing"} for record in records()]
    given = replace(settings, fit=FitSettings(epochs=1))
    trained = train(write(tmp_path / "c.jsonl", lines), tmp_path / "b", settings=given)
    assert trained.scores.products == 0
    assert "nothing could be held back" in capsys.readouterr().err
    assert Bundle.load(trained.bundle).threshold == 1.0


def test_text_fields_may_name_attributes_and_the_bundle_remembers(settings, tmp_path):
    lines = [record | {"title": f"thing {record['id']}", "material": record["title"]} for record in records()]
    given = replace(settings, text_fields=("title", "material"))
    trained = train(write(tmp_path / "c.jsonl", lines), tmp_path / "b", settings=given)
    assert Bundle.load(trained.bundle).text_fields == ("title", "material")
    assert trained.scores.levels[-1].accuracy > 0.9


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"id": "1", "title": "mug"}], "no product carries a category"),
        ([{"id": str(n), "title": f"mug {n}", "category": "A > B"} for n in range(9)], "two categories"),
    ],
)
def test_a_catalogue_without_categories_to_tell_apart_is_refused(lines, message, settings, tmp_path):
    with pytest.raises(TrainingError, match=message):
        train(write(tmp_path / "c.jsonl", lines), tmp_path / "b", settings=settings)
    assert not (tmp_path / "b").exists()


def test_a_misspelt_text_field_is_refused(catalogue, settings, tmp_path):
    with pytest.raises(UsageError, match=r"text field titel .* did you mean title\?"):
        train(catalogue, tmp_path / "b", settings=replace(settings, text_fields=("titel",)))


def test_a_folder_that_cannot_be_replaced_is_refused_before_anything_is_learnt(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out in (".", "/proc"):
        with pytest.raises(TrainingError, match="cannot be replaced as a whole: give --out a folder in it"):
            train("none.jsonl", out, settings=settings)


def test_a_folder_that_is_no_bundle_is_not_overwritten(catalogue, settings, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"")
    with pytest.raises(TrainingError, match="is not a bundle"):
        train(catalogue, tmp_path / "photos", settings=settings)
    assert (tmp_path / "photos" / "holiday.jpg").exists()


def test_a_backbone_that_is_not_there_is_one_line(catalogue, settings, tmp_path):
    with pytest.raises(BackboneError, match="cannot be loaded") as error:
        train(catalogue, tmp_path / "b", settings=replace(settings, backbone=str(tmp_path / "nothing")))
    assert "\n" not in str(error.value)


def test_more_tokens_than_the_backbone_reads_are_refused(catalogue, settings, tmp_path):
    with pytest.raises(BackboneError, match="reads at most 64 tokens, asked for 65"):
        train(catalogue, tmp_path / "b", settings=replace(settings, max_tokens=65))


def test_rejected_lines_are_named_and_counted_and_the_rest_is_trained_on(quick, tmp_path, capsys):
    path = write(tmp_path / "c.jsonl", records())
    path.write_bytes(b"not json\n" + path.read_bytes() + b'{"id": "x"}\n')
    trained = train(path, tmp_path / "b", settings=quick)
    assert [rejected.line for rejected in trained.rejected] == [1, 122]
    assert "line 1:" in capsys.readouterr().err


def test_rejected_lines_of_a_validation_file_are_counted_too(catalogue, quick, tmp_path):
    validation = tmp_path / "validation.jsonl"
    validation.write_bytes(catalogue.read_bytes() + b"{nope\n")
    done = train(catalogue, tmp_path / "bundle", validation, quick)
    assert done.to_json()["rejected"] == 1


@pytest.mark.parametrize("place", [0, 1])
def test_standard_input_which_is_read_once_is_refused_before_it_is_read(place, catalogue, quick, tmp_path):
    given = [catalogue, catalogue]
    given[place] = "-"
    with pytest.raises(CatalogueError, match="a file is needed here"):
        train(given[0], tmp_path / "bundle", given[1], quick)


def test_a_catalogue_that_is_cut_off_leaves_the_old_bundle_as_it_was(bundle, quick, tmp_path):
    kept = shutil.copytree(bundle.path, tmp_path / "bundle")
    with pytest.raises(CatalogueError, match="the file is cut off"):
        train(cut_off(tmp_path), kept, settings=quick)
    assert Bundle.load(kept).version == bundle.version


def test_of_many_rejected_lines_the_first_are_said_and_the_others_counted(tmp_path, capsys):
    path = write(tmp_path / "c.jsonl", [*records(), *({"id": f"x{number}"} for number in range(SAID + 5))])
    assert len(read_labelled(path).rejected) == SAID + 5
    told = capsys.readouterr().err.splitlines()
    assert (len(told), told[-1]) == (SAID + 1, "and 5 more lines that were rejected")


def test_a_validation_category_that_training_lacks_counts_as_wrong_and_is_said(settings, tmp_path, capsys):
    lines = records()
    train_on = [line for line in lines if line["category"][1] != "Tents"]
    validation = write(tmp_path / "v.jsonl", [line for line in lines if line["category"][1] == "Tents"][:5])
    trained = train(write(tmp_path / "c.jsonl", train_on), tmp_path / "b", validation, settings)
    assert trained.scores.levels[-1].accuracy == 0
    assert "5 held-back products are in categories that no training product has" in capsys.readouterr().err


def test_the_loss_of_a_level_is_the_cross_entropy_of_summed_leaves():
    taxonomy = Taxonomy.of(KINDS)
    loss = HierarchicalLoss(taxonomy, LossSettings(level_weight=0.3), np.ones(3, np.float32))
    logits = torch.tensor([[2.0, 1.0, 0.0]])
    labels = torch.tensor([[1.0, 0.0, 0.0]])
    p = logits.softmax(-1)[0]
    expected = -p[0].log() - 0.3 * (p[0] + p[1]).log()
    assert loss(logits, labels).item() == pytest.approx(expected.item(), abs=1e-6)


def test_retention_is_nothing_for_the_original_and_grows_with_the_turn():
    original = torch.nn.functional.normalize(torch.randn(4, 8, generator=torch.manual_seed(1)), dim=-1)
    assert retention_loss(original, original).item() == pytest.approx(0, abs=1e-6)
    assert retention_loss(-original, original).item() == pytest.approx(2, abs=1e-6)


@pytest.mark.parametrize("head", ["cnn", "rnn"])
def test_every_head_is_exported_as_it_was_trained(head, catalogue, quick, tmp_path):
    trained = train(catalogue, tmp_path / "b", settings=replace(quick, head=head))
    bundle = Bundle.load(trained.bundle)
    model = load_checkpoint(bundle).eval()
    for text in ("large steel kettle", "a dome tent and very many other words"):
        ids = torch.tensor([model.trunk.tokenizer("passage: " + text, truncation=True, max_length=16)["input_ids"]])
        with torch.inference_mode():
            logits = model(ids, torch.ones_like(ids))["logits"]
        expected = (logits / bundle.info["temperature"]).softmax(-1).numpy()
        np.testing.assert_allclose(bundle.encoder.encode_documents([text]).probabilities, expected, atol=1e-4)


@pytest.mark.parametrize(("optimiser", "schedule"), [("adam", "cosine"), ("sgd", "none"), ("rmsprop", "linear")])
def test_every_optimiser_and_schedule_trains(optimiser, schedule, catalogue, quick, tmp_path):
    fit = FitSettings(epochs=1, optimiser=optimiser, schedule=schedule, gradient_accumulation=2, bf16=False)
    trained = train(catalogue, tmp_path / "b", settings=replace(quick, l1=1e-4, fit=fit))
    assert trained.scores.products > 0


def test_products_of_several_categories_are_learnt_and_given_all_of_them(settings, tmp_path, capsys):
    lines = records()
    for line in lines:
        if line["title"].split()[0] in ("matt", "shiny"):
            line["categories"] = [line.pop("category"), ["Gifts", "Presents"]]
    several = replace(settings, loss=LossSettings(multi_label=True), fit=replace(settings.fit, epochs=12))
    trained = train(write(tmp_path / "c.jsonl", lines), tmp_path / "b", settings=several)
    bundle = Bundle.load(trained.bundle)
    assert trained.to_json()["sets"] == bundle.info["metrics"]["sets"]
    assert trained.scores.sets.micro_f1 > 0.9
    assert bundle.further_threshold == 1.0  # three held-back products or so prove nothing
    told = capsys.readouterr().err
    assert told.count("no category beside a product's best is accepted without a person") == 1
    assert "--multi-label learns them all" not in told
    probabilities = bundle.encoder.encode_documents(["matt steel kettle", "large dome tent"]).probabilities
    given = [set(given_leaves(bundle.taxonomy, row, bundle.label_thresholds)) for row in probabilities]
    assert given == [{("Kitchen", "Kettles"), ("Gifts", "Presents")}, {("Sports", "Tents")}]


def test_new_categories_are_learnt_without_forgetting_the_old(trained, bundle, settings, tmp_path):
    added = [
        {"id": f"s{n}", "title": f"{extra} family dome kettle", "category": ["Sports", "Stoves"]}
        for n, extra in enumerate(EXTRAS)
    ]
    catalogue = write(tmp_path / "c.jsonl", records() + added)
    short = replace(settings, fit=replace(settings.fit, epochs=1, learning_rate=1e-4))
    going_on = train(catalogue, tmp_path / "next", settings=short, start=bundle)
    after = Bundle.load(going_on.bundle)
    assert after.info["backbone"]["name"].endswith(f"@{bundle.version}")
    assert np.isin(trained_on(bundle), trained_on(after)).all()
    read = read_labelled(catalogue).products
    _, held_back = split_apart(read, ["title", "description"], HELD_BACK_SHARE, short.fit.seed, trained_on(bundle))
    assert going_on.scores.products == len(held_back) > 0
    assert not np.isin(hashes_of(one.id for one in held_back), trained_on(bundle)).any()
    assert going_on.trained_on + len(held_back) == len(read)
    assert len(after.taxonomy.leaves) == len(bundle.taxonomy.leaves) + 1
    texts = ["large steel kettle", "old blue mug", "new dome tent"]
    for one, other in zip(
        bundle.encoder.encode_documents(texts).probabilities,
        after.encoder.encode_documents(texts).probabilities,
        strict=True,
    ):
        assert bundle.taxonomy.leaves[one.argmax()] == after.taxonomy.leaves[other.argmax()]


def test_a_training_that_goes_on_is_not_measured_by_a_head_that_has_learnt_what_it_holds_back(
    settings, tmp_path, capsys
):
    """Words and categories by chance: of what was never learnt nothing can be known, the rest is learnt by heart."""
    drawn = np.random.default_rng(0)
    words = ["".join(drawn.choice(list("abcdefghijklmnop"), 8)) for _ in range(48)]
    sides = drawn.permutation([["Left"], ["Right"]] * 24).tolist()
    lines = [
        {"id": f"w{number}", "title": word, "category": side}
        for number, (word, side) in enumerate(zip(words, sides, strict=True))
    ]
    catalogue, scores = write(tmp_path / "c.jsonl", lines), []
    by_heart = replace(
        settings,
        backbone=str(write_tiny_backbone(tmp_path / "tiny", words)),
        dropout=0.0,
        fit=replace(settings.fit, epochs=1, learning_rate=1e-9, head_learning_rate=1e-9),
        refit=RefitSettings(learning_rate=0.1, least_steps=1500),
    )

    def score(folder, start=None):
        train(catalogue, tmp_path / folder, settings=by_heart, on_epoch=lambda _, f1: scores.append(f1), start=start)
        return Bundle.load(tmp_path / folder)

    first = score("first")
    measured = first.info["metrics"]["mean_weighted_f1"]
    score("next", first)
    assert measured < 0.8
    assert scores[1] == pytest.approx(measured, abs=0.2)  # 1 by the head of the bundle
    assert capsys.readouterr().err.count(f"the head of bundle {first.version} has learnt what is held back") == 1


def test_a_bundle_that_does_not_say_what_it_was_trained_on_is_named(bundle, tmp_path, capsys):
    silent = Bundle.load(shutil.copytree(bundle.path, tmp_path / "silent"))
    assert len(trained_on(silent, validation=False)) > 0
    (silent.path / "checkpoint" / "trained_on.safetensors").unlink()
    assert len(trained_on(silent)) == 0
    assert not capsys.readouterr().err
    assert len(trained_on(silent, validation=False)) == 0
    assert f"bundle {bundle.version} does not say what it was trained on" in capsys.readouterr().err


def test_a_bundle_says_what_its_head_learnt_in_the_end_and_what_its_trunk_never_saw(bundle, tmp_path):
    ids = [str(record["id"]) for record in records()]
    assert has_learnt(bundle, ids).all()
    assert len(trained_on(bundle)) == bundle.info["data"]["products"] < len(ids)
    assert has_learnt(bundle, ["another"]).tolist() == [False]
    assert has_learnt(Bundle(tmp_path, {}, bundle.taxonomy), ids) is None
    (tmp_path / "checkpoint").mkdir()
    save_file({"ids": hashes_of(ids)}, tmp_path / "checkpoint" / "trained_on.safetensors")
    assert has_learnt(Bundle(tmp_path, {}, bundle.taxonomy), ids) is None  # it does not say what was learnt in the end


class Stopped(Exception):
    """Before anything is learnt."""


@pytest.fixture
def unlearnt(monkeypatch):
    def stop(*_):
        raise Stopped

    monkeypatch.setattr(training, "learn", stop)


@pytest.mark.usefixtures("unlearnt")
def test_a_catalogue_without_the_old_categories_is_said_to_forget_them(bundle, quick, tmp_path, capsys):
    new = [
        {"id": f"s{n}", "title": f"{extra} stove", "category": ["Sports", "Stoves"]} for n, extra in enumerate(EXTRAS)
    ]
    catalogue = write(tmp_path / "new.jsonl", [*new, *(line for line in records() if line["category"][1] == "Tents")])
    with pytest.raises(Stopped):
        train(catalogue, tmp_path / "next", settings=quick, start=bundle)
    told = capsys.readouterr().err
    assert f"2 categories of bundle {bundle.version} have no product in {catalogue}" in told
    assert "the first: Kitchen > Kettles, Kitchen > Mugs: give the whole catalogue" in told


@pytest.mark.usefixtures("unlearnt")
def test_products_in_several_leaves_are_counted_where_one_is_learnt(quick, tmp_path, capsys):
    lines = records()
    for number, line in enumerate(lines[:7]):
        further = ["Gifts"] if number < 5 else ["Kitchen"]  # above its own leaf
        line["categories"] = [line.pop("category"), further]
    catalogue = write(tmp_path / "c.jsonl", lines)
    several = replace(quick, loss=LossSettings(multi_label=True))
    for settings, said in ((quick, 1), (several, 0)):
        with pytest.raises(Stopped):
            train(catalogue, tmp_path / "b", settings=settings)
        told = capsys.readouterr().err
        assert told.count("5 of 120 products stand in several categories") == said
        assert told.count("--multi-label learns them all") == said


@pytest.mark.usefixtures("unlearnt")
def test_a_bundle_to_go_on_from_of_other_labels_or_another_backbone_is_refused(bundle, catalogue, quick, tmp_path):
    with pytest.raises(UsageError, match="leave out --multi-label"):
        train(catalogue, tmp_path / "b", settings=replace(quick, loss=LossSettings(multi_label=True)), start=bundle)
    with pytest.raises(UsageError, match="backbone = 'english' cannot be taken"):
        train(catalogue, tmp_path / "b", settings=replace(quick, backbone="english"), start=bundle)
    with pytest.raises(Stopped):
        train(catalogue, tmp_path / "b", settings=replace(quick, backbone="auto"), start=bundle)


def test_what_interrupted_trainings_left_is_gone_once_one_ends_well(catalogue, quick, tmp_path):
    left, other = tmp_path / ".b.training-0123456789ab", tmp_path / ".c.training-0123456789ab"
    for folder in (left, other):
        (folder / "fit").mkdir(parents=True)
    train(catalogue, tmp_path / "b", settings=quick)
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "b"]


@pytest.mark.parametrize("kind", HEADS)
def test_the_heads_of_shared_leaves_are_carried_over(kind, backbone):
    """Whole: before its first step the new model says of the leaves that it knows what the old one said."""
    before, after = Taxonomy.of([("A",), ("C",)]), Taxonomy.of([("A",), ("B",), ("C",)])
    trunk = load_trunk(str(backbone), 16, "cpu")
    old, new = (ShelfModel(trunk, taxonomy, head=kind).eval() for taxonomy in (before, after))
    untouched = new.output.weight[1].clone()
    carry_over(old, before, new, after)
    assert torch.equal(new.output.weight[1], untouched)
    tokens = trunk.tokenizer(["travel mug", "dome tent"], return_tensors="pt")
    with torch.inference_mode():
        said = [model(tokens["input_ids"], tokens["attention_mask"])["logits"] for model in (old, new)]
    assert torch.equal(said[1][:, [0, 2]], said[0])


def test_of_a_head_of_another_kind_nothing_is_carried_over(backbone):
    """A backbone may be as wide as what a head's last layer reads."""
    taxonomy, trunk = Taxonomy.of(KINDS), load_trunk(str(backbone), 16, "cpu")
    old, new = (ShelfModel(trunk, taxonomy, head=kind) for kind in ("cnn", "linear"))
    new.head = LinearHead(old.output.in_features, len(KINDS), 0.0)
    untouched = new.output.weight.clone()
    carry_over(old, taxonomy, new, taxonomy)
    assert torch.equal(new.output.weight, untouched)


def test_the_bundle_shows_itself_on_a_page(bundle):
    page = (bundle.path / "report" / "index.html").read_text("utf-8")
    assert bundle.version in page
    for kind in ("Kettles", "Mugs", "Tents"):
        assert kind in page
    preparation = orjson.loads((bundle.path / "report" / "preparation.json").read_bytes())
    assert preparation["duplicates"]


def test_an_epoch_is_its_mean_loss_and_its_held_back_score():
    log = [
        {"loss": 3.0, "epoch": 0.5},
        {"loss": 1.0, "epoch": 1.0},
        {"eval_mean_weighted_f1": 0.5, "epoch": 1.0},
        {"loss": 0.5, "epoch": 2.0},
        {"eval_mean_weighted_f1": 0.7, "epoch": 2.0},
        {"train_runtime": 3.0, "epoch": 2.0},
    ]
    assert _epochs(log) == [Epoch(1.0, 2.0, 0.5), Epoch(2.0, 0.5, 0.7)]


@pytest.fixture(scope="module")
def migrated(bundle, tmp_path_factory):
    changes = Changes(
        (
            Change(1, "renamed", (("Sports",),), (("Outdoor",),)),
            Change(2, "merged", (("Kitchen", "Kettles"), ("Kitchen", "Mugs")), (("Kitchen",),)),
        )
    )
    changes.check(bundle.taxonomy.leaves)
    return migrate_bundle(bundle, changes, tmp_path_factory.mktemp("migrated") / "bundle")


class TestChangedTaxonomy:
    def test_its_checkpoint_gives_what_its_exported_model_gives(self, migrated):
        assert_exported_as_trained(migrated, ["large steel kettle", "mug", "dome tent"], "passage: ")

    def test_training_goes_on_from_the_rows_of_what_was_renamed(self, migrated, bundle):
        old, new = load_checkpoint(bundle).output, load_checkpoint(migrated).output
        tents = (bundle.taxonomy.leaf_number["Sports", "Tents"], migrated.taxonomy.leaf_number["Outdoor", "Tents"])
        assert torch.equal(new.weight[tents[1]], old.weight[tents[0]])
        assert torch.equal(new.bias[tents[1]], old.bias[tents[0]])

    def test_a_training_can_go_on_from_it(self, migrated, settings, tmp_path):
        lines = [{**line, "category": ["Outdoor", *line["category"][1:]]} for line in records()
                 if line["category"][0] == "Sports"]  # fmt: skip
        lines += [{**line, "category": ["Kitchen"]} for line in records() if line["category"][0] == "Kitchen"]
        short = replace(settings, fit=replace(settings.fit, epochs=1))
        trained = train(write(tmp_path / "c.jsonl", lines), tmp_path / "next", settings=short, start=migrated)
        assert Bundle.load(trained.bundle).taxonomy.leaves == (("Kitchen",), ("Outdoor", "Tents"))
        assert "logit_leaves" not in Bundle.load(trained.bundle).info


@pytest.mark.parametrize("multi_label", [False, True])
def test_grouped_logits_add_up_what_the_runtime_adds_up(multi_label):
    torch.manual_seed(1)
    head, groups = LinearHead(4, 3, 0.0), torch.tensor([1, 0, 1])
    pooled = torch.randn(5, 4)
    logits = head(pooled, pooled, pooled)
    grouped = Grouping(groups, 2.0, multi_label)(logits) / 2.0
    own = (logits / 2.0).detach().numpy()
    shape = sigmoid if multi_label else softmax
    expected = by_leaf(shape(own), groups.numpy(), 2, multi_label)
    np.testing.assert_allclose(shape(grouped.detach().numpy()), expected, atol=1e-5)


def test_of_outputs_of_equal_weights_the_layer_to_go_on_from_gives_what_they_add_up_to():
    torch.manual_seed(1)
    trained, texts = torch.nn.Linear(4, 3), torch.randn(5, 4)
    with torch.no_grad():
        trained.weight[2] = trained.weight[0]
    layer = Grouping(torch.tensor([1, 0, 1]), 2.0, multi_label=False).layer(trained)
    before, after = trained(texts).softmax(-1), layer(texts).softmax(-1)
    torch.testing.assert_close(after, torch.stack([before[:, 1], before[:, 0] + before[:, 2]], dim=1))


def test_the_package_gives_the_functions_however_often_it_is_asked():
    for _ in range(2):
        from shelfwise_indexer import index as one
        from shelfwise_indexer import train as other

        assert callable(one)
        assert other is train
