"""The memory: what is alike votes, and rare categories are remembered whole."""

import numpy as np
import pytest
import torch

from shelfwise_indexer.heads import LinearHead
from shelfwise_indexer.memory import MemoryHead, MemorySettings, fit_mixing, remembered

pytestmark = pytest.mark.model

KEYS = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
ONES = np.ones(3, np.float32)
LABELS = np.array([[1, 0, 0], [0, 1, 0], [0, 0.5, 0.5]], np.float32)


def flat_head(leaves=3):
    """Every leaf is as probable as the others."""
    head = LinearHead(2, leaves, 0.0).eval()
    torch.nn.init.zeros_(head.output.weight)
    torch.nn.init.zeros_(head.output.bias)
    return head


def read(head, pooled):
    return head(torch.tensor([pooled]), None, None).detach()


def test_votes_are_weighed_by_likeness_and_mixed_with_the_heads_own():
    settings = MemorySettings(share=0.4, sharpness=2.0)
    got = read(MemoryHead(flat_head(), KEYS, LABELS, settings, ONES), [5.0, 0.0]).exp()[0]
    cosines = np.array([1.0, 0.0, np.sqrt(0.5)])
    voices = np.exp(2 * cosines) / np.exp(2 * cosines).sum()
    assert got.numpy() == pytest.approx(0.6 / 3 + 0.4 * voices @ LABELS, abs=1e-6)
    assert got.sum().item() == pytest.approx(1, abs=1e-6)


def test_with_several_labels_each_gets_the_whole_vote():
    settings = MemorySettings(share=0.5, sharpness=100.0)
    got = read(MemoryHead(flat_head(), KEYS, LABELS, settings, ONES, multi_label=True), [1.0, 1.0]).sigmoid()[0]
    assert got.numpy() == pytest.approx([0.25, 0.75, 0.75], abs=1e-3)


def test_a_share_of_nothing_is_the_linear_head():
    head = LinearHead(2, 3, 0.0).eval()
    got = read(MemoryHead(head, KEYS, LABELS, MemorySettings(share=0.0), ONES), [1.0, -2.0])
    torch.testing.assert_close(got, read(head, [1.0, -2.0]).log_softmax(-1))


def test_rare_categories_are_remembered_whole_and_large_ones_shrink_alike():
    labels = np.eye(3, dtype=np.float32)[[0] * 10 + [1] * 2 + [2] * 6]
    rows, standing = remembered(labels, 10, seed=0)
    assert standing.tolist() == [2.5] * 4 + [1.0] * 2 + [1.5] * 4
    assert np.bincount(labels[rows].argmax(1)).tolist() == [4, 2, 4]
    assert list(rows) == sorted(set(rows))
    assert remembered(labels, 100, seed=0)[0].tolist() == list(range(18))


def test_what_has_no_category_is_not_remembered():
    labels = np.array([[0, 0], [0, 1]], np.float32)
    assert remembered(labels, 5, seed=0)[0].tolist() == [1]


def test_one_that_stands_for_three_has_three_voices():
    settings = MemorySettings(share=0.9, sharpness=1.0)
    keys, labels = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), np.eye(2, dtype=np.float32)
    one_of_three = MemoryHead(flat_head(2), keys, labels, settings, np.array([3.0, 1.0], np.float32))
    assert read(one_of_three, [1.0, 0.0]).exp()[0].numpy() == pytest.approx([0.05 + 0.675, 0.05 + 0.225], abs=1e-6)


def test_held_back_products_say_how_far_to_trust_the_memory():
    """The linear head knows nothing and the memory everything: nearly all votes go to the memory, sharply."""
    generator = torch.Generator().manual_seed(0)
    angles = torch.rand(200, generator=generator) * 0.5 + torch.arange(200) % 2
    held_back = torch.stack([angles.cos(), angles.sin()], dim=1)
    keys = torch.tensor([[np.cos(0.25), np.sin(0.25)], [np.cos(1.25), np.sin(1.25)]], dtype=torch.float32)
    labels = torch.eye(2)[torch.arange(200) % 2]
    head = MemoryHead(flat_head(2), keys, np.eye(2, dtype=np.float32), MemorySettings(sharpness=1.0), ONES[:2])
    fit_mixing(head, held_back, labels)
    share, sharpness, _ = head.mixing.tolist()
    assert share > 0.95
    assert sharpness > 10
    before = head.mixing.clone()
    fit_mixing(head, held_back[:50], labels[:50].flip(1))
    assert torch.equal(head.mixing, before)  # too few to say anything
