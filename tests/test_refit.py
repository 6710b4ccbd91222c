"""Moving a trunk back and learning the head again."""

import numpy as np
import pytest
import torch

from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.fit import Texts
from shelfwise_indexer.loss import HierarchicalLoss, LossSettings
from shelfwise_indexer.memory import SILENT, MemorySettings
from shelfwise_indexer.model import ShelfModel, load_trunk
from shelfwise_indexer.refit import RefitSettings, move_back, refit_head, sampling, weights_of
from tiny_backbone import write_tiny_backbone

pytestmark = pytest.mark.model


def test_a_trunk_moves_back_along_the_line():
    layer = torch.nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(4.0)
    original = weights_of(layer)
    layer.weight.data.fill_(8.0)
    move_back(layer, original, 0.75)
    assert layer.weight.item() == pytest.approx(7.0)
    assert original["weight"].item() == 4.0


def test_a_weight_of_two_names_moves_back_once():
    layer = torch.nn.Linear(1, 1, bias=False)
    trunk = torch.nn.ModuleList([layer, layer])
    layer.weight.data.fill_(4.0)
    original = weights_of(trunk)
    layer.weight.data.fill_(8.0)
    move_back(trunk, original, 0.75)
    assert layer.weight.item() == pytest.approx(7.0)


def test_a_head_is_learnt_again_in_every_view(tmp_path):
    torch.manual_seed(0)
    words = ["steel kettle", "blue mug", "dome tent"]
    trunk = load_trunk(str(write_tiny_backbone(tmp_path / "tiny", words)), 16, device="cpu")
    taxonomy = Taxonomy.of([("Kettles",), ("Mugs",), ("Tents",)])
    loss = HierarchicalLoss(taxonomy, LossSettings(), np.ones(3, np.float32))
    model = ShelfModel(trunk, taxonomy, loss)
    views = [trunk.tokenizer(texts)["input_ids"] for texts in (words, ["kettle", "mug", "tent"])]
    texts = Texts(views, np.eye(3, dtype=np.float32), [(leaf,) for leaf in taxonomy.leaves], [0.5, 0.5])
    trunk_before = weights_of(trunk)
    refit_head(model, loss, texts, RefitSettings(batch_size=8, least_steps=200), seed=1)
    for tokens in views:
        for row, ids in enumerate(tokens):
            logits = model(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.long))["logits"]
            assert int(logits.argmax()) == row
    assert all(torch.equal(weight, trunk_before[name]) for name, weight in trunk.state_dict().items())


def test_a_penalty_on_the_heads_weights_holds_for_the_head_that_is_learnt_again(tmp_path):
    torch.manual_seed(0)
    words = ["steel kettle", "blue mug"]
    trunk = load_trunk(str(write_tiny_backbone(tmp_path / "tiny", words)), 16, device="cpu")
    taxonomy = Taxonomy.of([("Kettles",), ("Mugs",)])
    loss = HierarchicalLoss(taxonomy, LossSettings(), np.ones(2, np.float32))
    texts = Texts(
        [trunk.tokenizer(words)["input_ids"]], np.eye(2, dtype=np.float32), [(leaf,) for leaf in taxonomy.leaves]
    )

    def weight(l1):
        model = ShelfModel(trunk, taxonomy, loss, l1=l1)
        refit_head(model, loss, texts, RefitSettings(batch_size=8, least_steps=200), seed=1)
        return model.head.output.weight.abs().mean().item()

    assert weight(1.0) < weight(0.0) / 10


def test_a_memory_keeps_no_more_than_it_may_and_says_almost_the_same(tmp_path):
    torch.manual_seed(0)
    titles = [f"steel kettle {size}" for size in "abcdef"] + [f"blue mug {size}" for size in "abcdef"]
    trunk = load_trunk(str(write_tiny_backbone(tmp_path / "tiny", titles)), 16, device="cpu")
    taxonomy = Taxonomy.of([("Kettles",), ("Mugs",)])
    loss = HierarchicalLoss(taxonomy, LossSettings(), np.ones(2, np.float32))
    labels = np.repeat(np.eye(2, dtype=np.float32), 6, axis=0)
    texts = Texts([trunk.tokenizer(titles)["input_ids"]], labels, [(leaf,) for leaf in taxonomy.leaves])

    def learnt(keys):
        model = ShelfModel(trunk, taxonomy, loss)
        refit_head(model, loss, texts, RefitSettings(batch_size=8, least_steps=50), MemorySettings(keys=keys), seed=1)
        return model.head

    ids = torch.tensor(trunk.tokenizer(titles)["input_ids"])
    whole, merged = learnt(100), learnt(4)
    with torch.no_grad():
        _, pooled, _ = ShelfModel(trunk, taxonomy, loss).eval().read(ids, torch.ones_like(ids))
        difference = (whole(pooled, pooled, pooled).exp() - merged(pooled, pooled, pooled).exp()).abs().max()
    assert (whole.standing > SILENT).sum() == 12
    assert (merged.standing > SILENT).sum() == 4
    assert merged.standing.exp().sum().item() == pytest.approx(12)
    assert difference < 0.1


def test_balance_draws_every_class_as_often():
    labels = np.array([[1, 0]] * 8 + [[0, 1]] * 2, dtype=np.float32)
    assert sampling(labels, 0.0) == pytest.approx(1.0)
    even = sampling(labels, 1.0)
    assert even[:8].sum() == pytest.approx(even[8:].sum())
