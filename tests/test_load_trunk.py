"""Loading a backbone: how many tokens it reads is the model's own matter, not that of an earlier training."""

import shutil

import pytest
from transformers import XLMRobertaConfig, XLMRobertaModel

from shelfwise_indexer.model import BackboneError, load_trunk
from tiny_backbone import write_tiny_backbone

pytestmark = pytest.mark.model


def test_a_checkpoint_reads_as_many_tokens_as_its_model_and_not_as_few_as_it_was_trained_with(tmp_path):
    trunk = load_trunk(str(write_tiny_backbone(tmp_path / "tiny", ["mug"])), 16, "cpu")
    trunk.save(str(tmp_path / "checkpoint"), create_model_card=False)
    again = load_trunk(str(tmp_path / "checkpoint"), 64, "cpu")
    assert again.encode(["mug " * 80]).shape == (1, 32)
    with pytest.raises(BackboneError, match="reads at most 64 tokens, asked for 65"):
        load_trunk(str(tmp_path / "checkpoint"), 65, "cpu")


def test_positions_that_a_model_keeps_for_padding_hold_no_tokens(tmp_path):
    write_tiny_backbone(tmp_path / "tiny", ["mug"])
    folder = tmp_path / "roberta"
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    XLMRobertaModel(XLMRobertaConfig(vocab_size=99, max_position_embeddings=66, **sizes)).save_pretrained(folder)
    for tokenizer in (tmp_path / "tiny-bert").glob("*tokenizer*"):
        shutil.copy(tokenizer, folder)
    assert load_trunk(str(folder), 64, "cpu").encode(["mug " * 80]).shape == (1, 32)
    with pytest.raises(BackboneError, match="reads at most 64 tokens, asked for 65"):
        load_trunk(str(folder), 65, "cpu")
