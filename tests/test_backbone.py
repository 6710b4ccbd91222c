"""Built-in backbones as folders of one's own."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from shelfwise.errors import UsageError
from shelfwise.maven import MavenError
from shelfwise.product import Product
from shelfwise_indexer import backbone, starting_point
from shelfwise_indexer.backbone import resolve, write_backbone
from shelfwise_indexer.model import BackboneError, load_trunk
from shelfwise_indexer.settings import TrainSettings
from shelfwise_indexer.starting_point import StartingPoint

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory):
    parent = tmp_path_factory.mktemp("backbones")
    yield write_backbone("multilingual", parent / "e5")
    shutil.rmtree(parent)  # half a gigabyte, and pytest keeps the folders of three sessions


@pytest.fixture(scope="module")
def english(tmp_path_factory):
    return write_backbone("english", tmp_path_factory.mktemp("backbones") / "minilm")


def test_the_multilingual_one_says_its_licence_and_puts_its_prompts_before_texts(multilingual):
    assert (multilingual.name, multilingual.licence) == ("multilingual-e5-small", "MIT")
    assert multilingual.prompts == {"query": "query: ", "document": "passage: "}
    model = SentenceTransformer(str(multilingual.folder), device="cpu")
    assert model.prompts == multilingual.prompts
    own = model.encode_query(["茶壶"])
    np.testing.assert_allclose(own, model.encode(["query: 茶壶"]), atol=1e-6)
    near = model.encode_document(["kettle", "tent"])
    assert own @ near[0] > own @ near[1]


def test_the_english_one_is_the_packages_model_bit_for_bit(english):
    assert (english.name, english.licence, english.prompts) == ("all-MiniLM-L6-v2", "Apache-2.0", {})
    texts = ["a kettle", "a tent for two"]
    ours, theirs = (
        SentenceTransformer(str(folder), device="cpu").encode(texts)
        for folder in (english.folder, resolve("english").source)
    )
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("name", ["english", "multilingual"])
def test_its_folder_is_a_backbone_to_train_on(name, request):
    written = request.getfixturevalue(name)
    found = resolve(str(written.folder))
    assert found.source == str(written.folder)
    assert found.licence.lower() == written.licence.lower()
    trunk = load_trunk(found.source, 64, device="cpu")
    assert all(weight.requires_grad for weight in trunk.parameters())
    assert [path.name for path in written.folder.rglob("*.safetensors")] == ["model.safetensors"]
    assert not list(written.folder.rglob("*.bin"))


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (["steel kettle"] * 5000 + ["不锈钢水壶"] * 5000, "multilingual-e5-small"),
        (["steel kettle"] * 90 + ["чайник"] * 10, "multilingual-e5-small"),
        (["steel kettle"] * 90 + ["resistor of 5 Ω"] * 10, "all-MiniLM-L6-v2"),
        (["不锈钢水壶 1.7L"] * 95 + ["iPhone 15"] * 5, "bge-small-zh-v1.5"),
        (["不锈钢水壶 1.7L"] * 85 + ["iPhone 15"] * 15, "multilingual-e5-small"),
        (["不锈钢水壶"] * 85 + ["お茶の急須"] * 15, "multilingual-e5-small"),
        (["전기 주전자"] * 100, "multilingual-e5-small"),
    ],
)
def test_what_is_read_tells_which_one_is_taken(texts, name, monkeypatch):
    for room in (backbone.e5, backbone.bge):
        monkeypatch.setattr(room, "convert", lambda folder: folder)
    assert resolve("auto", texts).name == name


def test_where_the_chinese_one_cannot_be_fetched_auto_takes_the_multilingual_one_and_says_so(monkeypatch, capsys):
    def refused(_folder):
        raise MavenError("expected Maven, found none")

    monkeypatch.setattr(backbone.bge, "convert", refused)
    monkeypatch.setattr(backbone.e5, "convert", lambda folder: folder)
    assert resolve("auto", ["不锈钢水壶"] * 10).name == "multilingual-e5-small"
    assert capsys.readouterr().err == (
        "taking the multilingual backbone instead of the Chinese one, four times as large: expected Maven, found none\n"
    )
    with pytest.raises(MavenError):
        resolve("chinese")


def test_of_a_catalogue_whole_texts_are_looked_at_from_its_beginning_to_its_end(monkeypatch):
    products = [Product(str(n), "kettle", description=f"number {n}") for n in range(20_000)]
    seen = []

    def look(name, texts):
        seen.extend(texts)
        raise BackboneError("that was all")

    monkeypatch.setattr(starting_point, "resolve", look)
    with pytest.raises(BackboneError):
        StartingPoint.load(TrainSettings(), None, None, products, "cpu")
    assert (len(seen), seen[0], seen[-1]) == (5000, "kettle number 0", "kettle number 19999")


def test_what_is_there_already_is_left(tmp_path):
    (tmp_path / "notes").write_text("mine")
    for out in (tmp_path, tmp_path / "notes"):
        with pytest.raises(UsageError, match="is there and is not an empty folder"):
            write_backbone("english", out)
    assert (tmp_path / "notes").read_text() == "mine"


def test_an_empty_folder_is_filled_and_no_part_is_left_where_it_cannot_be(tmp_path):
    (tmp_path / "empty").mkdir()
    assert (write_backbone("english", tmp_path / "empty").folder / "modules.json").is_file()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        write_backbone("english", Path(tmp_path / "file" / "minilm"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]
