"""A cross-encoder becomes a reranker folder that scores as it does."""

import numpy as np
import orjson
import pytest
import torch
from torch import nn

from shelfwise.errors import UsageError
from shelfwise.reranker import Reranker
from shelfwise_indexer import reranker_export
from shelfwise_indexer.cross_encoder import CrossEncoderError, begin_cross_encoder, load_cross_encoder
from shelfwise_indexer.export import ExportError
from shelfwise_indexer.reranker_export import write_reranker
from test_decoder_backbone import write_tiny_decoder
from tiny_cross_encoder import write_tiny_cross_encoder

pytestmark = pytest.mark.model

WORDS = ["steel kettle", "glass kettle for tea", "leather phone case", "red cover"]
INFO = {"text_fields": ["title"], "blend": 1.0, "backbone": {"name": "tiny", "licence": "none"}}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny_cross_encoder(tmp_path_factory.mktemp("tiny") / "model", WORDS)


@pytest.fixture(scope="module")
def written(tiny, tmp_path_factory):
    return write_reranker(load_cross_encoder(str(tiny), 24), tmp_path_factory.mktemp("reranker") / "r", INFO)


def test_the_runtime_scores_as_the_cross_encoder_does(tiny, written):
    pairs = [(a, " ".join([b] * n)) for a in WORDS for b in WORDS for n in (1, 4, 20)]
    expected = load_cross_encoder(str(tiny), 24).predict(pairs, activation_fn=nn.Identity())
    assert np.ptp(expected) > 0.1
    assert written.score(pairs) == pytest.approx(expected, abs=1e-4)


def test_the_folder_says_what_it_is(written):
    info = orjson.loads((written.path / "reranker.json").read_bytes())
    assert (info["max_tokens"], info["pad_token_id"], info["backbone"]["name"]) == (24, 0, "tiny")
    assert {path.name for path in written.path.iterdir()} == {
        "model.xml",
        "model.bin",
        "tokenizer.json",
        "reranker.json",
    }


def test_the_same_model_gives_the_same_version(tiny, written, tmp_path):
    again = write_reranker(load_cross_encoder(str(tiny), 24), tmp_path / "again", INFO)
    assert again.version == written.version


def test_a_checkpoint_is_a_cross_encoder_to_go_on_from(tiny, written, tmp_path):
    kept = write_reranker(load_cross_encoder(str(tiny), 24), tmp_path / "kept", INFO, checkpoint=True)
    again = write_reranker(load_cross_encoder(str(kept.path / "checkpoint"), 24), tmp_path / "again", INFO)
    assert again.version == kept.version == written.version
    assert not list(kept.path.rglob("*.pt")) + list(kept.path.rglob("*.pkl"))


def test_an_export_that_differs_is_refused_and_nothing_is_left(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(reranker_export, "TOLERANCE", -1.0)
    with pytest.raises(ExportError, match="scores differ"):
        write_reranker(load_cross_encoder(str(tiny), 24), tmp_path / "r", INFO)
    assert not (tmp_path / "r").exists()


def test_a_model_that_cannot_be_a_reranker_is_refused(tiny, tmp_path):
    with pytest.raises(CrossEncoderError, match="cannot be loaded"):
        load_cross_encoder(str(tmp_path / "none"))
    several = write_tiny_cross_encoder(tmp_path / "several", WORDS, outputs=3)
    with pytest.raises(CrossEncoderError, match="gives 3 outputs"):
        load_cross_encoder(str(several))
    with pytest.raises(CrossEncoderError, match="reads at most 64 tokens, asked for 65"):
        load_cross_encoder(str(tiny), 65)


def test_a_decoder_which_knows_no_pairs_is_no_backbone_of_a_reranker(tmp_path):
    with pytest.raises(CrossEncoderError, match=r"expected a tokenizer with cls_token and sep_token.* BERT family"):
        begin_cross_encoder(str(write_tiny_decoder(tmp_path / "gpt2", WORDS)), 16)
    with pytest.raises(CrossEncoderError, match="expected a tokenizer with cls_token and sep_token"):
        begin_cross_encoder(str(tmp_path / "gpt2-gpt2"), 16)


def test_weights_that_are_pickles_are_not_loaded(tiny, tmp_path):
    model = load_cross_encoder(str(tiny))
    model.save_pretrained(str(tmp_path / "pickled"), create_model_card=False)
    (tmp_path / "pickled" / "model.safetensors").unlink()
    torch.save(model.model.state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(CrossEncoderError, match="cannot be loaded"):
        load_cross_encoder(str(tmp_path / "pickled"))


def test_a_folder_with_something_else_is_left_alone_and_a_reranker_is_replaced(tiny, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    model = load_cross_encoder(str(tiny), 24)
    with pytest.raises(CrossEncoderError, match="is not a reranker"):
        write_reranker(model, tmp_path / "mine", INFO)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"
    first = write_reranker(model, tmp_path / "r", INFO).version
    assert write_reranker(model, tmp_path / "r", INFO | {"blend": 0.5}).version != first
    assert Reranker(tmp_path / "r").blend == 0.5


def test_fields_that_are_none_are_refused(tiny, tmp_path):
    with pytest.raises(UsageError, match="text_fields: 'title:0'"):
        write_reranker(load_cross_encoder(str(tiny), 24), tmp_path / "r", INFO | {"text_fields": ["title:0"]})
