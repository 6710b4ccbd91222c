import shutil
import subprocess
import sys

import orjson
import pytest

from hand_bundle import write_hand_bundle
from shelfwise.bundle import MODEL_FILES, VERSIONED_SETTINGS, Bundle, content_version
from shelfwise.errors import InvalidBundle

WORDS = {"kettle": (1, 0), "case": (0, 1)}
LEAVES = [("Home", "Kettles"), ("Phones", "Cases")]
OTHER_SETTINGS = {
    "format": 2,
    "dimension": 3,
    "max_tokens": 32,
    "pad_token_id": 1,
    "text_fields": ["title"],
    "prompts": {"query": "query: "},
    "temperature": 1.5,
    "threshold": 0.25,
}


@pytest.fixture
def folder(tmp_path):
    write_hand_bundle(tmp_path / "model", WORDS, LEAVES, threshold=0.75)
    return tmp_path / "model"


def info_of(folder):
    return orjson.loads((folder / "bundle.json").read_bytes())


def edit(folder, **settings):
    (folder / "bundle.json").write_bytes(orjson.dumps(info_of(folder) | settings))


def test_what_was_written_is_loaded(folder):
    bundle = Bundle.load(folder)
    assert bundle.path == folder
    assert (bundle.dimension, bundle.max_tokens, bundle.threshold) == (2, 64, 0.75)
    assert bundle.text_fields == ("title", "description")
    assert bundle.taxonomy.leaves == tuple(LEAVES)
    assert bundle.version == info_of(folder)["version"]
    assert len(bundle.version) == 12
    assert set(bundle.version) <= set("0123456789abcdef")


def test_a_path_may_be_text(folder):
    assert Bundle.load(str(folder)).path == folder


def test_a_copy_elsewhere_is_the_same_version(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert Bundle.load(copy).version == Bundle.load(folder).version


def test_other_vectors_or_another_taxonomy_give_another_version(folder, tmp_path):
    vectors = write_hand_bundle(tmp_path / "vectors", WORDS | {"case": (0.6, 0.8)}, LEAVES, threshold=0.75)
    leaves = write_hand_bundle(tmp_path / "leaves", WORDS, [*LEAVES[:1], ("Phones", "Covers")], threshold=0.75)
    assert len({Bundle.load(folder).version, vectors.version, leaves.version}) == 3


def test_the_settings_changed_below_are_all_that_are_versioned():
    assert OTHER_SETTINGS.keys() == set(VERSIONED_SETTINGS)


@pytest.mark.parametrize("name", OTHER_SETTINGS)
def test_the_version_changes_with_every_setting_that_changes_a_vector_or_a_category(folder, name):
    info = info_of(folder)
    assert info[name] != OTHER_SETTINGS[name]
    assert content_version(folder, info | {name: OTHER_SETTINGS[name]}) != info["version"]


@pytest.mark.parametrize("name", MODEL_FILES)
def test_the_version_changes_with_every_file_that_makes_vectors_and_categories(folder, name):
    with (folder / name).open("ab") as file:
        file.write(b" ")
    assert content_version(folder, info_of(folder)) != info_of(folder)["version"]


def test_metrics_and_the_order_of_settings_are_not_part_of_the_version(folder):
    reordered = dict(reversed((info_of(folder) | {"metrics": {"accuracy": 1.0}}).items()))
    (folder / "bundle.json").write_bytes(orjson.dumps(reordered))
    assert Bundle.load(folder).info["metrics"] == {"accuracy": 1.0}


def test_a_folder_that_is_not_there_is_no_bundle_and_the_message_says_what_makes_one(tmp_path):
    with pytest.raises(InvalidBundle) as refused:
        Bundle.load(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in str(refused.value)
    assert f"shelfwise train CATALOGUE --out {tmp_path / 'nowhere'}" in str(refused.value)


def test_an_empty_folder_is_no_bundle(tmp_path):
    with pytest.raises(InvalidBundle, match=r"is not a bundle: bundle\.json is missing; .*shelfwise train"):
        Bundle.load(tmp_path)


def test_a_file_is_no_bundle(folder):
    with pytest.raises(InvalidBundle, match=r"bundle\.json is not a bundle: expected a folder"):
        Bundle.load(folder / "bundle.json")


@pytest.mark.parametrize("name", MODEL_FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(InvalidBundle, match=f"{name} is missing") as refused:
        Bundle.load(folder)
    assert str(folder) in str(refused.value)
    assert "train" in str(refused.value)


@pytest.mark.parametrize("name", ["bundle.json", *MODEL_FILES])
def test_a_file_that_cannot_be_read_is_named(folder, name):
    (folder / name).unlink()
    (folder / name).mkdir()  # what not even the superuser can read
    with pytest.raises(InvalidBundle, match=rf"{name} cannot be read \(.*\): make it a file that this user may read"):
        Bundle.load(folder)


def test_a_changed_model_file_is_refused_with_both_versions(folder):
    weights = bytearray((folder / "model.bin").read_bytes())
    weights[-1] ^= 1
    (folder / "model.bin").write_bytes(weights)
    with pytest.raises(InvalidBundle, match="was changed since it was trained") as refused:
        Bundle.load(folder)
    message = str(refused.value)
    assert str(folder) in message
    assert info_of(folder)["version"] in message
    assert content_version(folder, info_of(folder)) in message
    assert "copy the bundle again or train it again" in message


def test_a_changed_taxonomy_is_refused(folder):
    content = orjson.loads((folder / "taxonomy.json").read_bytes())
    content["leaves"].reverse()
    (folder / "taxonomy.json").write_bytes(orjson.dumps(content))
    with pytest.raises(InvalidBundle, match="was changed since it was trained"):
        Bundle.load(folder)


@pytest.mark.parametrize("name", sorted(OTHER_SETTINGS.keys() - {"format"}))
def test_an_edited_setting_is_refused(folder, name):
    edit(folder, **{name: OTHER_SETTINGS[name]})
    with pytest.raises(InvalidBundle, match="was changed since it was trained"):
        Bundle.load(folder)


def test_a_newer_format_is_refused_before_anything_else_is_believed(folder):
    edit(folder, format=2)
    with pytest.raises(InvalidBundle, match="has bundle format 2, this shelfwise reads 1") as refused:
        Bundle.load(folder)
    assert "train it again or install the shelfwise that wrote it" in str(refused.value)


@pytest.mark.parametrize("name", ["version", *VERSIONED_SETTINGS])
def test_a_setting_that_is_missing_is_named(folder, name):
    info = info_of(folder)
    del info[name]
    (folder / "bundle.json").write_bytes(orjson.dumps(info))
    with pytest.raises(InvalidBundle, match=rf"bundle\.json lacks \['{name}'\]"):
        Bundle.load(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"version": "0a'])
@pytest.mark.parametrize("name", ["bundle.json", "taxonomy.json"])
def test_a_file_that_is_not_json_is_damage(folder, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(InvalidBundle, match=r"is damaged .*: copy it again or train it again") as refused:
        Bundle.load(folder)
    assert str(folder) in str(refused.value)


@pytest.mark.parametrize("content", [b"[]", b"7", b"null", b'"bundle"'])
def test_json_that_is_no_object_is_refused(folder, content):
    (folder / "bundle.json").write_bytes(content)
    with pytest.raises(InvalidBundle, match=r"bundle\.json lacks everything"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    "content", [b"[]", b"{}", b'{"leaves": []}', b'{"leaves": [["A"], ["A"]]}', b'{"leaves": [1]}']
)
def test_json_that_is_no_taxonomy_is_damage(folder, content):
    (folder / "taxonomy.json").write_bytes(content)
    with pytest.raises(InvalidBundle, match="is damaged"):
        Bundle.load(folder)


@pytest.mark.parametrize("part", ["network", "tokenizer", "encoder"])
def test_a_folder_replaced_since_it_was_loaded_is_not_read_as_the_bundle_it_was(folder, part):
    bundle = Bundle.load(folder)
    other = write_hand_bundle(folder, WORDS | {"case": (0.6, 0.8)}, LEAVES)
    with pytest.raises(InvalidBundle, match=f"was replaced .*{bundle.version}, found {other.version}.*load it again"):
        getattr(bundle, part)
    (folder / "bundle.json").unlink()
    with pytest.raises(InvalidBundle, match="found None"):
        getattr(bundle, part)


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("model.bin", b"", ["network", "encoder"]),
        ("model.xml", b"<net", ["network", "encoder"]),
        ("tokenizer.json", b"{}", ["tokenizer", "encoder"]),
    ],
)
def test_a_file_damaged_since_the_bundle_was_loaded_is_named(folder, name, content, parts):
    bundle = Bundle.load(folder)
    (folder / name).write_bytes(content)
    read = "model.xml or its weights" if name.startswith("model") else name
    for part in parts:
        with pytest.raises(InvalidBundle, match=rf"{read} cannot be read \(.+\): copy the folder again") as refused:
            getattr(bundle, part)
        assert "\n" not in str(refused.value)


def test_what_was_read_before_the_folder_was_replaced_still_runs(folder):
    bundle = Bundle.load(folder)
    [before] = bundle.encoder.encode_documents(["case"]).vectors
    shutil.move(folder, folder.with_name("old"))  # as `train --out` does
    write_hand_bundle(folder, WORDS | {"case": (0.6, 0.8)}, LEAVES)
    assert (bundle.encoder.encode_documents(["case"]).vectors[0] == before).all()


# In a process of its own, which reading a file that became shorter would end by a signal.
OVERWRITTEN = """
import os, sys
from pathlib import Path
from shelfwise import Bundle

bundle = Bundle.load(sys.argv[1])
weights, texts = bundle.path / "model.bin", ["case", "kettle case"]
before = bundle.encoder.encode_documents(texts).vectors
with weights.open("r+b") as file:
    file.write(bytes(weights.stat().st_size))
overwritten = bundle.encoder.encode_documents(texts).vectors
os.truncate(weights, 0)
truncated = bundle.encoder.encode_documents(texts).vectors
print((before == overwritten).all(), (before == truncated).all())
"""


def test_a_model_that_is_overwritten_in_place_runs_on_as_it_was(folder):
    done = subprocess.run([sys.executable, "-c", OVERWRITTEN, folder], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["True", "True"]), done.stderr[-2000:]
