"""Heads: a text's logits are its own, whatever it is padded with, and the exported ones equal the trained ones."""

import pytest
import torch

from shelfwise_indexer.heads import HEADS

pytestmark = pytest.mark.model


@pytest.mark.parametrize("kind", HEADS)
def test_padding_changes_nothing(kind):
    torch.manual_seed(3)
    head = HEADS[kind](8, 5, 0.1).eval()
    tokens, pooled = torch.randn(1, 6, 8), torch.randn(1, 8)
    short = head(pooled, tokens[:, :4], torch.ones(1, 4, dtype=torch.long))
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]])
    torch.testing.assert_close(head(pooled, tokens, mask), short)


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_gives_a_logit_for_each_leaf_and_can_be_trained(kind):
    head = HEADS[kind](8, 5, 0.0)
    logits = head(torch.randn(3, 8), torch.randn(3, 4, 8), torch.ones(3, 4, dtype=torch.long))
    assert logits.shape == (3, 5)
    logits.sum().backward()
    assert all(weight.grad is not None for weight in head.parameters())
