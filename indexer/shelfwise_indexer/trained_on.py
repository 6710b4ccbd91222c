"""What a trunk was trained on: a training that goes on from it must not be measured on those products."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from shelfwise.bundle import Bundle
from shelfwise.messages import tell
from shelfwise.product import Product
from shelfwise_indexer.id_hashes import Hashes, hashes_of

FILE = Path("checkpoint", "trained_on.safetensors")
TRUNK, HEAD = "ids", "in_the_end"
NOTHING: Hashes = np.empty(0, dtype=np.uint64)


def trained_on(bundle: Bundle | None, validation: bool = True) -> Hashes:
    """What a bundle's trunk was trained on, as `write_trained_on` wrote it; nothing where it does not say so.

    :param validation: whether what it was trained on cannot be held back anyway; else a bundle that is silent is named.
    """
    if bundle is None:
        return NOTHING
    kept = _kept(bundle)
    if kept is None and not validation:
        tell(
            f"bundle {bundle.version} does not say what it was trained on, and some of that may be held back now: "
            "scores too good, too little in review; give a --validation catalogue that it has not seen"
        )
    return NOTHING if kept is None else kept[TRUNK]


def has_learnt(bundle: Bundle, ids: Iterable[str]) -> npt.NDArray[np.bool_] | None:
    """Whether a bundle has learnt each product, be it in the end and by its head alone; None: it does not say so.

    :returns: bool [n].
    """
    kept = _kept(bundle)
    if kept is None or HEAD not in kept:
        return None
    return np.isin(hashes_of(ids), np.concatenate([kept[TRUNK], kept[HEAD]]))


def write_trained_on(
    folder: Path, products: Sequence[Product], before: Hashes, in_the_end: Sequence[Product] = ()
) -> None:
    """Keep in a bundle's folder what its trunk has learnt from.

    :param before: what the trunk had learnt from when it began.
    :param in_the_end: what head, memory and words learnt too, once it had measured.
    """
    ids = np.union1d(before, hashes_of(product.id for product in products))
    save_file({TRUNK: ids, HEAD: np.sort(hashes_of(product.id for product in in_the_end))}, folder / FILE)


def _kept(bundle: Bundle) -> dict[str, Hashes] | None:
    try:
        kept = load_file(bundle.path / FILE)
    except (OSError, SafetensorError):
        return None
    return {name: np.asarray(ids, dtype=np.uint64) for name, ids in kept.items()} if TRUNK in kept else None
