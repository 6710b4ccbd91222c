"""Moving a trunk back and learning the head again."""

import numpy as np
import pytest
import torch

from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.fit import Texts
from shelfwise_indexer.loss import HierarchicalLoss, LossSettings
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


def test_balance_draws_every_class_as_often():
    labels = np.array([[1, 0]] * 8 + [[0, 1]] * 2, dtype=np.float32)
    assert sampling(labels, 0.0) == pytest.approx(1.0)
    even = sampling(labels, 1.0)
    assert even[:8].sum() == pytest.approx(even[8:].sum())
