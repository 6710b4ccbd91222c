"""The memory: what is alike votes, and rare categories are remembered whole."""

import numpy as np
import pytest
import torch

from shelfwise_indexer.heads import LinearHead
from shelfwise_indexer.memory import BLOCK, LEAST, NEAREST, SILENT, MemoryHead, MemorySettings, fit_mixing, remembered

pytestmark = pytest.mark.model

KEYS = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
ONES = np.ones(3, np.float32)
LABELS = np.array([[1, 0, 0], [0, 1, 0], [0, 0.5, 0.5]], np.float32)


def flat_head(leaves=3, width=2):
    """Every leaf is as probable as the others."""
    head = LinearHead(width, leaves, 0.0).eval()
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


def vote_by_vote(pooled, keys, labels, settings, standing, multi_label):
    """What a memory says of one text, every vote for itself; the linear head says the same of every leaf."""
    pooled = pooled / np.linalg.norm(pooled)
    keys = keys / np.linalg.norm(keys, axis=1, keepdims=True)
    scale = np.abs(keys).max(axis=1, keepdims=True) / 127
    keys = np.round(keys / scale) * scale  # in eight bits
    voices = standing * np.exp(settings.sharpness * keys @ pooled)
    voices /= voices.sum()
    votes = labels > 0 if multi_label else labels
    own = 0.5 if multi_label else 1 / labels.shape[1]
    return (1 - settings.share) * own + settings.share * voices @ votes


def many(leaves=7, products=60):
    """Leaves of 0, 1, a block, a block and one, and many products, some products in two."""
    drawn = np.random.default_rng(0)
    leaf = np.concatenate([[1], [2] * BLOCK, [3] * (BLOCK + 1), drawn.integers(4, leaves, products)])
    labels = np.eye(leaves, dtype=np.float32)[drawn.permutation(leaf)]
    labels[::9, 5] = labels[::9].max(axis=1)
    labels /= labels.sum(axis=1, keepdims=True)
    keys = drawn.normal(size=(len(labels), 3)).astype(np.float32)
    return keys, labels, drawn.integers(1, 5, len(labels)).astype(np.float32)


@pytest.mark.parametrize("multi_label", [False, True])
def test_votes_in_blocks_are_the_votes_one_by_one(multi_label):
    keys, labels, standing = many()
    settings = MemorySettings(share=0.7, sharpness=3.0)
    head = MemoryHead(flat_head(7, 3), torch.from_numpy(keys), labels, settings, standing, multi_label)
    for text in np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32):
        got = read(head, text.tolist())[0]
        got = got.sigmoid() if multi_label else got.exp()
        expected = vote_by_vote(text, keys, labels, settings, standing, multi_label)
        assert got.numpy() == pytest.approx(np.minimum(expected, 1 - LEAST), abs=1e-5)


def test_the_nearest_are_those_of_all_one_by_one():
    keys, labels, standing = many()
    head = MemoryHead(flat_head(7, 3), torch.from_numpy(keys), labels, MemorySettings(), standing)
    kept = np.repeat(keys, (labels > 0).sum(axis=1), axis=0)  # one of several leaves lies there once for each
    kept /= np.linalg.norm(kept, axis=1, keepdims=True)
    for text in np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32):
        first = sorted(range(len(kept)), key=lambda place, text=text: -kept[place] @ text)[:NEAREST]
        got = head.nearest(torch.from_numpy(text[None]))[0]
        assert got.numpy() == pytest.approx(kept[first].mean(axis=0), abs=0.01)


def test_of_a_small_memory_all_are_the_nearest():
    head = MemoryHead(flat_head(), KEYS[:1], LABELS[:1], MemorySettings(), ONES[:1])
    nearest = torch.nn.functional.normalize(head.nearest(torch.tensor([[1.0, 0.2]])), dim=-1)[0]
    assert nearest.tolist() == pytest.approx([1, 0], abs=1e-6)


def test_eight_bits_change_a_cosine_by_thousandths():
    drawn = torch.Generator().manual_seed(0)
    keys, texts = (torch.nn.functional.normalize(torch.randn(500, 384, generator=drawn), dim=-1) for _ in range(2))
    labels, settings = np.eye(500, dtype=np.float32), MemorySettings()
    head = MemoryHead(flat_head(500, 384), keys, labels, settings, np.ones(500, np.float32))
    kept = (head.keys * head.scale)[head.standing > SILENT]
    torch.testing.assert_close(texts @ kept.T, texts @ keys.T, atol=3e-3, rtol=0)


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_memory_is_read_back_also_from_before_there_were_blocks(multi_label):
    keys, labels, standing = many()
    head = MemoryHead(flat_head(7, 3), torch.from_numpy(keys), labels, MemorySettings(share=0.3), standing, multi_label)
    product, leaf = map(torch.from_numpy, np.nonzero(labels))
    old = {name: value for name, value in head.state_dict().items() if name.startswith(("linear", "mixing"))} | {
        "keys": torch.nn.functional.normalize(torch.from_numpy(keys), dim=-1),
        "product": product,
        "leaf": leaf,
        "votes": torch.ones(len(leaf)) if multi_label else torch.from_numpy(labels)[product, leaf],
        "standing": torch.from_numpy(standing).log(),
    }
    text = [0.5, -1.0, 2.0]
    for state in (head.state_dict(), old):
        again = MemoryHead.of_state(state, multi_label).eval()
        torch.testing.assert_close(read(again, text), read(head, text))


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
