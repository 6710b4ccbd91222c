"""The loss, by numbers small enough to check by hand."""

import numpy as np
import pytest
import torch

from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.loss import HierarchicalLoss, LossSettings

pytestmark = pytest.mark.model

TAXONOMY = Taxonomy.of([("Kitchen", "Kettles"), ("Kitchen", "Mugs"), ("Sports", "Tents")])
EVEN = np.ones(3, np.float32)


def loss(settings, counts=EVEN):
    return HierarchicalLoss(TAXONOMY, settings, counts)


def test_a_focal_loss_counts_what_is_right_already_less():
    logits, labels = torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    p = logits.softmax(-1)[0, 0]
    focal = loss(LossSettings(kind="focal", focal_gamma=2.0, level_weight=0))(logits, labels)
    assert focal.item() == pytest.approx(float(-((1 - p) ** 2) * p.log()), abs=1e-6)


def test_class_balance_weighs_a_rare_class_more_and_the_mean_product_as_before():
    settings = LossSettings(kind="class-balanced", level_weight=0)
    balanced = loss(settings, np.array([900.0, 90.0, 10.0], np.float32))
    weight = balanced.weight
    assert weight[0] < weight[1] < weight[2]
    assert float((weight * torch.tensor([900.0, 90.0, 10.0])).sum() / 1000) == pytest.approx(1.0, abs=1e-5)


def test_several_labels_at_once_cost_what_their_own_sigmoids_cost():
    logits, labels = torch.tensor([[1.0, -1.0, 0.0]]), torch.tensor([[0.5, 0.5, 0.0]])
    p = logits.sigmoid()[0]
    leaves = -(p[0].log() + p[1].log() + (1 - p[2]).log())
    kitchen, sports = 1 - (1 - p[0]) * (1 - p[1]), p[2]
    above = -(kitchen.log() + (1 - sports).log())
    got = loss(LossSettings(multi_label=True, level_weight=0.3))(logits, labels)
    assert got.item() == pytest.approx(float(leaves + 0.3 * above), abs=1e-5)


def test_smoothing_spreads_a_share_of_the_label():
    logits, labels = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    got = loss(LossSettings(label_smoothing=0.3, level_weight=0))(logits, labels)
    wanted = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.3)
    assert got.item() == pytest.approx(wanted.item(), abs=1e-6)


def test_smoothing_spreads_a_share_of_several_labels_too():
    logits, labels = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[0.5, 0.5, 0.0]])
    got = loss(LossSettings(label_smoothing=0.3, level_weight=0, multi_label=True))(logits, labels)
    shares = torch.tensor([[0.9, 0.9, 0.2]])  # .7 of its own, and .3 of both labels in three parts
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(logits, shares, reduction="sum")
    assert got.item() == pytest.approx(wanted.item(), abs=1e-6)


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_focal_loss_of_any_power_has_a_gradient_where_a_product_is_right_for_sure(multi_label):
    logits = torch.tensor([[200.0, -200.0, -200.0]], requires_grad=True)
    settings = LossSettings(kind="focal", focal_gamma=0.5, multi_label=multi_label)
    loss(settings)(logits, torch.tensor([[1.0, 0.0, 0.0]])).backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("kind", ["cross-entropy", "focal", "class-balanced"])
@pytest.mark.parametrize("multi_label", [False, True])
def test_sure_and_wrong_is_finite(kind, multi_label):
    logits = torch.tensor([[200.0, -200.0, -200.0]], requires_grad=True)
    got = loss(LossSettings(kind=kind, multi_label=multi_label))(logits, torch.tensor([[0.0, 0.0, 1.0]]))
    got.backward()
    assert torch.isfinite(got)
    assert torch.isfinite(logits.grad).all()
