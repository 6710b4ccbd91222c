"""Built-in backbones as folders of one's own."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from shelfwise.errors import UsageError
from shelfwise_indexer.backbone import resolve, write_backbone
from shelfwise_indexer.model import load_trunk

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
