"""The precisions compared, by hand and on a bundle made by hand."""

import numpy as np
import pytest

from hand_bundle import add_hand_int8, write_hand_bundle
from shelfwise import precision
from shelfwise.encoder import Encoded, Encoder
from shelfwise.precision import BOUNDS, TEXTS, WORDS, Compared, Measured, compare, measure, precisions, sample

EXACT = Encoded(np.array([[1, 0], [0, 1]], np.float32), np.array([[0.9, 0.1], [0.4, 0.6]], np.float32))
SAME = compare(EXACT, EXACT)
TURNED = compare(EXACT, Encoded(np.array([[0.8, 0.6], [0, 1]], np.float32), EXACT.probabilities))
MISFILED = compare(EXACT, Encoded(EXACT.vectors, EXACT.probabilities[:, ::-1]))


def recommended(bf16=200.0, int8=300.0):
    return Measured({"f32": 100.0, "bf16": bf16, "int8": int8}, {"bf16": SAME, "int8": SAME}).recommended


def test_what_differs_is_said_in_numbers():
    found = compare(EXACT, Encoded(np.array([[0.8, 0.6], [0, 1]], np.float32), EXACT.probabilities[:, ::-1]))
    assert found.largest_difference == pytest.approx(0.6)
    assert found.least_cosine == pytest.approx(0.8)
    assert found.mean_cosine == pytest.approx(0.9)
    assert found.largest_probability_difference == pytest.approx(0.8)
    assert found.agreement == 0


def test_the_fastest_of_those_that_find_the_same_is_recommended():
    assert recommended() == "int8"
    assert recommended(bf16=400.0) == "bf16"
    assert recommended(int8=110.0) == "bf16"
    assert recommended(bf16=110.0, int8=110.0) == "f32"


@pytest.mark.parametrize("wrong", [TURNED, MISFILED])
def test_what_finds_something_else_is_not_recommended_however_fast(wrong):
    measured = Measured({"f32": 1.0, "bf16": 2.0, "int8": 9.0}, {"bf16": SAME, "int8": wrong})
    assert measured.recommended == "bf16"
    assert Measured({"f32": 1.0, "bf16": 9.0}, {"bf16": wrong}).recommended == "f32"


def test_int8_may_differ_more_than_bf16_as_its_loss_was_bounded_when_it_was_made():
    found = Compared(0.05, 0.98, 0.998, 0.1, 0.97)
    assert found.passes(BOUNDS["int8"])
    assert not found.passes(BOUNDS["bf16"])


def test_a_bundle_is_measured_on_the_names_of_its_own_categories(tmp_path):
    bundle = write_hand_bundle(tmp_path / "b", {"mugs": [1, 0], "tents": [0, 1]}, [("Mugs",), ("Sports", "Big tents")])
    texts = sample(bundle)
    assert len(texts) == TEXTS
    assert {len(text.split()) for text in texts} == {WORDS}
    assert set(texts) == {" ".join(["Mugs"] * 12), " ".join(["Sports Big tents"] * 4)}
    found = measure({"f32": bundle.encoder, "bf16": Encoder(bundle, "bf16")}, texts, round_seconds=0.01)
    assert min(found.texts_per_second.values()) > 0
    assert found.compared["bf16"].least_cosine > 0.99
    assert found.compared["bf16"].agreement == 1
    assert found.to_json()["compared"]["bf16"]["speed_up"] == pytest.approx(found.speed_up("bf16"), abs=0.01)


def test_only_what_the_processor_and_the_bundle_have_is_tried(tmp_path, monkeypatch):
    bundle = write_hand_bundle(tmp_path / "b", {"mugs": [1, 0]})
    monkeypatch.setattr(precision, "has_bf16", lambda: False)
    assert precisions(bundle) == ["f32"]
    monkeypatch.setattr(precision, "has_bf16", lambda: True)
    assert precisions(bundle) == ["f32", "bf16"]
    assert precisions(add_hand_int8(bundle)) == ["f32", "bf16", "int8"]
