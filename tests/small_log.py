"""Event logs and products that tests write down by hand."""

import numpy as np

from shelfwise.history import DAY
from shelfwise_indexer.event_log import Log
from shelfwise_indexer.item_weights import Content


def log(histories, times=None, weights=None, bought=True):
    """A log of one history a user; times in days, weights as purchases have them unless nothing was bought."""
    users = np.array([user for user, history in enumerate(histories) for _ in history], dtype=np.int64)
    products = np.array([product for history in histories for product in history], dtype=np.int64)
    known = np.full(len(users), np.nan) if times is None else DAY * np.concatenate(times)
    given = np.full(len(users), 1.0 if bought else 0.25) if weights is None else np.concatenate(weights)
    mask = np.full(len(users), bought)
    return Log(users, products, known, given.astype(np.float32), mask, mask)


def unlike(n):
    """Products that have nothing in common by themselves, and no vectors."""
    return Content(np.zeros((n, 4), np.float32), np.full((n, 1), -1), np.zeros((n, 1), np.float32))
