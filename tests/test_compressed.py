"""The compressed model of a bundle as it is loaded."""

import numpy as np
import pytest

from hand_bundle import add_hand_int8, write_hand_bundle
from shelfwise import encoder
from shelfwise.bundle import Bundle
from shelfwise.compressed import FILES, has_int8
from shelfwise.encoder import Encoder
from shelfwise.errors import InvalidBundle, UsageError

WORDS = {"kettle": (1, 0), "case": (0.6, 0.8), "phone": (0, 1)}


@pytest.fixture
def bare(tmp_path):
    return write_hand_bundle(tmp_path / "bundle", WORDS, [("Home",), ("Phones",)])


def test_it_is_no_part_of_the_version(bare):
    bundle = add_hand_int8(bare)
    assert bundle.version == bare.version
    assert has_int8(bundle)
    assert not has_int8(bare)
    exact, fast = (Encoder(bundle, kind).encode_documents(["phone case"]) for kind in ("f32", "int8"))
    np.testing.assert_array_equal(fast.vectors, exact.vectors)


def test_a_bundle_without_one_says_how_to_get_it(bare):
    with pytest.raises(UsageError, match=r"has no int8 model\. `shelfwise train` makes one"):
        Encoder(bare, "int8")


def test_a_bundle_whose_model_was_refused_says_why(bare):
    entry = {"int8": {"kept": False, "reason": "it loses too much"}}
    refused = Bundle(bare.path, {**bare.info, "compressed": entry}, bare.taxonomy)
    with pytest.raises(UsageError, match="has no int8 model: it loses too much"):
        Encoder(refused, "int8")


@pytest.mark.parametrize("file", FILES)
def test_one_that_was_changed_or_is_missing_is_not_run(bare, file):
    bundle = add_hand_int8(bare)
    with (bundle.path / file).open("ab") as changed:
        changed.write(b" ")
    with pytest.raises(InvalidBundle, match="was changed since it was measured"):
        Encoder(Bundle.load(bundle.path), "int8")
    (bundle.path / file).unlink()
    with pytest.raises(InvalidBundle, match=f"{file} is missing"):
        Encoder(Bundle.load(bundle.path), "int8")


@pytest.mark.parametrize(
    ("spared", "bf16", "arithmetic"), [(False, True, "f32"), (True, True, "bf16"), (True, False, "f32")]
)
def test_what_was_spared_is_computed_in_bf16_where_the_processor_has_it(bare, monkeypatch, spared, bf16, arithmetic):
    bundle = add_hand_int8(bare)
    bundle.info["compressed"]["int8"]["spared"] = spared
    used: list[str] = []
    monkeypatch.setattr(encoder, "has_bf16", lambda: bf16)
    compiled = encoder.compiled
    monkeypatch.setattr(encoder, "compiled", lambda model, floats: used.append(floats) or compiled(model, floats))
    Encoder(bundle, "int8")
    assert used == [arithmetic]
