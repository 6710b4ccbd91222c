"""The document encoder: bf16 only where it was measured to pay and to find the same."""

import numpy as np
import pytest

from hand_bundle import write_hand_bundle
from shelfwise.precision import Measured, has_bf16
from shelfwise_indexer import document_encoder
from shelfwise_indexer.document_encoder import ENOUGH, DocumentEncoder

TEXTS = ["kettle", "phone case"] * ENOUGH


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    words = {"kettle": (1, 0), "case": (0.6, 0.8), "phone": (0, 1)}
    return write_hand_bundle(tmp_path_factory.mktemp("encoder") / "bundle", words, [("Home",), ("Phones",)])


def found(speed_up=2.0, cosine=1.0, agreement=1.0):
    return Measured({"f32": 100.0, "bf16": 100.0 * speed_up}, 0.0, cosine, 0.0, agreement)


@pytest.fixture
def measured(monkeypatch):
    """What a measurement would find; and how often one was made, on how many texts."""
    calls = []

    def set_to(found):
        monkeypatch.setattr(document_encoder, "has_bf16", lambda: True)
        monkeypatch.setattr(
            document_encoder, "measure", lambda encoders, texts, seconds: calls.append(len(texts)) or found
        )
        return calls

    return set_to


@pytest.mark.parametrize(
    ("finding", "chosen"),
    [(found(), "bf16"), (found(speed_up=1.0), "f32"), (found(cosine=0.99), "f32"), (found(agreement=0.9), "f32")],
)
def test_bf16_is_used_where_it_is_faster_and_finds_the_same(bundle, measured, finding, chosen, capsys):
    calls = measured(finding)
    encoder = DocumentEncoder(bundle)
    encoder.encode(TEXTS)
    encoder.encode(TEXTS)
    assert len(calls) == 1
    assert calls[0] <= ENOUGH
    assert f"encoding in {chosen}" in capsys.readouterr().err


def test_few_texts_are_not_worth_a_measurement(bundle, measured):
    calls = measured(found())
    DocumentEncoder(bundle).encode(TEXTS[: ENOUGH - 1])
    assert not calls


@pytest.mark.parametrize("precision", ["auto", "f32", "bf16"])
def test_vectors_are_those_of_the_exact_encoder(bundle, precision):
    exact = bundle.encoder.encode_documents(TEXTS)
    got = DocumentEncoder(bundle, precision).encode(TEXTS)
    tolerance = 0 if precision == "f32" or not has_bf16() else 0.01
    np.testing.assert_allclose(got.vectors, exact.vectors, atol=tolerance)
    assert (got.probabilities.argmax(1) == exact.probabilities.argmax(1)).all()
