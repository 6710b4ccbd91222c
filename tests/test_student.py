"""A student on a tiny BERT: fewer layers, and nearer to its teacher than the teacher with layers merely left out."""

import itertools
import shutil
from dataclasses import replace
from types import SimpleNamespace

import orjson
import pytest
import torch

from as_trained import assert_exported_as_trained
from shelfwise.bundle import Bundle
from shelfwise.errors import UsageError
from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.compress import CompressSettings
from shelfwise_indexer.distillation import DistilSettings, mixed_loss
from shelfwise_indexer.fit import FitSettings
from shelfwise_indexer.loss import LossSettings
from shelfwise_indexer.model import BackboneError, load_trunk
from shelfwise_indexer.preparation import TrainingError
from shelfwise_indexer.settings import TrainSettings
from shelfwise_indexer.student import layers_of, parameters_of, spread, thin
from shelfwise_indexer.training import train
from tiny_backbone import write_tiny_backbone

pytestmark = pytest.mark.model

KINDS = {"Home > Kettles": "kettle", "Home > Mugs": "mug", "Camping > Tents": "tent"}
EXTRAS = [" ".join(pair) for pair in itertools.product(("large", "small", "light"), ("red", "blue", "grey", "old"))]
TITLES = [(f"{extra} {kind}", path) for path, kind in KINDS.items() for extra in EXTRAS]
TEXTS = [title for title, _ in TITLES]


def write(path, titles):
    lines = [{"id": str(n), "title": title, "category": category} for n, (title, category) in enumerate(titles)]
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    backbone = write_tiny_backbone(tmp_path_factory.mktemp("student") / "tiny", TEXTS, layers=4, deviation=0.2)
    fit = FitSettings(epochs=4, learning_rate=1e-3, head_learning_rate=5e-3, batch_size=12)
    compress = CompressSettings(int8=False)  # takes seconds, and is of no account here
    return TrainSettings(
        backbone=str(backbone), max_tokens=16, retention=0.5, tuned_share=1.0, fit=fit, compress=compress
    )


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    return write(tmp_path_factory.mktemp("catalogue") / "catalogue.jsonl", TITLES)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, catalogue, settings):
    return Bundle.load(train(catalogue, tmp_path_factory.mktemp("out") / "teacher", settings=settings).bundle)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, catalogue, settings, teacher):
    held = replace(settings, retention=4.0, fit=replace(settings.fit, epochs=6, learning_rate=4e-3))
    return train(catalogue, tmp_path_factory.mktemp("out") / "student", settings=held, teacher=teacher)


@pytest.fixture(scope="module")
def student(trained):
    return Bundle.load(trained.bundle)


def trunk_of(bundle):
    return load_trunk(str(bundle.path / "checkpoint"), bundle.max_tokens, "cpu")


def test_a_student_has_every_other_layer_of_its_teacher_and_is_read_again_so(student, teacher):
    assert [layers_of(trunk_of(one), None) for one in (teacher, student)] == [2, 1]
    assert trunk_of(student)[0].model.config.num_hidden_layers == 2
    assert parameters_of(trunk_of(student)) < parameters_of(trunk_of(teacher))
    assert student.taxonomy == teacher.taxonomy


def test_a_student_comes_nearer_to_its_teacher_than_an_untrained_cut(student, teacher):
    untrained = trunk_of(teacher)
    assert thin(untrained, 2).kept == (0, 3)
    wanted = teacher.encoder.encode_documents(TEXTS).vectors
    own = student.encoder.encode_documents(TEXTS).vectors
    cut = untrained.encode(TEXTS, normalize_embeddings=True)
    cosines = [float((vectors * wanted).sum(axis=1).mean()) for vectors in (own, cut)]
    assert cosines[0] > 0.9 > 0.8 > cosines[1]


def test_a_student_files_products_as_its_teacher_does(student, teacher):
    best = [one.encoder.encode_documents(TEXTS).probabilities.argmax(axis=1) for one in (student, teacher)]
    assert (best[0] == best[1]).mean() > 0.9


def test_the_exported_student_gives_what_its_checkpoint_gives(student):
    assert_exported_as_trained(student, TEXTS[:3])


def test_what_was_lost_is_stated_in_the_output_the_bundle_and_the_page(trained, student, teacher):
    stated = trained.to_json()["distilled_from"]
    assert stated == student.info["distilled_from"]
    assert (stated["version"], stated["layers"], stated["teacher_layers"]) == (teacher.version, 2, 4)
    assert stated["parameters"] == parameters_of(trunk_of(student))
    assert stated["teacher_parameters"] == parameters_of(trunk_of(teacher))
    assert stated["products"] == trained.scores.products > 0
    assert stated["weighted_f1"] == pytest.approx(trained.scores.mean_weighted_f1, abs=1e-4)
    assert stated["teacher_weighted_f1"] == pytest.approx(teacher.info["metrics"]["mean_weighted_f1"], abs=1e-4)
    assert stated["same_data"]
    page = (student.path / "report" / "index.html").read_text("utf-8")
    assert "2 of 4" in page
    assert stated["recall_at_10"] is None
    assert "too few products" in page


def test_a_catalogue_of_some_of_the_teachers_categories_gives_a_student_of_all(teacher, settings, tmp_path):
    """And both ways to a smaller bundle go together."""
    some = write(tmp_path / "c.jsonl", [(title, path) for title, path in TITLES if path != "Home > Mugs"])
    short = replace(settings, dimension=8, distil=DistilSettings(layers=1), fit=replace(settings.fit, epochs=1))
    short = replace(short, use_held_back=False)
    bundle = Bundle.load(train(some, tmp_path / "b", settings=short, teacher=teacher).bundle)
    assert (bundle.taxonomy, bundle.dimension) == (teacher.taxonomy, 8)
    assert (bundle.info["distilled_from"]["layers"], bundle.info["embedding"]["full"]) == (1, 32)
    assert not bundle.info["distilled_from"]["same_data"]


def test_a_category_that_the_teacher_does_not_know_is_refused(teacher, settings, tmp_path):
    more = write(tmp_path / "c.jsonl", [*TITLES, *((f"{extra} stove", "Camping > Stoves") for extra in EXTRAS)])
    with pytest.raises(TrainingError, match=r"does not know 1 of the catalogue's categories \(Camping > Stoves\)"):
        train(more, tmp_path / "b", settings=settings, teacher=teacher)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("layers", [0, 5])
def test_layers_that_cannot_be_are_refused(teacher, settings, catalogue, tmp_path, layers):
    asked = replace(settings, distil=DistilSettings(layers=layers))
    with pytest.raises(BackboneError, match=f"has 4 layers, asked to keep {layers}: give --layers from 1 to 4"):
        train(catalogue, tmp_path / "b", settings=asked, teacher=teacher)
    assert not list(tmp_path.iterdir())


def test_to_go_on_and_to_distil_at_once_is_refused(teacher, settings, catalogue, tmp_path):
    with pytest.raises(UsageError, match="--from and --distil exclude each other"):
        train(catalogue, tmp_path / "b", settings=settings, start=teacher, teacher=teacher)


@pytest.mark.parametrize(("several", "told"), [(False, "leave out"), (True, "give")])
def test_a_student_that_is_to_give_more_or_fewer_categories_than_its_teacher_is_refused(
    several, told, teacher, settings, catalogue, tmp_path
):
    of_several = {"label_thresholds": [0.5, 0.5, 0.5]} if several else {}
    other = Bundle(teacher.path, teacher.info | of_several, teacher.taxonomy)
    asked = replace(settings, loss=LossSettings(multi_label=not several))
    with pytest.raises(UsageError, match=f"{told} --multi-label, or set multi_label = {str(several).lower()}"):
        train(catalogue, tmp_path / "b", settings=asked, teacher=other)
    assert not list(tmp_path.iterdir())


def test_a_damaged_or_missing_checkpoint_is_named(teacher, settings, catalogue, tmp_path):
    copied = Bundle.load(shutil.copytree(teacher.path, tmp_path / "damaged"))
    weights = copied.path / "checkpoint" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BackboneError, match=r"checkpoint cannot be loaded .* copy the bundle again") as error:
        train(catalogue, tmp_path / "b", settings=settings, teacher=copied)
    assert "\n" not in str(error.value)
    shutil.rmtree(copied.path / "checkpoint")
    with pytest.raises(BackboneError, match="checkpoint cannot be loaded"):
        train(catalogue, tmp_path / "b", settings=settings, teacher=copied)


def test_a_checkpoint_of_another_vocabulary_is_refused(teacher, settings, catalogue, tmp_path):
    copied = Bundle.load(shutil.copytree(teacher.path, tmp_path / "mixed"))
    other = write_tiny_backbone(tmp_path / "other", ["quite other words"], layers=4)
    shutil.copytree(other, copied.path / "checkpoint", dirs_exist_ok=True)
    with pytest.raises(BackboneError, match="reads another vocabulary than its model"):
        train(catalogue, tmp_path / "b", settings=settings, teacher=copied)


def test_layers_that_stay_are_spread_evenly():
    assert [spread(6, kept) for kept in (1, 2, 3, 6)] == [(0,), (0, 5), (0, 3, 5), (0, 1, 2, 3, 4, 5)]
    assert spread(12, 6) == (0, 2, 4, 7, 9, 11)


def test_a_backbone_without_a_stack_of_layers_is_refused():
    class Shared(torch.nn.Module):
        """As ALBERT: six layers by its config, one set of weights."""

        config = SimpleNamespace(num_hidden_layers=6)

        def __init__(self):
            super().__init__()
            self.groups = torch.nn.ModuleList([torch.nn.Linear(2, 2)])

    with pytest.raises(BackboneError, match="no layer of Shared can be left out"):
        layers_of([SimpleNamespace(model=Shared())], None)


class TestLoss:
    def test_who_agrees_with_the_teacher_has_the_labels_loss_alone(self):
        logits, settings = torch.tensor([[2.0, 0.0, -1.0]]), DistilSettings(share=0.25)
        for multi_label in (False, True):
            loss = mixed_loss(torch.tensor(3.0), logits, logits.clone(), settings, multi_label)
            assert loss.item() == pytest.approx(0.75 * 3.0, abs=1e-6)

    def test_the_divergence_is_that_of_the_softened_probabilities(self):
        logits, taught = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])
        p, q = (taught / 2).softmax(-1)[0], (logits / 2).softmax(-1)[0]
        expected = 4 * (p * (p / q).log()).sum()
        loss = mixed_loss(torch.tensor(0.0), logits, taught, DistilSettings(temperature=2.0, share=1.0), False)
        assert loss.item() == pytest.approx(expected.item(), abs=1e-6)

    def test_of_several_labels_each_is_a_probability_of_its_own(self):
        logits, taught = torch.tensor([[1.0, -1.0]]), torch.tensor([[-1.0, -1.0]])
        p, q = taught.sigmoid()[0, 0], logits.sigmoid()[0, 0]
        expected = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
        loss = mixed_loss(torch.tensor(0.0), logits, taught, DistilSettings(temperature=1.0, share=1.0), True)
        assert loss.item() == pytest.approx(expected.item(), abs=1e-6)


def test_the_teachers_taxonomy_is_the_catalogues(teacher):
    assert teacher.taxonomy == Taxonomy.of(tuple(path.split(" > ")) for path in KINDS)
