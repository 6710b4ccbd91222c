"""Augmentation: the ways a product may look where the model is used."""

from collections.abc import Sequence
from dataclasses import dataclass

Fields = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class View:
    """One way to read a product: the fields that are there, and the share of readings that see it so."""

    fields: Fields
    share: float


def views(fields: Sequence[str], dropout: float) -> list[View]:
    """The product as it is, without each of its later fields, and with the first field alone.

    Whole fields are often missing where a model is used: a query or another shop's listing is a bare title. A model
    that saw every field always leans on the richest and fails without it. At most len(fields) + 1 views, the whole
    product first, so that each can keep the backbone's own embedding for the retention loss.

    :param dropout: share of readings with something missing, split evenly over the ways in which it can be.
    """
    whole = tuple(fields)
    lacking = dict.fromkeys([*(tuple(f for f in whole if f != left_out) for left_out in whole[1:]), whole[:1]])
    lacking.pop(whole, None)
    if not lacking or dropout <= 0:
        return [View(whole, 1.0)]
    return [View(whole, 1.0 - dropout), *(View(some, dropout / len(lacking)) for some in lacking)]
