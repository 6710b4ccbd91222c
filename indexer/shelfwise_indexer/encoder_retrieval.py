"""Retrieval: what an encoder finds among products that it was not trained on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sentence_transformers import SentenceTransformer

from shelfwise.product import Product
from shelfwise.taxonomy import path_text
from shelfwise_indexer.encoder_pairs import Prompts

Floats = npt.NDArray[np.float32]
NEAREST = 10
BATCH = 64
MEANING = {
    "title_mrr": "a title finds its own product (MRR)",
    "leaf_recall_at_10": "of its category among the ten nearest",
    "category_mrr": "a category finds one of its products (MRR)",
}


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What is found among so many products; None: there was nothing to measure it on."""

    products: int
    title_mrr: float | None
    """Mean reciprocal rank of the product whose title is searched for; of those whose text is more than the title."""
    leaf_recall_at_10: float | None
    """Products of one's own leaf among one's ten nearest others, of as many as there could be."""
    category_mrr: float | None
    """Mean reciprocal rank of the first product of a category whose path is searched for."""

    def to_json(self) -> dict[str, Any]:
        """What `bundle.json` says of it."""
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(self).items()}


def retrieval(
    encoder: SentenceTransformer, products: Sequence[Product], texts: Sequence[str], prompts: Prompts
) -> Retrieval:
    """Search products by their titles, by one another and by their categories, each compared with all.

    :param texts: the whole text of each product.
    """
    if not products:
        return Retrieval(0, None, None, None)
    whole = encoded(encoder, prompts.document, texts)
    longer = [row for row, text in enumerate(texts) if text.casefold() != products[row].title.casefold()]
    own = np.zeros((len(longer), len(products)), dtype=np.bool_)
    own[np.arange(len(longer)), longer] = True
    titles = encoded(encoder, prompts.query, [products[row].title for row in longer])
    paths = sorted({path for product in products for path in product.categories})
    number = {path: at for at, path in enumerate(paths)}
    filed = np.zeros((len(paths), len(products)), dtype=np.bool_)
    for row, product in enumerate(products):
        filed[[number[path] for path in product.categories], row] = True
    categories = encoded(encoder, prompts.query, [path_text(path) for path in paths])
    return Retrieval(
        len(products),
        reciprocal_rank(titles @ whole.T, own),
        nearest_alike(whole @ whole.T, filed.T.astype(np.float32) @ filed > 0),
        reciprocal_rank(categories @ whole.T, filed),
    )


def reciprocal_rank(cosines: Floats, right: npt.NDArray[np.bool_]) -> float | None:
    """Mean reciprocal rank of the best right answer; among equals it is in the middle, so that sameness gains nothing.

    :param cosines: float32 [queries, products].
    :param right: bool of that shape, one in each row at least.
    """
    if not len(cosines):
        return None
    best = np.where(right, cosines, -np.inf).max(axis=1, keepdims=True)
    wrong = ~right
    ranks = 1 + ((cosines > best) & wrong).sum(axis=1) + ((cosines == best) & wrong).sum(axis=1) / 2
    return float((1 / ranks).mean())


def nearest_alike(cosines: Floats, alike: npt.NDArray[np.bool_]) -> float | None:
    """Mean share of the nearest others that are alike, of as many as there are up to NEAREST.

    :param cosines: float32 [n, n], changed in place.
    :param alike: bool [n, n].
    """
    np.fill_diagonal(cosines, -np.inf)
    possible = np.minimum(alike.sum(axis=1) - 1, NEAREST)
    measured = np.flatnonzero(possible > 0)
    if not len(measured):
        return None
    nearest = np.argsort(-cosines[measured], axis=1, kind="stable")[:, :NEAREST]
    nearest = nearest[:, : len(cosines) - 1]  # never oneself
    hits = np.take_along_axis(alike[measured], nearest, axis=1).sum(axis=1)
    return float((hits / possible[measured]).mean())


def encoded(encoder: SentenceTransformer, prompt: str, texts: Sequence[str]) -> Floats:
    """Embeddings of texts, float32 [n, dimension], L2-normalised."""
    if not texts:
        return np.empty((0, int(encoder.get_embedding_dimension() or 0)), dtype=np.float32)
    prompted = [prompt + text for text in texts]
    vectors = encoder.encode(
        prompted, prompt="", batch_size=BATCH, normalize_embeddings=True, show_progress_bar=len(texts) > 2000
    )
    return np.asarray(vectors, dtype=np.float32)
