"""What a trunk was trained on: a training that goes on from it must not be measured on those products."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from shelfwise.bundle import Bundle
from shelfwise.messages import tell
from shelfwise.product import Product
from shelfwise_indexer.id_hashes import Hashes, hashes_of

FILE = Path("checkpoint", "trained_on.safetensors")
NOTHING: Hashes = np.empty(0, dtype=np.uint64)


def trained_on(bundle: Bundle | None, validation: bool = True) -> Hashes:
    """What a bundle's trunk was trained on, as `write_trained_on` wrote it; nothing where it does not say so.

    :param validation: whether what it was trained on cannot be held back anyway; else a bundle that is silent is named.
    """
    if bundle is None:
        return NOTHING
    try:
        return np.asarray(load_file(bundle.path / FILE)["ids"], dtype=np.uint64)
    except (OSError, SafetensorError, KeyError):
        if not validation:
            tell(
                f"bundle {bundle.version} does not say what it was trained on, and some of that may be held back now: "
                "scores too good, too little in review; give a --validation catalogue that it has not seen"
            )
        return NOTHING


def write_trained_on(folder: Path, products: Sequence[Product], before: Hashes) -> None:
    """Keep in a bundle's folder what its trunk has learnt from.

    :param before: what the trunk had learnt from when it began.
    """
    ids = np.union1d(before, hashes_of(product.id for product in products))
    save_file({"ids": ids}, folder / FILE)
