"""The interaction head: what the tokens of a query find among those of a product, both read together.

A backbone that was made for embeddings knows which words mean the same, but its first token says nothing about a pair.
A classifier on that token has to learn it from the judgements; here the similarity of the tokens is the start, and
training has to learn only what it lacks.
"""

from typing import Any

import torch
from torch import Tensor, nn

# Logits of a start that is neither sure nor blind: 10 x closest tokens + 5 x cosine - 7.
_CLOSEST, _COSINE, _BIAS = 10.0, 5.0, -7.0


class Interaction(nn.Module):
    """Scores a pair by three things, each from the trunk's tokens after both texts were read together.

    * the mean over the query's tokens of the cosine to the closest token of the product (ColBERT's late interaction:
      Khattab, Zaharia, SIGIR 2020; here the tokens have seen one another before);
    * the cosine of the two texts' mean tokens;
    * a linear layer on the mean token of the pair, which starts at zero.

    :param first: id of the token that begins a pair; `separator` stands between the texts and at the end.
    """

    def __init__(self, width: int, first: int, separator: int) -> None:
        super().__init__()
        self.first = first
        self.separator = separator
        self.similarity = nn.Linear(2, 1)
        self.whole = nn.Linear(width, 1, bias=False)
        with torch.no_grad():
            self.similarity.weight.copy_(torch.tensor([[_CLOSEST, _COSINE]]))
            self.similarity.bias.fill_(_BIAS)
            self.whole.weight.zero_()

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        """Add `scores`, float [n, 1], to `input_ids`, `attention_mask` and `token_embeddings` [n, length, width]."""
        tokens: Tensor = features["token_embeddings"].float()
        ids: Tensor = features["input_ids"]
        read: Tensor = features["attention_mask"].float()
        ends = (ids == self.separator).long()
        words = read * (1.0 - ends) * (ids != self.first)
        behind = ends.cumsum(dim=1) > 0
        query, product = words * ~behind, words * behind
        directions = nn.functional.normalize(tokens, dim=-1)
        similar = directions @ directions.transpose(1, 2)
        closest = similar.masked_fill(product.unsqueeze(1) == 0, -1.0).max(dim=-1).values
        closest = (closest * query).sum(dim=1) / query.sum(dim=1).clamp(min=1.0)
        cosine = nn.functional.cosine_similarity(_mean(tokens, query), _mean(tokens, product), dim=-1)
        parts = self.similarity(torch.stack([closest, cosine], dim=-1))
        return {**features, "scores": parts + self.whole(_mean(tokens, read))}


def _mean(tokens: Tensor, mask: Tensor) -> Tensor:
    return (tokens * mask.unsqueeze(-1)).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1.0)
