"""A backbone whose word embeddings have two names (T5's kind): its checkpoints are written, and gone on from."""

import shutil

import numpy as np
import pytest
import torch
from transformers import T5Config, T5EncoderModel, Trainer

from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.encoder_fit import EncoderFitSettings, fit_encoder
from shelfwise_indexer.encoder_pairs import Pair
from shelfwise_indexer.fit import FitSettings, Texts, fit, last_checkpoint
from shelfwise_indexer.loss import HierarchicalLoss, LossSettings
from shelfwise_indexer.model import ShelfModel, load_trunk
from tiny_backbone import write_tiny_backbone

pytestmark = pytest.mark.model

TAXONOMY = Taxonomy.of([("Mugs",), ("Tents",)])
TITLES = [f"{colour} {thing}" for thing in ("mug", "tent") for colour in ("red", "blue", "green", "old")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("t5")
    write_tiny_backbone(folder / "tiny", TITLES)
    torch.manual_seed(0)
    config = T5Config(vocab_size=30, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, pad_token_id=0)
    T5EncoderModel(config).save_pretrained(folder / "t5")
    for tokenizer in (folder / "tiny-bert").glob("*tokenizer*"):
        shutil.copy(tokenizer, folder / "t5")
    return folder / "t5"


def fit_trunk(trunk, work):
    labels = np.repeat(np.eye(2, dtype=np.float32), 4, axis=0)
    texts = Texts([trunk.tokenizer(TITLES)["input_ids"]], labels, [[TAXONOMY.leaves[row.argmax()]] for row in labels])
    model = ShelfModel(trunk, TAXONOMY, HierarchicalLoss(TAXONOMY, LossSettings(), labels.sum(axis=0)), retention=0.0)
    fit(model, TAXONOMY, texts, texts, FitSettings(epochs=1, batch_size=4), work)


def fit_pairs(trunk, work):
    pairs = [Pair(title, title.split()[1], frozenset()) for title in TITLES]
    fit_encoder(trunk, [tuple(pairs[:4]), tuple(pairs[4:])], EncoderFitSettings(), 0, work)


@pytest.mark.parametrize("fitted", [fit_trunk, fit_pairs])
def test_a_checkpoint_of_it_is_continued_from(fitted, folder, tmp_path, monkeypatch):
    first, again = (load_trunk(str(folder), 16, "cpu") for _ in range(2))
    before = first.encode(TITLES)
    fitted(first, tmp_path / "fit")
    assert last_checkpoint(tmp_path / "fit")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "training_step", None)  # nothing is learnt again
        fitted(again, tmp_path / "fit")
    assert np.abs(first.encode(TITLES) - before).max() > 1e-5
    np.testing.assert_array_equal(again.encode(TITLES), first.encode(TITLES))
