"""A decoder as a backbone (GPT-2's kind: no special tokens, the last token stands for the text), from end to end."""

import itertools

import numpy as np
import orjson
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2Model, PreTrainedTokenizerFast

from as_trained import assert_exported_as_trained
from shelfwise.bundle import Bundle
from shelfwise_indexer.compress import CompressSettings
from shelfwise_indexer.fit import FitSettings
from shelfwise_indexer.model import BackboneError, load_trunk
from shelfwise_indexer.settings import TrainSettings
from shelfwise_indexer.training import train

pytestmark = pytest.mark.model

END = "<|endoftext|>"
KINDS = {"Home > Kettles": "kettle", "Home > Mugs": "mug", "Camping > Tents": "tent"}
EXTRAS = [" ".join(pair) for pair in itertools.product(("large", "small", "light"), ("red", "blue", "grey", "old"))]
TITLES = [(f"{extra} {kind}", path) for path, kind in KINDS.items() for extra in EXTRAS]
TEXTS = ["large red kettle", "old tent", "a mug and very many other words that go on and on"]


def write_tiny_decoder(folder, texts):
    """A sentence-transformers folder: two layers, 32 dimensions, random weights, byte pairs of the texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=[END], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=400, n_embd=32, n_layer=2, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0)
    bare = folder.with_name(folder.name + "-gpt2")
    GPT2Model(config).save_pretrained(bare)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END).save_pretrained(bare)
    modules = [Transformer(str(bare), max_seq_length=64), Pooling(32, pooling_mode="lasttoken"), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("decoder")
    backbone = write_tiny_decoder(folder / "gpt2", [title for title, _ in TITLES])
    lines = [{"id": str(n), "title": title, "category": path} for n, (title, path) in enumerate(TITLES)]
    (folder / "catalogue.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    settings = TrainSettings(
        backbone=str(backbone),
        max_tokens=16,
        retention=0.5,
        fit=FitSettings(epochs=4, learning_rate=1e-3, head_learning_rate=5e-3, batch_size=12),
        compress=CompressSettings(int8=False),  # takes seconds, and is of no account here
    )
    return train(folder / "catalogue.jsonl", folder / "bundle", settings=settings)


@pytest.fixture(scope="module")
def bundle(trained):
    return Bundle.load(trained.bundle)


def test_a_decoder_learns_a_learnable_catalogue(trained):
    assert trained.scores.levels[-1].accuracy > 0.6


@pytest.mark.parametrize("texts", [TEXTS, TEXTS[:1], ["k"], ["k", "large red kettle"]])
def test_the_exported_model_gives_what_the_trained_one_gives(bundle, texts):
    """Of one token too: nothing is put before or after a text here."""
    assert_exported_as_trained(bundle, texts)


def test_a_text_gives_the_same_alone_and_beside_longer_ones(bundle):
    together = bundle.encoder.encode_documents(["k", *TEXTS])
    for row, text in enumerate(["k", *TEXTS]):
        np.testing.assert_allclose(bundle.encoder.encode_documents([text]).vectors[0], together.vectors[row], atol=1e-5)


def test_a_text_of_no_token_is_answered_as_any_other(bundle):
    encoded = bundle.encoder.encode_documents(["", "old tent"])
    np.testing.assert_allclose(np.linalg.norm(encoded.vectors, axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(encoded.probabilities.sum(axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(encoded.vectors[1], bundle.encoder.encode_documents(["old tent"]).vectors[0], atol=1e-5)
    np.testing.assert_allclose(bundle.encoder.encode_queries([""]).vectors[0], encoded.vectors[0], atol=1e-5)


@pytest.mark.parametrize("pad", [END, None])
def test_of_a_bare_decoder_the_last_token_stands_for_the_text(pad, tmp_path):
    """A folder of transformers' own, with a token for padding and, as GPT-2 comes, without."""
    write_tiny_decoder(tmp_path / "gpt2", TEXTS)
    bare = tmp_path / "gpt2-gpt2"
    told = orjson.loads((bare / "tokenizer_config.json").read_bytes())
    (bare / "tokenizer_config.json").write_bytes(orjson.dumps(told | {"pad_token": pad}))
    trunk = load_trunk(str(bare), 16, "cpu")
    assert (trunk[1].pooling_mode, trunk.tokenizer.pad_token) == ("lasttoken", END)
    whole = load_trunk(str(tmp_path / "gpt2"), 16, "cpu")
    np.testing.assert_allclose(trunk.encode(TEXTS, normalize_embeddings=True), whole.encode(TEXTS), atol=1e-6)


def test_whichever_side_its_tokenizer_pads_a_decoder_reads_a_text_the_same_alone_and_beside_longer_ones(tmp_path):
    folder = write_tiny_decoder(tmp_path / "gpt2", TEXTS)
    alone = [load_trunk(str(folder), 16, "cpu").encode(text) for text in TEXTS]
    config = folder / "tokenizer_config.json"
    config.write_bytes(orjson.dumps(orjson.loads(config.read_bytes()) | {"padding_side": "left"}))
    np.testing.assert_allclose(load_trunk(str(folder), 16, "cpu").encode(TEXTS), alone, atol=1e-6)


def test_a_backbone_without_a_token_for_padding_or_for_the_end_is_refused(tmp_path):
    write_tiny_decoder(tmp_path / "gpt2", TEXTS)
    config = tmp_path / "gpt2-gpt2" / "tokenizer_config.json"
    config.write_bytes(orjson.dumps(orjson.loads(config.read_bytes()) | {"pad_token": None, "eos_token": None}))
    with pytest.raises(BackboneError, match="without pad_token and eos_token"):
        load_trunk(str(config.parent), 16, "cpu")
