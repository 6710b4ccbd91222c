"""The model: one trunk reads a text once; it gives the embedding and, through a head, the logits of the leaves.

A second one may stand beside it, a separate encoder: then that gives the embedding.
"""

from itertools import dropwhile
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.util import is_sentence_transformer_model
from torch import Tensor, nn
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES

from shelfwise.errors import ShelfwiseError
from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.distillation import DistilSettings, mixed_loss
from shelfwise_indexer.grouped import Grouping
from shelfwise_indexer.heads import HEADS, Head, HeadKind
from shelfwise_indexer.lexical import LexicalHead
from shelfwise_indexer.loss import HierarchicalLoss, retention_loss
from shelfwise_indexer.margin import MarginScale
from shelfwise_indexer.memory import MemoryHead


class BackboneError(ShelfwiseError):
    """A backbone cannot be loaded or does not fit."""


class ShelfModel(nn.Module):
    """Trunk and heads. The loss is the classification's + `retention` × `retention_loss`, which keeps the embedding
    fit for search. Where a teacher says something too, the classification's is `mixed_loss`.
    """

    def __init__(
        self,
        trunk: SentenceTransformer,
        taxonomy: Taxonomy,
        loss: HierarchicalLoss | None = None,
        head: HeadKind = "linear",
        dropout: float = 0.1,
        retention: float = 1.0,
        l1: float = 0.0,
        distil: DistilSettings | None = None,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.encoder: SentenceTransformer | None = None
        self.pooling = next(module for module in trunk if isinstance(module, Pooling))
        # Of several poolings the results stand side by side.
        width = self.pooling.pooling_output_dimension if head == "linear" else self.pooling.embedding_dimension
        self.head: Head | MemoryHead = HEADS[head](width, len(taxonomy.leaves), dropout)
        self.lexical: LexicalHead | None = None
        self.margin: MarginScale | None = None
        self.grouping: Grouping | None = None
        self.loss = loss
        self.retention = retention
        self.l1 = l1
        self.distil = distil or DistilSettings()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        labels: Tensor | None = None,
        original: Tensor | None = None,
        taught: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """One pass.

        :param labels: float [n, leaves], the share of each leaf (one-hot, or split over several paths).
        :param original: float [n, dimension], the backbone's embedding before training, or a teacher's, L2-normalised.
        :param taught: float [n, leaves], a teacher's logits.
        :returns: `embedding` float [n, dimension] L2-normalised, `logits` float [n, leaves], with labels also `loss`,
            without them `pooled` float [n, width].
        """
        embedding, pooled, tokens = self.look(input_ids, attention_mask)
        logits = self.decide(pooled, tokens, input_ids, attention_mask)
        if self.grouping is not None:
            logits = self.grouping(logits)
        if labels is None or self.loss is None:
            return {"embedding": embedding, "logits": logits, "pooled": pooled}
        loss = self.loss(logits.float(), labels)
        if taught is not None:
            loss = mixed_loss(loss, logits.float(), taught, self.distil, self.multi_label)
        if original is not None and self.retention > 0:
            loss = loss + self.retention * retention_loss(embedding.float(), original)
        if self.l1 > 0:
            loss = loss + self.l1 * self.head.output.weight.abs().sum()
        return {"loss": loss, "logits": logits, "embedding": embedding}

    def decide(self, pooled: Tensor, tokens: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """What the heads make of what the trunk read (see `read`) and of the words: logits, float [n, outputs]."""
        logits: Tensor = self.head(pooled, tokens, attention_mask)
        if self.lexical is not None:
            logits = logits + self.lexical(input_ids, attention_mask)
        return logits if self.margin is None else cast(Tensor, self.margin(logits))

    def alike(self, pooled: Tensor) -> Tensor | None:
        """The embedding of what a text is most like among the remembered products, float [n, dimension], L2-normalised.

        None where nothing is remembered, or what is remembered is not of the model that gives the embedding.
        """
        if self.encoder is not None or not isinstance(self.head, MemoryHead):
            return None
        features: dict[str, Any] = {"sentence_embedding": self.head.nearest(pooled)}
        for module in [*dropwhile(lambda module: not isinstance(module, Pooling), self.trunk)][1:]:
            features = module(features)
        return nn.functional.normalize(features["sentence_embedding"], dim=-1)

    @property
    def multi_label(self) -> bool:
        """Whether it learns that a product may be in several categories."""
        return self.loss is not None and self.loss.settings.multi_label

    @property
    def output(self) -> nn.Linear:
        """The head's last layer, of one row a leaf."""
        return self.head.output if self.grouping is None else self.grouping.layer(self.head.output)

    @property
    def embedder(self) -> SentenceTransformer:
        """What gives the embedding: the separate encoder, or the trunk."""
        return self.trunk if self.encoder is None else self.encoder

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embedding float [n, dimension], L2-normalised, of `embedder`."""
        features: dict[str, Any] = self.embedder({"input_ids": input_ids, "attention_mask": attention_mask})
        return nn.functional.normalize(features["sentence_embedding"], dim=-1)

    def look(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `read`, with the embedding of `embedder`."""
        embedding, pooled, tokens = self.read(input_ids, attention_mask)
        return embedding if self.encoder is None else self.embed(input_ids, attention_mask), pooled, tokens

    def read(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the trunk makes of texts, whatever encoder stands beside it.

        Embedding float [n, dimension], L2-normalised; pooled float [n, width]; tokens float [n, length, width].
        """
        features: dict[str, Any] = self.trunk({"input_ids": input_ids, "attention_mask": attention_mask})
        tokens = features["token_embeddings"]
        # The pooling once more, before the backbone's own later layers (normalisation, projection) changed its result.
        pooled = self.pooling({"token_embeddings": tokens, "attention_mask": attention_mask})["sentence_embedding"]
        return nn.functional.normalize(features["sentence_embedding"], dim=-1), pooled, tokens


def load_trunk(backbone: str, max_tokens: int | None, device: str | None = None) -> SentenceTransformer:
    """A backbone by name or folder, cut to `max_tokens`; None: as it says itself.

    Of a bare decoder, which does not say how its tokens become one vector, the last token stands for the text: it is
    the only one that has seen all the others.

    :raises BackboneError: it is not there, the hub is not reached, or it cannot make an embedding of a text.
    """
    try:
        trunk = SentenceTransformer(backbone, device=device, trust_remote_code=False)
        bare = not is_sentence_transformer_model(backbone)
    except (OSError, ValueError, SafetensorError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        if any((parent / "bundle.json").is_file() for parent in list(Path(backbone).parents)[:2]):
            raise BackboneError(
                f"{backbone} cannot be loaded ({reason}): the bundle's checkpoint is damaged or incomplete, copy the "
                "bundle again"
            ) from error
        raise BackboneError(
            f"backbone {backbone} cannot be loaded ({reason}): give a folder that sentence-transformers can read, a "
            "model name where a hub is reached, or a built-in name: `english`, `multilingual`, `chinese`"
        ) from error
    if trunk.tokenizer is None or not getattr(trunk.tokenizer, "is_fast", False):
        raise BackboneError(f"backbone {backbone} has no fast tokenizer (tokenizer.json): choose one that has")
    if trunk.tokenizer.pad_token is None:
        if trunk.tokenizer.eos_token is None:
            raise BackboneError(f"backbone {backbone} has a tokenizer without pad_token and eos_token: give it one")
        trunk.tokenizer.pad_token = trunk.tokenizer.eos_token
    trunk.tokenizer.padding_side = "right"  # as training and the runtime pad: positions count from the first token
    if bare and _is_decoder(cast(Any, trunk[0]).model.config):
        trunk[1] = Pooling(cast(Any, trunk[1]).embedding_dimension, pooling_mode="lasttoken")
    pooling = [module for module in trunk if isinstance(module, Pooling)]
    if not pooling or not pooling[0].include_prompt:
        raise BackboneError(f"backbone {backbone} pools in a way that the runtime cannot follow: choose another")
    if max_tokens is None:
        return trunk
    limit = _positions(trunk) or int(trunk.max_seq_length or max_tokens)
    if max_tokens > limit:
        raise BackboneError(
            f"backbone {backbone} reads at most {limit} tokens, asked for {max_tokens}: lower --max-tokens"
        )
    trunk.max_seq_length = max_tokens
    return trunk


def _is_decoder(config: Any) -> bool:
    """Whether each token of such a model sees only those before it."""
    kind = config.model_type
    causal = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return causal and bool(getattr(config, "is_causal", True))


def _positions(trunk: SentenceTransformer) -> int:
    """How many tokens the model itself can read, whatever an earlier training cut texts to; 0: it does not say."""
    model = cast(Any, trunk[0]).model
    positions = int(getattr(model.config, "max_position_embeddings", None) or 0)
    for name, table in model.named_modules():
        if name.endswith("position_embeddings") and getattr(table, "padding_idx", None) is not None:
            positions -= table.padding_idx + 1  # RoBERTa's kind count from behind the padding's
    return max(positions, 0)
