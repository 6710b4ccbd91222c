"""The model: one trunk reads a text once; it gives the embedding and, through a head, the logits of the leaves."""

from typing import Any, cast

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import Tensor, nn

from shelfwise.errors import ShelfwiseError
from shelfwise.taxonomy import Taxonomy


class BackboneError(ShelfwiseError):
    """A backbone cannot be loaded or does not fit."""


class CategoryHead(nn.Module):
    """Mean and maximum over the last layer's tokens, dropout, one linear layer to the leaves.

    The maximum lets the head read single telling words ("refill", "case") that the mean, which is kept close to the
    backbone's own embedding for search, must not be bent towards.
    """

    def __init__(self, width: int, leaves: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(2 * width, leaves)

    def forward(self, token_embeddings: Tensor, attention_mask: Tensor) -> Tensor:
        """float [n, length, width] and int [n, length] to float [n, leaves]."""
        mask = attention_mask.unsqueeze(-1)
        mean = (token_embeddings * mask).sum(1) / mask.sum(1).clamp(min=1)
        maximum = token_embeddings.masked_fill(mask == 0, torch.finfo(token_embeddings.dtype).min).amax(1)
        return cast(Tensor, self.linear(self.dropout(torch.cat([mean, maximum], dim=-1))))


class ShelfModel(nn.Module):
    """Trunk and head, with the training loss.

    The loss is leaf cross-entropy + `level_weight` × the cross-entropies of the levels above (their probabilities are
    sums over leaves) + `retention` × (1 − cosine to the backbone's original embedding + mean squared difference of
    the batch's similarity matrices), which keeps the embedding fit for search.
    """

    def __init__(
        self,
        trunk: SentenceTransformer,
        taxonomy: Taxonomy,
        dropout: float = 0.1,
        level_weight: float = 0.3,
        retention: float = 4.0,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = CategoryHead(_width(trunk), len(taxonomy.leaves), dropout)
        self.level_weight = level_weight
        self.retention = retention
        self.levels = taxonomy.depth
        for level in range(1, taxonomy.depth):
            names, above = taxonomy.at_depth(level)
            below = torch.zeros(len(taxonomy.leaves), len(names))
            below[torch.arange(len(taxonomy.leaves)), torch.from_numpy(above)] = 1.0
            self.register_buffer(f"level_{level}", below, persistent=False)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        labels: Tensor | None = None,
        original: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """One pass.

        :param labels: float [n, leaves], the share of each leaf (one-hot, or split over several paths).
        :param original: float [n, dimension], the backbone's embedding before training, L2-normalised.
        :returns: `embedding` float [n, dimension] L2-normalised, `logits` float [n, leaves], with labels also `loss`.
        """
        features: dict[str, Any] = self.trunk({"input_ids": input_ids, "attention_mask": attention_mask})
        embedding = nn.functional.normalize(features["sentence_embedding"], dim=-1)
        logits = self.head(features["token_embeddings"], attention_mask)
        if labels is None:
            return {"embedding": embedding, "logits": logits}
        loss = self._classification_loss(logits.float(), labels)
        if original is not None and self.retention > 0:
            loss = loss + self.retention * retention_loss(embedding.float(), original)
        return {"loss": loss, "logits": logits, "embedding": embedding}

    def _classification_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(logits, labels)
        probabilities = logits.softmax(-1)
        for level in range(1, self.levels):
            below = cast(Tensor, getattr(self, f"level_{level}"))
            above = (probabilities @ below).clamp_min(1e-7).log()
            loss = loss - self.level_weight * ((labels @ below) * above).sum(-1).mean()
        return loss


def retention_loss(embedding: Tensor, original: Tensor) -> Tensor:
    """1 − mean cosine to the original + mean squared difference of the similarity matrices; a scalar."""
    cosine = (embedding * original).sum(-1).mean()
    return 1 - cosine + (embedding @ embedding.T - original @ original.T).square().mean()


def load_trunk(backbone: str, max_tokens: int, device: str | None = None) -> SentenceTransformer:
    """A backbone by name or folder, cut to `max_tokens`.

    :raises BackboneError: it is not there, the hub is not reached, or it cannot make an embedding of a text.
    """
    try:
        trunk = SentenceTransformer(backbone, device=device, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise BackboneError(
            f"backbone {backbone} cannot be loaded ({reason}): give a folder that sentence-transformers can read, a "
            "model name where a hub is reached, or one of the built-in names `english` and `multilingual`"
        ) from error
    if trunk.tokenizer is None or not getattr(trunk.tokenizer, "is_fast", False):
        raise BackboneError(f"backbone {backbone} has no fast tokenizer (tokenizer.json): choose one that has")
    pooling = [module for module in trunk if isinstance(module, Pooling)]
    if not pooling or not pooling[0].include_prompt:
        raise BackboneError(f"backbone {backbone} pools in a way that the runtime cannot follow: choose another")
    limit = int(trunk.max_seq_length or max_tokens)
    if max_tokens > limit:
        raise BackboneError(
            f"backbone {backbone} reads at most {limit} tokens, asked for {max_tokens}: lower --max-tokens"
        )
    trunk.max_seq_length = max_tokens
    return trunk


def _width(trunk: SentenceTransformer) -> int:
    config = cast(Any, trunk[0]).model.config
    return int(getattr(config, "hidden_size", None) or config.n_embd)
