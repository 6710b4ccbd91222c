"""The two precisions compared, by hand and on a bundle made by hand."""

import numpy as np
import pytest

from hand_bundle import write_hand_bundle
from shelfwise.encoder import Encoded, Encoder
from shelfwise.precision import TEXTS, WORDS, compare, measure, sample

EXACT = Encoded(np.array([[1, 0], [0, 1]], np.float32), np.array([[0.9, 0.1], [0.4, 0.6]], np.float32))


def with_speeds(fast, f32=100.0, bf16=200.0):
    return compare(EXACT, fast, {"f32": f32, "bf16": bf16})


def test_what_differs_is_said_in_numbers():
    found = with_speeds(Encoded(np.array([[0.8, 0.6], [0, 1]], np.float32), EXACT.probabilities[:, ::-1]))
    assert found.speed_up == 2
    assert found.largest_difference == pytest.approx(0.6)
    assert found.least_cosine == pytest.approx(0.8)
    assert found.largest_probability_difference == pytest.approx(0.8)
    assert found.agreement == 0


def test_bf16_is_recommended_where_it_is_clearly_faster_and_finds_the_same():
    assert with_speeds(EXACT).recommended == "bf16"
    assert with_speeds(EXACT, bf16=110.0).recommended == "f32"
    assert with_speeds(Encoded(np.array([[0.8, 0.6], [0, 1]], np.float32), EXACT.probabilities)).recommended == "f32"
    assert with_speeds(Encoded(EXACT.vectors, EXACT.probabilities[:, ::-1])).recommended == "f32"


def test_a_bundle_is_measured_on_the_names_of_its_own_categories(tmp_path):
    bundle = write_hand_bundle(tmp_path / "b", {"mugs": [1, 0], "tents": [0, 1]}, [("Mugs",), ("Sports", "Big tents")])
    texts = sample(bundle)
    assert len(texts) == TEXTS
    assert {len(text.split()) for text in texts} == {WORDS}
    assert set(texts) == {" ".join(["Mugs"] * 12), " ".join(["Sports Big tents"] * 4)}
    found = measure({"f32": bundle.encoder, "bf16": Encoder(bundle, "bf16")}, texts, round_seconds=0.01)
    assert min(found.texts_per_second.values()) > 0
    assert found.least_cosine > 0.99
    assert found.agreement == 1
