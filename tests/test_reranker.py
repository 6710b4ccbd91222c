"""The reranker's runtime: a folder in, scores of pairs out."""

import shutil

import numpy as np
import orjson
import pytest

from hand_reranker import write_hand_reranker
from shelfwise.errors import InvalidReranker
from shelfwise.reranker import Reranker, content_version

WORDS = {"kettle": (1, 0), "boiler": (0.5, 0), "case": (0, 1), "cover": (0, 0.25)}


@pytest.fixture(scope="module")
def reranker(tmp_path_factory):
    return write_hand_reranker(tmp_path_factory.mktemp("reranker") / "r", WORDS, ["title", "description", "color"])


@pytest.fixture
def copy(reranker, tmp_path):
    return shutil.copytree(reranker.path, tmp_path / "copy")


def found(**source):
    return {"_id": "a", "_source": source}


def test_a_pair_scores_what_query_and_product_share(reranker):
    scores = reranker.score([("kettle", "kettle"), ("kettle", "phone case"), ("case", "kettle cover case")])
    assert scores == pytest.approx([1, 0, 1.25])
    assert scores.dtype == np.float32


def test_no_pair_has_no_score(reranker):
    assert reranker.score([]).shape == (0,)


def test_batched_is_the_same_as_one_by_one_and_in_input_order(reranker):
    words = list(WORDS)
    pairs = [(words[n % 4], " ".join(words[(n * step) % 4] for step in range(1, n % 25 + 2))) for n in range(300)]
    alone = [reranker.score([pair])[0] for pair in pairs]
    assert reranker.score(pairs) == pytest.approx(alone, abs=1e-5)


def test_of_a_pair_that_is_too_long_the_longer_text_is_cut(reranker):
    long = " ".join(["mug"] * 60)
    assert reranker.score([("kettle", f"kettle {long}")]) == pytest.approx([1])
    assert reranker.score([("kettle", f"{long} kettle")]) == pytest.approx([0])
    assert reranker.score([(f"kettle {long}", "kettle")]) == pytest.approx([1])


def test_the_text_of_a_product_is_its_fields_in_order(reranker):
    text = reranker.text(
        found(title="<b>Steel</b> kettle", description="for tea", brand="Sony", attributes={"color": "red"})
    )
    assert text == "Steel kettle for tea red"
    assert reranker.text(found(title="Mug", attributes=None)) == "Mug"
    assert reranker.text(found()) == ""
    assert reranker.sources == ("title", "description", "attributes.color")


def test_a_folder_that_is_not_there_is_named_with_what_makes_one(tmp_path):
    with pytest.raises(InvalidReranker, match=r"none is not a reranker.*shelfwise rerank export MODEL --out"):
        Reranker(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidReranker, match="is not a reranker"):
        Reranker(tmp_path / "file")


@pytest.mark.parametrize("name", ["model.xml", "model.bin", "tokenizer.json"])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(InvalidReranker, match=rf"is incomplete: {name} is missing"):
        Reranker(copy)


@pytest.mark.parametrize("name", ["reranker.json", "model.bin"])
def test_a_file_that_cannot_be_read_is_named(copy, name):
    (copy / name).unlink()
    (copy / name).mkdir()  # what not even the superuser can read
    with pytest.raises(InvalidReranker, match=rf"{name} cannot be read \(.*\): make it a file that this user may read"):
        Reranker(copy)


@pytest.mark.parametrize("name", ["model.xml", "model.bin", "tokenizer.json"])
def test_a_changed_file_is_refused(copy, name):
    with (copy / name).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(InvalidReranker, match="was changed since it was written"):
        Reranker(copy)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"{", "is damaged"), (b"[]", "lacks everything"), (b'{"format": 1}', r"lacks \['blend', 'max_tokens'")],
)
def test_settings_that_cannot_be_read_are_refused(copy, content, said):
    (copy / "reranker.json").write_bytes(content)
    with pytest.raises(InvalidReranker, match=said):
        Reranker(copy)


def test_another_format_and_an_edited_setting_are_refused(copy, reranker):
    (copy / "reranker.json").write_bytes(orjson.dumps({**reranker.info, "format": 2}))
    with pytest.raises(InvalidReranker, match="format 2, this shelfwise reads 1"):
        Reranker(copy)
    (copy / "reranker.json").write_bytes(orjson.dumps({**reranker.info, "blend": 0.25}))
    with pytest.raises(InvalidReranker, match="was changed"):
        Reranker(copy)


def test_the_version_is_of_content_not_of_place(copy, reranker):
    assert Reranker(copy).version == reranker.version
    assert content_version(copy, {**reranker.info, "max_tokens": 16}) != reranker.version


@pytest.mark.parametrize(("name", "content"), [("model.xml", b"<net"), ("tokenizer.json", b"{}")])
def test_a_file_that_is_none_of_its_kind_is_named(copy, name, content):
    (copy / name).write_bytes(content)
    info = orjson.loads((copy / "reranker.json").read_bytes())
    (copy / "reranker.json").write_bytes(orjson.dumps(info | {"version": content_version(copy, info)}))
    with pytest.raises(InvalidReranker, match=rf"{name} .*cannot be read \(.+\): copy the folder again"):
        Reranker(copy)
