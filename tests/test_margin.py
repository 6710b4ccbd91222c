"""The margin: texts whose best category is far ahead are believed otherwise than those where it is not."""

import pytest
import torch

from shelfwise_indexer.least import cross_entropy
from shelfwise_indexer.margin import SOFT, MarginScale, fit_margin, scaled

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
    slow = min(float(cross_entropy(logits * scale, labels, False)) for scale in torch.linspace(0.1, 3, 200))
    assert float(cross_entropy(fit_margin(logits, labels)(logits), labels, False)) < slow - 0.001


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
    assert found is None or torch.isfinite(found(20 * labels)).all()
