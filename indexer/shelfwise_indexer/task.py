"""The task of a training: what is to be learnt and by which models; and the stages in which they learn it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from shelfwise.bundle import Bundle
from shelfwise.messages import tell
from shelfwise.product import Product
from shelfwise.taxonomy import Taxonomy
from shelfwise.text import field_names
from shelfwise_indexer.augment import View, views
from shelfwise_indexer.cut import cut_model
from shelfwise_indexer.evaluate import Epoch
from shelfwise_indexer.export import load_checkpoint
from shelfwise_indexer.fit import Texts, fit
from shelfwise_indexer.loss import HierarchicalLoss
from shelfwise_indexer.memory import MemoryHead
from shelfwise_indexer.model import ShelfModel
from shelfwise_indexer.names import named_products
from shelfwise_indexer.packing import runtime_settings
from shelfwise_indexer.preparation import Prepared
from shelfwise_indexer.readings import read_texts, tell_cut
from shelfwise_indexer.refit import Weights, learn_all, move_back, refit_head, weigh_on_held_back, weights_of
from shelfwise_indexer.settings import TrainSettings
from shelfwise_indexer.starting_point import StartingPoint
from shelfwise_indexer.student import taught
from shelfwise_indexer.trained_on import has_learnt


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be learnt, by which models."""

    settings: TrainSettings
    prepared: Prepared
    taxonomy: Taxonomy
    models: StartingPoint
    start: Bundle | None
    teacher: Bundle | None
    device: str

    @property
    def readings(self) -> list[View]:
        """The ways in which a text is read; the first is as products have it."""
        return views(self.settings.text_fields, self.settings.field_dropout, self.settings.augment)

    def texts(self, products: Sequence[Product], readings: Sequence[View], with_original: bool = False) -> Texts:
        """What the trunk reads of products, by their leaves."""
        return read_texts(self.models.trunk, self.taxonomy, products, self.settings, readings, with_original)


@dataclass(frozen=True, slots=True)
class Learnt:
    """A fitted model, and what it was fitted to."""

    model: ShelfModel
    loss: HierarchicalLoss
    backbone: Weights
    """The trunk's, before."""
    learned: Texts
    """Of the training part, each category's name among them."""
    unseen: Texts
    """Of the held-back part, as products have them."""
    epochs: Sequence[Epoch]


def learn(task: Task, folder: Path, on_epoch: Callable[[int, float], object] | None) -> Learnt:
    """Fit trunk and head together; checkpoints are kept in the folder."""
    settings, taxonomy, trunk = task.settings, task.taxonomy, task.models.trunk
    backbone = weights_of(trunk)
    named = named_products(taxonomy, field_names(settings.text_fields)[0]) if settings.category_names else []
    held = settings.effective_retention > 0 and not task.teacher
    learned = task.texts([*task.prepared.train, *named], task.readings, with_original=held)
    tell_cut(learned.tokens[0][: len(task.prepared.train)], settings.max_tokens)
    if task.teacher:
        learned = taught(task.teacher, learned, task.device)
    loss = HierarchicalLoss(taxonomy, settings.loss, learned.labels.sum(axis=0))
    model = ShelfModel(
        trunk,
        taxonomy,
        loss,
        settings.head,
        settings.dropout,
        settings.effective_retention,
        settings.l1,
        settings.distil,
    )
    if before := task.start or task.teacher:
        carry_over(load_checkpoint(before), before.taxonomy, model, taxonomy)
        if settings.head == "linear" and _has_learnt_some(before, task.prepared.held_back):
            tell(f"the head of bundle {before.version} has learnt what is held back: learning it again from the rest")
            refit_head(model, loss, learned, settings.refit, seed=settings.fit.seed)
    unseen = task.texts(task.prepared.held_back, task.readings[:1])
    epochs = fit(model, taxonomy, learned, unseen, settings.fit, folder, on_epoch)
    return Learnt(model, loss, backbone, learned, unseen, epochs)


def finish(task: Task, learnt: Learnt, digest: str) -> dict[str, Any]:
    """Learn the head again, weigh what decides beside it, cut the embedding; in place.

    :param digest: of the catalogue.
    :returns: what `bundle.json` says of the models.
    """
    settings, model = task.settings, learnt.model
    if settings.head == "linear":
        tell("learning the head again on the finished trunk")
        if not task.teacher:  # a trunk with layers left out is nothing to go back to
            move_back(model.trunk, learnt.backbone, settings.effective_tuned_share)
        refit_head(model, learnt.loss, learnt.learned, settings.refit, settings.memory, settings.fit.seed)
    weigh_on_held_back(model, learnt.learned, learnt.unseen, settings.lexical, settings.fit.seed)
    model.encoder = task.models.encoder
    about = task.models.to_json(task.teacher, digest)
    if settings.dimension not in (None, task.models.dimension):
        about["embedding"] = cut_model(model, learnt.learned, learnt.unseen, settings.dimension).to_json()
    return runtime_settings(model.embedder, settings) | about


def learn_held_back(task: Task, learnt: Learnt) -> None:
    """Learn head, memory and words once more, from the held-back part too; in place."""
    tell("learning head, memory and words from the held-back part too")
    learnt.model.to(task.device)  # the export left it on the processor
    settings = task.settings
    everything = learnt.learned.and_also(task.texts(task.prepared.held_back, task.readings))
    parts = settings.refit, settings.memory, settings.lexical, settings.fit.seed
    learn_all(learnt.model, learnt.loss, everything, *parts)


def _has_learnt_some(bundle: Bundle, products: Sequence[Product]) -> bool:
    """Whether a bundle's head may know them: it does, or does not say what it has learnt."""
    learnt = has_learnt(bundle, [product.id for product in products])
    return bool(products) and (learnt is None or bool(learnt.any()))


def carry_over(old: ShelfModel, old_taxonomy: Taxonomy, model: ShelfModel, taxonomy: Taxonomy) -> None:
    """Start a head, and in its last layer the rows of the leaves that both taxonomies have, from what they were.

    Of heads of one kind only: what one has learnt says nothing to another.
    """
    head = old.head.linear if isinstance(old.head, MemoryHead) else old.head
    if type(head) is not type(model.head):
        return
    below_output = {name: weight for name, weight in head.state_dict().items() if not name.startswith("output.")}
    model.head.load_state_dict(below_output, strict=False)
    one, other = old.output, model.output
    shared = [leaf for leaf in taxonomy.leaves if leaf in old_taxonomy.leaf_number]
    before = [old_taxonomy.leaf_number[leaf] for leaf in shared]
    now = [taxonomy.leaf_number[leaf] for leaf in shared]
    with torch.no_grad():
        other.weight[now] = one.weight[before].to(other.weight.device)
        other.bias[now] = one.bias[before].to(other.bias.device)
