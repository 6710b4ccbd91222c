"""The margin: texts whose best category is far ahead are believed otherwise than those where it is not."""

import numpy as np
import orjson
import pytest
import torch

from shelfwise.bundle import Bundle, content_version
from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.export import export, load_checkpoint
from shelfwise_indexer.held_back_fit import cross_entropy, top_cross_entropy
from shelfwise_indexer.margin import MOST, SOFT, MarginScale, fit_margin, scaled
from shelfwise_indexer.model import ShelfModel, load_trunk
from shelfwise_indexer.packing import runtime_settings
from shelfwise_indexer.settings import TrainSettings
from tiny_backbone import write_tiny_backbone

pytestmark = pytest.mark.model


def drawn(rows, slope, seed=0):
    """Logits of four leaves, and labels drawn from what they mean when scaled by a slope."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(rows, 4, generator=generator)
    chances = scaled(logits, torch.tensor([0.2, slope])).softmax(-1)
    return logits, torch.nn.functional.one_hot(torch.multinomial(chances, 1, generator=generator)[:, 0], 4).float()


def test_a_text_is_multiplied_by_its_own_margin():
    logits = torch.tensor([[1.0, 3.0, 0.5], [2.0, 2.0, 0.0]])
    found = MarginScale(0.5, -0.2)(logits)
    for row, margin in enumerate((2.0, 0.0)):
        wanted = logits[row] * torch.exp(torch.tensor(0.5)) * (margin + SOFT) ** -0.2
        torch.testing.assert_close(found[row], wanted)


def test_at_first_nothing_changes():
    logits = torch.randn(5, 3)
    torch.testing.assert_close(MarginScale()(logits), logits)


@pytest.mark.parametrize("slope", [-0.3, 0.0, 0.2])
def test_what_the_labels_were_drawn_by_is_found(slope):
    logits, labels = drawn(20_000, slope)
    found = fit_margin(logits, labels)
    assert found.line.tolist() == pytest.approx([0.2, slope], abs=0.05)


def test_it_is_no_worse_than_one_temperature():
    logits, labels = drawn(3000, -0.4)
    slow = min(float(top_cross_entropy(logits * scale, labels)) for scale in torch.linspace(0.1, 3, 200))
    found = fit_margin(logits, labels)(logits)
    assert float(top_cross_entropy(found, labels)) < slow - 0.001
    assert float(cross_entropy(found, labels, False)) < float(cross_entropy(logits, labels, False))


def test_the_cross_entropy_of_the_best_is_that_of_its_probability():
    logits, labels = drawn(50, 0.1)
    best = logits.softmax(-1).max(-1)
    right = labels[torch.arange(50), best.indices]
    slow = -(right * best.values.log() + (1 - right) * (1 - best.values).log()).mean()
    assert float(top_cross_entropy(logits, labels)) == pytest.approx(float(slow), rel=1e-5)
    assert top_cross_entropy(1e4 * logits, labels).isfinite()


def test_the_order_within_a_text_stays():
    logits, labels = drawn(500, -0.4)
    assert torch.equal(fit_margin(logits, labels)(logits).argsort(-1), logits.argsort(-1))


def test_too_few_products_or_none_with_a_category_say_nothing():
    logits, labels = drawn(99, 0.1)
    assert fit_margin(logits, labels) is None
    assert fit_margin(torch.randn(500, 4), torch.zeros(500, 4)) is None


def test_products_that_are_all_told_apart_without_error_stay_finite():
    labels = torch.eye(4).repeat(50, 1)
    found = fit_margin(20 * labels, labels)
    assert found is None or found.line[0].abs() <= torch.tensor(MOST).log() + 1e-6


def test_it_is_in_the_exported_graph_and_in_the_checkpoint(tmp_path):
    texts = ["steel kettle", "blue mug", "dome tent"]
    trunk = load_trunk(str(write_tiny_backbone(tmp_path / "tiny", texts)), 16, device="cpu")
    taxonomy = Taxonomy.of([("Kettles",), ("Mugs",), ("Tents",)])
    torch.manual_seed(0)
    model = ShelfModel(trunk, taxonomy)
    plain = model.eval()(**_tokens(model, texts))["logits"]
    model.margin = MarginScale(0.7, -0.3)
    export(model, tmp_path / "bundle", texts)  # compares
    info = runtime_settings(trunk, TrainSettings(max_tokens=16)) | {"settings": {"head": "linear"}}
    (tmp_path / "bundle" / "taxonomy.json").write_bytes(orjson.dumps(taxonomy.to_json()))
    info["version"] = content_version(tmp_path / "bundle", info)
    (tmp_path / "bundle" / "bundle.json").write_bytes(orjson.dumps(info))
    bundle = Bundle.load(tmp_path / "bundle")
    wanted = MarginScale(0.7, -0.3)(plain).softmax(-1).detach().numpy()
    np.testing.assert_allclose(bundle.encoder.encode_documents(texts).probabilities, wanted, atol=1e-4)
    again = load_checkpoint(bundle).eval()
    torch.testing.assert_close(again(**_tokens(again, texts))["logits"], MarginScale(0.7, -0.3)(plain))


def _tokens(model, texts):
    found = model.trunk.tokenizer(texts, padding=True, return_tensors="pt")
    return {name: found[name] for name in ("input_ids", "attention_mask")}
