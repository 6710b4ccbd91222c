"""Overlap: products of a validation catalogue that the training part has too, so that the scores flatter."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shelfwise.messages import tell
from shelfwise.product import Product

NAMED = 3  # products in a message
EXAMPLES = 20  # in the report


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much of a validation catalogue is in the training part."""

    products: int
    """Of the validation catalogue."""
    same_id: tuple[str, ...]
    """Ids that both have."""
    alike: tuple[tuple[str, str], ...]
    """Ids of the other shared products, each with that of a training product it is a variant or near-duplicate of."""
    same_catalogue: bool
    """Whether both catalogues hold the very same products."""

    @property
    def shared(self) -> int:
        """Validation products that share an id or a group with the training part."""
        return len(self.same_id) + len(self.alike)

    def to_json(self) -> dict[str, Any]:
        """What `report/preparation.json` has of it."""
        return {
            "products": self.products,
            "in_training": self.shared,
            "same_id": len(self.same_id),
            "variant_or_near_duplicate": len(self.alike),
            "same_catalogue": self.same_catalogue,
            "examples": [
                *({"id": id_, "like": id_} for id_ in self.same_id[:EXAMPLES]),
                *({"id": id_, "like": like} for id_, like in self.alike[:EXAMPLES]),
            ],
        }


def overlap(
    train: Sequence[Product], validation: Sequence[Product], groups: npt.NDArray[np.int64], same_catalogue: bool
) -> Overlap:
    """What the two have in common.

    :param groups: int64 [train + validation], as `preparation.groups_of` gives them for both in this order.
    """
    first: dict[int, str] = {}
    for product, group in zip(train, groups.tolist(), strict=False):
        first.setdefault(group, product.id)
    ids = {product.id for product in train}
    of_validation = list(zip(validation, groups[len(train) :].tolist(), strict=True))
    return Overlap(
        products=len(validation),
        same_id=tuple(product.id for product in validation if product.id in ids),
        alike=tuple(
            (product.id, first[group]) for product, group in of_validation if group in first and product.id not in ids
        ),
        same_catalogue=same_catalogue,
    )


def warn_overlap(found: Overlap, catalogue: str) -> None:
    """Say that scores on this validation catalogue flatter, and by which products; none is left out for it."""
    if found.same_catalogue:
        tell(
            f"{catalogue} holds the very products of the catalogue that is trained on: the scores flatter and say "
            "nothing about new products; give --validation products that training does not see, or leave it out"
        )
    elif found.shared:
        named = [*found.same_id[:NAMED], *(f"{id_} (like {like})" for id_, like in found.alike[:NAMED])][:NAMED]
        tell(
            f"{found.shared} of the {found.products} products of {catalogue} are in the training part too "
            f"({len(found.same_id)} by id, {len(found.alike)} as variants or near-duplicates), the first: "
            f"{', '.join(named)}: they stay there, and the scores flatter"
        )
