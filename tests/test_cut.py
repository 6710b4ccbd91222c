"""Cut embeddings: the first axes keep the neighbours, and nothing but the embedding changes."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from hand_bundle import write_hand_bundle
from shelfwise.bundle import Bundle
from shelfwise.errors import IncompatibleIndex, UsageError
from shelfwise.search import ProductSearch
from shelfwise_indexer.compact import compact
from shelfwise_indexer.compress import CompressSettings
from shelfwise_indexer.config import settings_of
from shelfwise_indexer.cut import CutLoss, check_dimension, cut_loss, evenly, rotation, shortened
from shelfwise_indexer.export import load_checkpoint
from shelfwise_indexer.fit import FitSettings
from shelfwise_indexer.ingest import index
from shelfwise_indexer.model import load_trunk
from shelfwise_indexer.neighbours import nearest, recall
from shelfwise_indexer.settings import TrainSettings
from shelfwise_indexer.training import train
from test_cli import runner_here
from tiny_backbone import write_tiny_backbone

KETTLES, CASES = ("Home", "Kettles"), ("Phones", "Cases")
WORDS = {"kettle": (1, 0, 0), "boiler": (0.9, 0.1, 0), "case": (0, 1, 0), "cover": (0.1, 0.9, 0.05)}
TEXTS = ["kettle", "boiler", "kettle case", "case", "cover", "nothing known"]


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def flat():
    """400 embeddings of 16 numbers, nearly all of whose variance is on four axes askew to the numbers."""
    rng = np.random.default_rng(3)
    askew = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    spread = np.array([1.0] * 4 + [0.05] * 12)
    return unit(rng.normal(size=(400, 16)) * spread @ askew)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_hand_bundle(tmp_path_factory.mktemp("cut") / "bundle", WORDS, [KETTLES, CASES])


@pytest.fixture
def catalogue(tmp_path):
    path = tmp_path / "catalogue.jsonl"
    titles = [f"{one} {other}" for one in WORDS for other in WORDS]
    path.write_text("".join(f'{{"id": "{n}", "title": "{title}"}}\n' for n, title in enumerate(titles)))
    return path


class TestRotation:
    def test_a_rotation_of_full_length_gives_the_same_neighbours_as_none(self, flat):
        turned = shortened(flat, rotation(flat, 16))
        np.testing.assert_allclose(turned @ turned.T, flat @ flat.T, atol=1e-5)
        np.testing.assert_array_equal(nearest(turned, 5).ids, nearest(flat, 5).ids)

    def test_axes_are_orthonormal_and_carry_less_and_less(self, flat):
        axes = rotation(flat, 16)
        np.testing.assert_allclose(axes.T @ axes, np.eye(16), atol=1e-5)
        variance = (flat @ axes).var(axis=0)
        assert (np.diff(variance) <= 1e-6).all()

    def test_fewer_numbers_are_the_first_of_more(self, flat):
        np.testing.assert_array_equal(rotation(flat, 4), rotation(flat, 9)[:, :4])

    def test_an_axis_does_not_depend_on_the_order_of_products(self, flat):
        np.testing.assert_allclose(rotation(flat, 4), rotation(flat[::-1], 4), atol=1e-5)

    def test_what_is_cut_after_turning_keeps_more_than_what_is_cut_before(self, flat):
        turned, plain = shortened(flat, rotation(flat, 4)), unit(flat[:, :4])
        assert recall(turned, flat, 10) > 0.8 > recall(plain, flat, 10)

    def test_few_products_for_many_numbers_are_said(self, flat, capsys):
        rotation(flat[:8], 4)
        assert "8 products say little about the axes of embeddings of 16 numbers" in capsys.readouterr().err


class TestLoss:
    def test_a_cut_of_nothing_loses_nothing(self, flat):
        loss = cut_loss(flat, rotation(flat, 16))
        assert (loss.dimension, loss.full, loss.products, loss.recall_at_10) == (16, 16, 400, 1.0)
        assert loss.cosine_difference == pytest.approx(0, abs=1e-5)

    def test_the_share_of_neighbours_is_what_counting_them_gives(self, flat):
        axes = rotation(flat, 3)
        cut = shortened(flat, axes)
        kept = []
        for row in range(len(flat)):
            true, found = (
                {other for other in np.argsort(-(vectors @ vectors[row])) if other != row} for vectors in (flat, cut)
            )
            assert true == found  # all others, in some order
            first = [
                [other for other in np.argsort(-(vectors @ vectors[row]), kind="stable") if other != row][:10]
                for vectors in (flat, cut)
            ]
            kept.append(len(set(first[0]) & set(first[1])) / 10)
        assert cut_loss(flat, axes).recall_at_10 == pytest.approx(np.mean(kept), abs=1e-3)

    def test_without_products_nothing_is_claimed(self, flat):
        assert cut_loss(flat[:0], rotation(flat, 3)) == CutLoss(3, 16, 0, None, None)
        assert cut_loss(flat[:0], rotation(flat, 3)).to_json()["recall_at_10"] is None

    def test_of_few_products_no_share_of_neighbours_is_claimed_and_why_is_said(self, flat, capsys):
        axes = rotation(flat, 3)
        few, enough = cut_loss(flat[:99], axes), cut_loss(flat[:100], axes)
        assert (few.recall_at_10, few.cosine_difference > 0) == (None, True)
        assert 0 < enough.recall_at_10 < 1
        assert "is not measured: 99 products are too few, it takes 100" in capsys.readouterr().err

    def test_places_are_spread_over_the_whole(self):
        assert evenly(5, 10).tolist() == [0, 1, 2, 3, 4]
        assert evenly(9, 3).tolist() == [0, 4, 8]
        assert evenly(0, 3).tolist() == []


@pytest.mark.parametrize("dimension", [0, -1, 17])
def test_a_dimension_that_cannot_be_is_refused(dimension):
    with pytest.raises(UsageError, match=f"gives 16 numbers an embedding, asked for {dimension}: give from 1 to 16"):
        check_dimension(dimension, 16, "backbone tiny")


class TestCompact:
    def test_categories_stay_bit_for_bit_and_vectors_are_the_cut_ones(self, bundle, catalogue, tmp_path):
        smaller = compact(bundle, catalogue, 2, tmp_path / "smaller").bundle
        before, after = (one.encoder.encode_documents(TEXTS) for one in (bundle, smaller))
        assert after.probabilities.tobytes() == before.probabilities.tobytes()
        assert after.vectors.shape == (len(TEXTS), 2)
        np.testing.assert_allclose(np.linalg.norm(after.vectors, axis=1), 1, atol=1e-5)
        queries = smaller.encoder.encode_queries(TEXTS).vectors
        np.testing.assert_allclose(queries, after.vectors, atol=1e-6)

    def test_the_bundle_says_what_was_lost_and_keeps_the_rest(self, bundle, catalogue, tmp_path):
        smaller = compact(bundle, catalogue, 2, tmp_path / "smaller").bundle
        assert (smaller.dimension, smaller.threshold, smaller.taxonomy) == (2, bundle.threshold, bundle.taxonomy)
        assert smaller.version != bundle.version
        stated = smaller.info["embedding"]
        assert (stated["dimension"], stated["full"], stated["cut_from"]) == (2, 3, bundle.version)
        assert stated["products"] == 3
        assert stated["recall_at_10"] is None
        assert Bundle.load(bundle.path).version == bundle.version

    def test_the_copied_page_says_of_which_bundle_it_is_and_what_was_lost(self, bundle, tmp_path):
        titles = [f"{one} {other} {third}" for one in WORDS for other in WORDS for third in WORDS] * 10
        lines = (f'{{"id": "{number}", "title": "{title}"}}\n' for number, title in enumerate(titles))
        (tmp_path / "large.jsonl").write_text("".join(lines))
        shutil.copytree(bundle.path, tmp_path / "with-page")
        (tmp_path / "with-page" / "report").mkdir()
        (tmp_path / "with-page" / "report" / "index.html").write_text("<body><h1>Old</h1><p>figures</p></body>")
        whole = Bundle.load(tmp_path / "with-page")
        smaller = compact(whole, tmp_path / "large.jsonl", 2, tmp_path / "smaller").bundle
        shown = (smaller.path / "report" / "index.html").read_text("utf-8")
        heading, _, below = shown.partition("</h1>")
        assert (heading, below.endswith("<p>figures</p></body>")) == ("<body><h1>Old", True)
        found = smaller.info["embedding"]["recall_at_10"]
        assert f"Copied from bundle {bundle.version}, whose" in below
        assert f"cut from 3 to 2 numbers: of the ten nearest products by whole ones {found:.1%} are" in below

    def test_the_same_call_gives_the_same_bundle(self, bundle, catalogue, tmp_path):
        one, other = (compact(bundle, catalogue, 2, tmp_path / name).bundle for name in ("one", "other"))
        assert one.version == other.version

    def test_a_cut_bundle_can_be_cut_again(self, bundle, catalogue, tmp_path):
        once = compact(bundle, catalogue, 2, tmp_path / "one").bundle
        twice = compact(once, catalogue, 1, tmp_path / "two").bundle
        vectors = twice.encoder.encode_documents(TEXTS).vectors
        np.testing.assert_allclose(np.abs(vectors), np.ones((len(TEXTS), 1)), atol=1e-6)

    @pytest.mark.parametrize("dimension", [0, 3, 4])
    def test_a_dimension_that_is_not_shorter_is_refused(self, bundle, catalogue, tmp_path, dimension):
        with pytest.raises(
            UsageError, match=f"3 numbers an embedding, asked to cut it to {dimension}: give from 1 to 2"
        ):
            compact(bundle, catalogue, dimension, tmp_path / "smaller")
        assert not (tmp_path / "smaller").exists()

    def test_a_folder_with_something_in_it_is_left(self, bundle, catalogue, tmp_path):
        (tmp_path / "smaller").mkdir()
        (tmp_path / "smaller" / "holiday.jpg").write_bytes(b"")
        with pytest.raises(UsageError, match="is not an empty folder"):
            compact(bundle, catalogue, 2, tmp_path / "smaller")
        assert [path.name for path in (tmp_path / "smaller").iterdir()] == ["holiday.jpg"]

    def test_a_rejected_line_is_named_and_makes_the_status_1(self, bundle, catalogue, tmp_path):
        with catalogue.open("ab") as file:
            file.write(b"{nope\n")
        ran = runner_here(tmp_path)(
            "compact", "catalogue.jsonl", "--bundle", bundle.path, "--dimension", 2, "--out", "s"
        )
        assert (ran.status, ran.lines[0]["rejected"]) == (1, 1)
        assert "catalogue.jsonl, line 17: not JSON" in ran.err

    def test_two_products_do_not_say_how_to_cut(self, bundle, tmp_path):
        few = tmp_path / "few.jsonl"
        few.write_text('{"id": "1", "title": "kettle"}\n{"id": "2", "title": "case"}\n')
        with pytest.raises(UsageError, match="2 products cannot say how to cut"):
            compact(bundle, few, 2, tmp_path / "smaller")
        assert not list(tmp_path.glob("*smaller*"))

    @pytest.mark.es
    def test_a_cut_bundle_indexes_and_searches_and_the_whole_one_is_refused_there(
        self, client, alias, bundle, catalogue, tmp_path
    ):
        smaller = compact(bundle, catalogue, 2, tmp_path / "smaller").bundle
        indexed = index(catalogue, smaller, alias, client=client, dead_letters=tmp_path / "dead.jsonl")
        search = ProductSearch(client, alias, smaller)
        vectors = smaller.encoder.encode_documents([f"{one} {other}" for one in WORDS for other in WORDS]).vectors
        cosines = vectors @ smaller.encoder.encode_queries(["boiler"]).vectors[0]
        found = [int(hit.id) for hit in search.search("boiler", k=4, mode="semantic")]
        assert indexed.indexed == len(vectors)
        assert sorted(cosines[found].tolist(), reverse=True) == pytest.approx(
            np.sort(cosines)[::-1][:4].tolist(), abs=1e-5
        )
        with pytest.raises(IncompatibleIndex, match=r"was trained for 3 dimensions, index .* has 2"):
            ProductSearch(client, alias, bundle)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cut-training")
    kinds = {"Home > Kettles": "kettle", "Home > Mugs": "mug", "Camping > Tents": "tent"}
    extras = [f"{size} {colour}" for size in ("large", "small", "light") for colour in ("red", "blue", "grey", "old")]
    lines = [(f"{extra} {kind}", path) for path, kind in kinds.items() for extra in extras]
    backbone = write_tiny_backbone(folder / "tiny", [title for title, _ in lines])
    catalogue = folder / "catalogue.jsonl"
    catalogue.write_text(
        "".join(f'{{"id": "{n}", "title": "{one}", "category": "{path}"}}\n' for n, (one, path) in enumerate(lines))
    )
    fit = FitSettings(epochs=1, learning_rate=1e-3, head_learning_rate=5e-3, batch_size=16)
    compress = CompressSettings(int8=False)  # takes seconds, and is of no account here
    return catalogue, TrainSettings(backbone=str(backbone), max_tokens=16, retention=0.5, fit=fit, compress=compress)


@pytest.fixture(scope="module")
def both(given, tmp_path_factory):
    catalogue, settings = given
    folder = tmp_path_factory.mktemp("out")
    whole = train(catalogue, folder / "whole", settings=settings)
    return whole, train(catalogue, folder / "cut", settings=replace(settings, dimension=8))


@pytest.mark.model
class TestTraining:
    """The same training twice, once with the cut at its end."""

    def test_only_the_embedding_differs(self, both):
        whole, cut = (Bundle.load(one.bundle) for one in both)
        texts = ["large red kettle", "old tent", "mug"]
        before, after = (one.encoder.encode_documents(texts) for one in (whole, cut))
        assert (cut.dimension, after.vectors.shape) == (8, (3, 8))
        np.testing.assert_allclose(after.probabilities, before.probabilities, atol=1e-6)
        assert whole.info["thresholds"] == pytest.approx(cut.info["thresholds"], abs=1e-6)

    def test_what_a_query_is_most_like_is_cut_too(self, both, given, tmp_path):
        whole, cut = (Bundle.load(one.bundle) for one in both)
        for smaller in (cut, compact(whole, given[0], 4, tmp_path / "smaller").bundle):
            queries = smaller.encoder.encode_queries(["large red kettle", "kettle", "tent"])
            assert queries.alike.shape == (3, smaller.dimension)
            np.testing.assert_allclose(np.linalg.norm(queries.alike, axis=1), 1, atol=1e-5)
            alike = (queries.alike * queries.vectors).sum(axis=1)
            assert alike[0] > queries.alike[2] @ queries.vectors[0]  # kettles are like a kettle, not like a tent
            assert alike[2] > queries.alike[0] @ queries.vectors[2]

    def test_the_exported_graph_gives_what_the_checkpoint_gives(self, both):
        bundle = Bundle.load(both[1].bundle)
        encoded = bundle.encoder.encode_documents(["large red kettle", "old tent"])
        model = load_checkpoint(bundle).eval()
        tokens = model.trunk.tokenizer(["large red kettle", "old tent"], padding=True, return_tensors="pt")
        with torch.inference_mode():
            outputs = model(tokens["input_ids"], tokens["attention_mask"])
        np.testing.assert_allclose(encoded.vectors, outputs["embedding"].numpy(), atol=1e-4)
        plain = load_trunk(str(bundle.path / "checkpoint"), 16, "cpu").encode(["large red kettle", "old tent"])
        np.testing.assert_allclose(encoded.vectors, plain, atol=1e-4)

    def test_the_loss_is_stated_in_the_output_the_bundle_and_the_page(self, both):
        whole, cut = both
        stated = cut.to_json()["embedding"]
        assert stated == Bundle.load(cut.bundle).info["embedding"]
        assert (stated["dimension"], stated["full"], stated["products"]) == (8, 32, cut.scores.products)
        assert "embedding" not in whole.to_json()
        page = (cut.bundle / "report" / "index.html").read_text("utf-8")
        assert "8 of 32" in page
        assert stated["recall_at_10"] is None
        assert "too few products" in page

    def test_a_trained_bundle_is_compacted_with_its_checkpoint(self, both, given, tmp_path):
        whole = Bundle.load(both[0].bundle)
        smaller = compact(whole, given[0], 4, tmp_path / "smaller").bundle
        texts = ["large red kettle", "old tent"]
        model = load_checkpoint(smaller).eval()
        tokens = model.trunk.tokenizer(texts, padding=True, return_tensors="pt")
        with torch.inference_mode():
            outputs = model(tokens["input_ids"], tokens["attention_mask"])
        encoded = smaller.encoder.encode_documents(texts)
        np.testing.assert_allclose(encoded.vectors, outputs["embedding"].numpy(), atol=1e-4)
        assert encoded.probabilities.tobytes() == whole.encoder.encode_documents(texts).probabilities.tobytes()
        assert (smaller.path / "report" / "index.html").is_file()

    def test_training_goes_on_from_a_cut_bundle(self, both, given, tmp_path):
        cut = Bundle.load(both[1].bundle)
        after = Bundle.load(train(given[0], tmp_path / "next", settings=settings_of(cut), start=cut).bundle)
        assert after.dimension == 8
        texts = ["large red kettle", "old tent"]
        one, other = (bundle.encoder.encode_documents(texts).vectors for bundle in (cut, after))
        assert ((one * other).sum(axis=1) > 0.5).all()

    def test_more_numbers_than_the_backbone_gives_are_refused_before_anything_is_written(self, given, tmp_path):
        catalogue, settings = given
        with pytest.raises(UsageError, match="gives 32 numbers an embedding, asked for 33"):
            train(catalogue, tmp_path / "b", settings=replace(settings, dimension=33))
        assert not list(tmp_path.iterdir())
