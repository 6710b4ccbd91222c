"""Continuation: what a training must keep of the bundle that it goes on from, or distils, and what it leaves behind."""

import os
from collections.abc import Sequence

from shelfwise.bundle import Bundle
from shelfwise.errors import UsageError
from shelfwise.messages import tell
from shelfwise.product import Product
from shelfwise.taxonomy import Taxonomy, some_paths
from shelfwise_indexer.settings import TrainSettings


def check_continuation(before: Bundle, settings: TrainSettings, what: str) -> None:
    """See that the settings ask for what can come of the bundle.

    :param what: the bundle is to the training, for messages.
    :raises UsageError: they ask for more or fewer categories a product, or for another backbone.
    """
    _check_labels(before, settings.loss.multi_label, what)
    _check_backbone(before, settings.backbone, what)


def _check_labels(before: Bundle, multi_label: bool, what: str) -> None:
    """Softmax's logits are no sigmoids'."""
    if multi_label != before.multi_label:
        todo, wanted = ("give", "true") if before.multi_label else ("leave out", "false")
        raise UsageError(
            f"{what} {before.path} was trained with multi_label = {wanted}, and what it learnt means nothing "
            f"otherwise: {todo} --multi-label, or set multi_label = {wanted} in [loss]"
        )


def _check_backbone(before: Bundle, backbone: str, what: str) -> None:
    """The bundle's own trunk is what is trained, whatever the settings name."""
    own = before.info.get("settings", {}).get("backbone", "auto")
    if backbone not in ("auto", own):
        raise UsageError(
            f"backbone = {backbone!r} cannot be taken: {what} {before.path} is the backbone itself: leave backbone "
            f"out of the settings, or set {own!r}, as the bundle has it"
        )


def warn_dropped(
    start: Bundle, products: Sequence[Product], taxonomy: Taxonomy, catalogue: str | os.PathLike[str]
) -> None:
    """Say which categories of a bundle are forgotten because the catalogue has no product of them.

    :param products: the catalogue's, as they were read: what the preparation merges it says itself.
    :param taxonomy: what is learnt.
    """
    kept = {path for product in products for path in product.categories} | set(taxonomy.leaves)
    if dropped := [leaf for leaf in start.taxonomy.leaves if leaf not in kept]:
        tell(
            f"{len(dropped)} categories of bundle {start.version} have no product in {os.fspath(catalogue)} and will "
            f"not be predicted any more, the first: {some_paths(dropped)}: give the whole catalogue, not only what is "
            "new"
        )
