"""Readings: labelled products as a model reads them in training."""

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sentence_transformers import SentenceTransformer

from shelfwise.messages import tell
from shelfwise.product import Product
from shelfwise.taxonomy import Taxonomy
from shelfwise.text import TextRecipe
from shelfwise_indexer.augment import View, alter
from shelfwise_indexer.fit import Texts
from shelfwise_indexer.rounding import rounded
from shelfwise_indexer.settings import TrainSettings

WORTH_SAYING = 0.05  # of the texts that are cut


def document_prompt(trunk: SentenceTransformer) -> str:
    """The backbone's own prompt for documents (the names that sentence-transformers looks for, in its order)."""
    prompts = (trunk.prompts.get(name) for name in ("document", "passage", "corpus"))
    return next((prompt for prompt in prompts if prompt), "")


def read_texts(
    trunk: SentenceTransformer,
    taxonomy: Taxonomy,
    products: Sequence[Product],
    settings: TrainSettings,
    readings: Sequence[View],
    with_original: bool = False,
) -> Texts:
    """The products in each view, cut and tokenised; with the backbone's own embeddings if asked.

    An altered view is altered once, not anew in each epoch, so that it can keep those embeddings.
    """
    prompt = document_prompt(trunk)
    tokenizer, limit = trunk.tokenizer, settings.max_tokens
    tokens, original = [], []
    for view in readings:
        recipe = TextRecipe(view.fields, tokenizer.backend_tokenizer, limit, prompt)
        texts = [recipe.text(product) for product in products]
        if view.alteration is not None:
            rng = random.Random(f"{settings.fit.seed} {view.alteration}")  # noqa: S311 (no secret)
            texts = [alter(text, view.alteration, rng) for text in texts]
        prompted = [prompt + text for text in texts]
        found = tokenizer(prompted, truncation=True, max_length=limit)["input_ids"] if texts else []
        tokens.append([ids or [int(tokenizer.pad_token_id)] for ids in found])  # as the runtime reads an empty text
        if with_original:
            original.append(_original(trunk, texts))
    paths = [product.categories for product in products]
    return Texts(
        tokens,
        label_shares(taxonomy, products),
        paths,
        [view.share for view in readings],
        original if with_original else None,
        plain=sum(view.alteration is None for view in readings),
    )


def tell_cut(tokens: Sequence[Sequence[int]], limit: int) -> None:
    """Say it where many texts, tokenised, have all the tokens that are read: what they have beyond is cut."""
    full = sum(len(ids) >= limit for ids in tokens)
    if full > WORTH_SAYING * len(tokens):
        share = f"{full / len(tokens):.0%}"
        tell(f"{share} of the texts fill the {limit} tokens that are read, and are cut there: see --max-tokens")


def label_shares(taxonomy: Taxonomy, products: Sequence[Product]) -> npt.NDArray[np.float32]:
    """The share of each leaf, float32 [n, leaves]; a row of zeros where no path of a product is in the taxonomy."""
    labels = np.zeros((len(products), len(taxonomy.leaves)), dtype=np.float32)
    for row, product in enumerate(products):
        known = [taxonomy.leaf_number[path] for path in product.categories if path in taxonomy.leaf_number]
        labels[row, known] = 1.0 / max(len(known), 1)
    return labels


def _original(trunk: SentenceTransformer, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """The embeddings before training, float32 [n, dimension], L2-normalised: what the retention loss keeps to."""
    with rounded(trunk.device.type):
        vectors = trunk.encode(
            list(texts),
            prompt=document_prompt(trunk),  # with none at all a trunk's default would be put before them
            batch_size=64,
            normalize_embeddings=True,
            show_progress_bar=len(texts) > 2000,
        )
    return np.asarray(vectors, dtype=np.float32)
