"""Refitting: after fine-tuning, the trunk goes part of the way back, and the head is learnt anew on it.

A fine-tuned trunk knows the catalogue's categories and has forgotten some of what it knew of language; the backbone
it came from is the other way round. The straight line between their weights keeps most of both (Wortsman et al.,
"Robust fine-tuning of zero-shot models", CVPR 2022). The head then no longer fits; it is learnt again on the trunk as
it stands, which is quick, because the trunk is read only once (Kang et al., "Decoupling Representation and Classifier
for Long-Tailed Recognition", ICLR 2020).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from shelfwise.encoder import batches_by_length
from shelfwise_indexer.fit import Texts, padded
from shelfwise_indexer.heads import LinearHead
from shelfwise_indexer.lexical import Fitted, LexicalSettings, fit_lexical, ways_to_read
from shelfwise_indexer.loss import HierarchicalLoss
from shelfwise_indexer.margin import fit_margin
from shelfwise_indexer.memory import MemoryHead, MemorySettings, fit_mixing, remembered
from shelfwise_indexer.merging import merge_alike
from shelfwise_indexer.model import ShelfModel
from shelfwise_indexer.rounding import rounded
from shelfwise_indexer.weighing import HeldBackDecisions, centre, choose

Weights = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class RefitSettings:
    """How the head is learnt again: AdamW with a one-cycle rate on the pooled embeddings of the training texts."""

    batch_size: Annotated[int, Field(ge=1, description="Texts of one step.")] = 256
    epochs: Annotated[int, Field(ge=1, description="Times each product is drawn, on average.")] = 15
    least_steps: Annotated[int, Field(ge=1, description="However few products there are.")] = 600
    learning_rate: Annotated[float, Field(gt=0, description="At its highest.")] = 5e-3
    weight_decay: Annotated[float, Field(ge=0, description="L2, decoupled.")] = 1e-4
    balance: Annotated[
        float, Field(ge=0, le=1, description="0: every product is drawn as often; 1: every class; between: between.")
    ] = 0.5


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """A copy of a module's weights as they are now."""
    return {name: weight.detach().clone().cpu() for name, weight in module.state_dict().items()}


def move_back(trunk: nn.Module, original: Weights, share: float) -> None:
    """Put `trunk` on the line between `original` (share 0) and itself (share 1), in place."""
    tuned = {weight.data_ptr(): (name, weight) for name, weight in trunk.state_dict().items()}  # of two names once
    with torch.no_grad():
        for name, weight in tuned.values():
            if weight.is_floating_point():
                weight.lerp_(original[name].to(weight.device), 1.0 - share)


def refit_head(
    model: ShelfModel,
    loss: HierarchicalLoss,
    texts: Texts,
    settings: RefitSettings,
    memory: MemorySettings | None = None,
    seed: int = 0,
) -> None:
    """Learn the head again, from nothing, on the trunk as it is, and give it a memory; in place.

    Each product counts in each of its views, and is remembered in those that are not altered: a bare title is most like
    other bare titles.
    """
    pooled = torch.stack([_pooled(model, tokens) for tokens in texts.tokens])  # [views, n, width]
    labels = torch.from_numpy(texts.labels)
    generator = torch.Generator().manual_seed(seed)
    chances = torch.from_numpy(sampling(texts.labels, settings.balance))
    views = torch.tensor(texts.shares)
    steps = max(settings.least_steps, math.ceil(settings.epochs * len(texts) / settings.batch_size))
    head, device = model.head, next(model.head.parameters()).device
    head.output.reset_parameters()
    head.train()
    optimiser = torch.optim.AdamW(head.parameters(), weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=steps)
    for _ in range(steps):
        rows = torch.multinomial(chances, settings.batch_size, replacement=True, generator=generator)
        seen = torch.multinomial(views, settings.batch_size, replacement=True, generator=generator)
        logits = head(pooled[seen, rows].to(device), None, None)
        optimiser.zero_grad()
        found = loss(logits, labels[rows].to(device))
        if model.l1 > 0:
            found = found + model.l1 * head.output.weight.abs().sum()
        found.backward()
        optimiser.step()
        schedule.step()
    head.eval()
    if memory is not None and memory.products > 0 and isinstance(head, LinearHead):
        model.head = _memory(head, pooled[: texts.plain], texts.labels, memory, seed, loss.settings.multi_label)
        model.head.to(device).eval()


def _memory(
    head: LinearHead,
    pooled: Tensor,
    labels: npt.NDArray[np.float32],
    settings: MemorySettings,
    seed: int,
    multi_label: bool,
) -> MemoryHead:
    """A head that also remembers; `pooled` float [views, n, width], `labels` float32 [n, leaves]."""
    kept, standing = remembered(labels, settings.products, seed)
    keys = nn.functional.normalize(pooled[:, torch.from_numpy(kept)].float(), dim=-1).flatten(0, 1).numpy()
    filed = np.tile(labels[kept], (len(pooled), 1))
    left = merge_alike(keys, filed, np.tile(standing, len(pooled)), settings.keys, seed)
    return MemoryHead(head, torch.from_numpy(left.keys), left.labels, settings, left.standing, multi_label)


def weigh_on_held_back(model: ShelfModel, texts: Texts, held_back: Texts, settings: LexicalSettings, seed: int) -> None:
    """Give the model a lexical head, and let held-back products weigh what it was given; in place.

    They say how far to trust the memory, where there is one, and then which lexical head is best beside the rest and
    how much it counts, and how certain the sum may be by its margin; see `fit_mixing`, `weighing.choose` and `margin`.
    With several categories a product any of them is right. What lies above the leaves is left out, because the second
    category mostly lies elsewhere, and there is no margin: decisions are lifted to where sigmoids can be honest, see
    `weighing.centre`.
    """
    multi_label = model.loss is not None and model.loss.settings.multi_label
    vocabulary = cast(Any, model.trunk[0]).model.get_input_embeddings().num_embeddings
    device = next(model.parameters()).device
    plain = texts.tokens[: texts.plain]
    ways = ways_to_read(len(plain)) if len(held_back) else ways_to_read(len(plain))[-1:]
    levels = [] if multi_label or not len(held_back) or model.loss is None else model.loss.above
    fitted = (fit_lexical(plain, texts.labels, vocabulary, settings, seed, way, levels) for way in ways)
    heads = [head.to(device) for head in fitted if head is not None]
    model.lexical = heads[-1].own if heads else None
    if not len(held_back):
        return
    tokens, labels = held_back.tokens[0], torch.from_numpy(held_back.labels)
    if isinstance(model.head, MemoryHead):
        pooled = _pooled(model, tokens).to(device)
        fit_mixing(model.head, pooled, labels.to(device))
        with torch.no_grad():
            logits = model.head(pooled, pooled, pooled).cpu()
    else:
        logits = of_texts(model, tokens, partial(_logits, model))
    if heads:
        said = [_said(model, tokens, head) for head in heads]
        model.lexical = choose(heads, logits, said, labels, levels, multi_label)
        logits = logits + of_texts(model, tokens, model.lexical)
    if multi_label:
        if model.lexical is not None:
            centre(model.lexical, logits, labels)
        return
    model.margin = fit_margin(logits, labels)
    if model.margin is not None:
        model.margin.to(device)


def _said(model: ShelfModel, tokens: Sequence[Sequence[int]], head: Fitted) -> HeldBackDecisions:
    above = None if head.above is None else of_texts(model, tokens, head.above.decisions)
    return HeldBackDecisions(of_texts(model, tokens, head.own.decisions), above)


def learn_all(
    model: ShelfModel,
    loss: HierarchicalLoss,
    texts: Texts,
    settings: RefitSettings,
    memory: MemorySettings,
    lexical: LexicalSettings,
    seed: int,
) -> None:
    """Learn head, memory and words once more from more texts, and let each count as much as it was found to; in place.

    For the texts that set those weights: once they have, they are labelled products like any other.
    """
    if isinstance(model.head, MemoryHead):
        mixing = cast(Tensor, model.head.mixing).clone()
        model.head = model.head.linear
        refit_head(model, loss, texts, settings, memory, seed)
        cast(Tensor, model.head.mixing).copy_(mixing)
    elif isinstance(model.head, LinearHead):
        refit_head(model, loss, texts, settings, memory, seed)
    if model.lexical is not None:
        before = model.lexical
        weight, vocabulary = cast(Tensor, before.weight), cast(Tensor, before.hashes).shape[1]
        plain, levels = texts.tokens[: texts.plain], loss.above if before.of_ancestors > 0 else []
        fitted = fit_lexical(plain, texts.labels, vocabulary, lexical, seed, before.views, levels)
        if fitted is not None:
            model.lexical = fitted.to(weight.device).joined(before.of_ancestors)
            cast(Tensor, model.lexical.weight).copy_(weight)
            model.lexical.lift_by(before.lift)


def sampling(labels: npt.NDArray[np.float32], balance: float) -> npt.NDArray[np.float32]:
    """How often each product is drawn, float32 [n], relative; labels float32 [n, leaves] as shares."""
    sizes = np.maximum(labels.sum(axis=0), 1e-9)
    of_class = np.where(labels > 0, labels * sizes ** (-balance), 0.0)
    return np.asarray(of_class.sum(axis=1), dtype=np.float32)


def _logits(model: ShelfModel, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """What the head says, float [n, leaves]; the head itself in float32, as it is exported."""
    _, pooled, tokens = model.read(input_ids, attention_mask)
    with torch.autocast(input_ids.device.type, enabled=False):
        return cast(Tensor, model.head(pooled.float(), tokens.float(), attention_mask))


def _pooled(model: ShelfModel, tokens: Sequence[Sequence[int]]) -> Tensor:
    """What the head reads of each text, float32 [n, width]."""
    return of_texts(model, tokens, lambda ids, mask: model.read(ids, mask)[1])


@torch.no_grad()
def of_texts(model: ShelfModel, tokens: Sequence[Sequence[int]], look: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """What `look` gives of padded token ids and their mask, float32 [n, …], on the CPU."""
    device = next(model.parameters()).device
    pad = int(model.trunk.tokenizer.pad_token_id)
    model.eval()
    found: Tensor | None = None
    with rounded(device.type):
        for batch in batches_by_length([len(ids) for ids in tokens]):
            input_ids, attention_mask = padded([tokens[place] for place in batch], pad)
            seen = look(input_ids.to(device), attention_mask.to(device)).float().cpu()
            if found is None:
                found = torch.empty(len(tokens), seen.shape[1])
            found[torch.from_numpy(batch)] = seen
    return torch.empty(0) if found is None else found
