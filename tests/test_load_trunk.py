"""Loading a backbone: how many tokens it reads is the model's own matter, not that of an earlier training."""

import shutil

import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import XLMRobertaConfig, XLMRobertaModel

from shelfwise.encoder import network
from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.export import export
from shelfwise_indexer.model import BackboneError, ShelfModel, load_trunk
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


@pytest.mark.parametrize("head", ["linear", "cnn"])
def test_of_a_backbone_that_pools_in_two_ways_a_head_reads_both_and_is_exported(head, tmp_path):
    write_tiny_backbone(tmp_path / "tiny", ["mug", "tent"])
    modules = [Transformer(str(tmp_path / "tiny-bert"), max_seq_length=64), Pooling(32, pooling_mode=("cls", "mean"))]
    SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path / "two"), create_model_card=False)
    trunk = load_trunk(str(tmp_path / "two"), 16, "cpu")
    model = ShelfModel(trunk, Taxonomy.of([("Mugs",), ("Tents",), ("Bags",)]), head=head)
    export(model, tmp_path / "bundle", ["mug", "tent mug"])  # refuses one that differs
    outputs = network(tmp_path / "bundle").outputs
    assert [output.get_partial_shape()[1].get_length() for output in outputs] == [64, 3]
