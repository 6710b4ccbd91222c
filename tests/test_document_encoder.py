"""The document encoder: another precision only where it was measured to pay and to find the same."""

from dataclasses import replace

import numpy as np
import pytest

from hand_bundle import add_hand_int8, write_hand_bundle
from shelfwise.capacity import capacity
from shelfwise.errors import InvalidBundle, UsageError
from shelfwise.precision import Compared, Measured
from shelfwise.processor import has_bf16
from shelfwise_indexer import document_encoder
from shelfwise_indexer.document_encoder import ENOUGH, DocumentEncoder

TEXTS = ["kettle", "phone case"] * ENOUGH
KINDS = ["f32", "bf16", "int8"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    words = {"kettle": (1, 0), "case": (0.6, 0.8), "phone": (0, 1)}
    bare = write_hand_bundle(tmp_path_factory.mktemp("encoder") / "bundle", words, [("Home",), ("Phones",)])
    return add_hand_int8(bare)


def found(bf16=2.0, int8=3.0, cosine=1.0, agreement=1.0):
    same, other = Compared(0.0, 1.0, 1.0, 0.0, 1.0), Compared(0.0, cosine, cosine, 0.0, agreement)
    return Measured({"f32": 1.0, "bf16": bf16, "int8": int8}, {"bf16": same, "int8": other})


@pytest.fixture
def measured(monkeypatch):
    """What a measurement would find; and of which precisions one was made, on how many texts."""
    calls = []

    def set_to(found, instruction_sets=("amx",)):
        def measure(encoders, texts, seconds):
            calls.append((sorted(encoders), len(texts)))
            return Measured(
                {kind: speed for kind, speed in found.texts_per_second.items() if kind in encoders},
                {kind: one for kind, one in found.compared.items() if kind in encoders},
            )

        machine = replace(capacity(), instruction_sets=instruction_sets)
        monkeypatch.setattr(document_encoder, "capacity", lambda: machine)
        monkeypatch.setattr(document_encoder, "precisions", lambda bundle: KINDS)
        monkeypatch.setattr(document_encoder, "measure", measure)
        return calls

    return set_to


@pytest.mark.parametrize(
    ("finding", "chosen"),
    [
        (found(), "int8"),
        (found(bf16=4.0), "bf16"),
        (found(bf16=1.0, int8=1.0), "f32"),
        (found(cosine=0.98), "bf16"),
        (found(agreement=0.9), "bf16"),
    ],
)
def test_the_fastest_that_finds_the_same_is_used(bundle, measured, finding, chosen, capsys, tmp_path):
    calls = measured(finding)
    encoder = DocumentEncoder(bundle, choices=tmp_path)
    encoder.encode(TEXTS)
    encoder.encode(TEXTS)
    assert len(calls) == 1
    assert calls[0][1] <= ENOUGH
    assert f"encoding in {chosen}:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("finding", "chosen", "tried"),
    [
        (found(bf16=4.0), "int8", [["f32", "int8"]]),
        (found(cosine=0.98), "bf16", [["f32", "int8"], sorted(KINDS)]),
        (found(int8=1.0), "bf16", [["f32", "int8"], sorted(KINDS)]),
    ],
)
def test_without_matrix_units_bf16_is_tried_only_where_integers_do_not_do(
    bundle, measured, finding, chosen, tried, tmp_path
):
    calls = measured(finding, ("avx512", "avx512_bf16", "vnni"))
    encoder = DocumentEncoder(bundle, choices=tmp_path)
    encoder.encode(TEXTS)
    assert encoder.precision == chosen
    assert [kinds for kinds, _ in calls] == tried


def test_a_second_run_need_not_measure(bundle, measured, tmp_path, capsys):
    calls = measured(found())
    DocumentEncoder(bundle, choices=tmp_path).encode(TEXTS)
    again = DocumentEncoder(bundle, choices=tmp_path)
    again.encode(TEXTS)
    assert len(calls) == 1
    assert again.precision == "int8"
    assert "encoding in int8, as was measured here before" in capsys.readouterr().err


def test_few_texts_are_not_worth_a_measurement(bundle, measured, tmp_path):
    calls = measured(found())
    encoder = DocumentEncoder(bundle, choices=tmp_path)
    encoder.encode(TEXTS[: ENOUGH - 1])
    assert not calls
    assert encoder.precision == "f32"


def test_without_texts_the_model_is_not_loaded(tmp_path):
    bundle = write_hand_bundle(tmp_path / "bundle", {"kettle": (1, 0)}, [("Home",), ("Phones",)])
    encoded = DocumentEncoder(bundle, choices=tmp_path).encode([])
    assert (encoded.vectors.shape, encoded.probabilities.shape) == ((0, 2), (0, 2))
    assert not {"encoder", "network"} & vars(bundle).keys()


def test_what_was_found_best_before_is_used_for_few_texts_too(bundle, measured, tmp_path):
    calls = measured(found())
    DocumentEncoder(bundle, choices=tmp_path).encode(TEXTS)
    again = DocumentEncoder(bundle, choices=tmp_path)
    again.encode(TEXTS[:3])
    assert (len(calls), again.precision) == (1, "int8")


def test_the_model_can_be_loaded_before_there_are_texts(bundle, measured, tmp_path):
    measured(found())
    first = DocumentEncoder(bundle, choices=tmp_path)
    first.begin_loading()
    assert not first._encoders  # nobody knows yet which it will be
    first.encode(TEXTS)
    again = DocumentEncoder(bundle, choices=tmp_path)
    again.begin_loading()
    again.begin_loading()
    assert again._loading.result() is again._encoder("int8")
    np.testing.assert_array_equal(again.encode(TEXTS[:2]).vectors, first.encode(TEXTS[:2]).vectors)


@pytest.mark.parametrize(("finding", "chosen"), [(found(), "int8"), (found(bf16=1.0, int8=1.0), "f32")])
def test_no_model_stays_that_was_measured_and_not_chosen_or_that_was_let_go_of(measured, tmp_path, finding, chosen):
    words = {"kettle": (1, 0), "phone": (0, 1)}
    own = add_hand_int8(write_hand_bundle(tmp_path / "bundle", words, [("Home",), ("Phones",)]))
    measured(finding)
    encoder = DocumentEncoder(own, choices=tmp_path)
    first = encoder.encode(TEXTS)
    assert list(encoder._encoders) == [chosen]
    assert "encoder" not in vars(own)
    encoder.release()
    assert not encoder._encoders
    np.testing.assert_array_equal(encoder.encode(TEXTS[:2]).vectors, first.vectors[:2])


def test_a_model_that_cannot_be_loaded_is_said_when_it_is_asked_for(tmp_path):
    damaged = add_hand_int8(write_hand_bundle(tmp_path / "bundle", {"kettle": (1, 0)}, [("Home",), ("Phones",)]))
    encoder = DocumentEncoder(damaged, "bf16", tmp_path)
    encoder._encoders.clear()
    (damaged.path / "model.bin").write_bytes(b"")
    vars(damaged).pop("network", None)
    encoder.begin_loading()
    with pytest.raises(InvalidBundle, match="cannot be read"):
        encoder.encode(["kettle"])


def test_int8_of_a_bundle_without_it_is_refused(tmp_path):
    bare = write_hand_bundle(tmp_path / "bare", {"kettle": (1, 0)})
    with pytest.raises(UsageError, match="has no int8 model"):
        DocumentEncoder(bare, "int8")


@pytest.mark.parametrize("precision", ["auto", "f32", "bf16", "int8"])
def test_vectors_are_those_of_the_exact_encoder(bundle, precision, tmp_path):
    exact = bundle.encoder.encode_documents(TEXTS)
    got = DocumentEncoder(bundle, precision, tmp_path).encode(TEXTS)
    tolerance = 0.01 if has_bf16() and precision in ("auto", "bf16") else 0
    np.testing.assert_allclose(got.vectors, exact.vectors, atol=tolerance)
    assert (got.probabilities.argmax(1) == exact.probabilities.argmax(1)).all()
