"""What people write by hand to encode and classify, and how it is timed beside something faster."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from shelfwise import Bundle


def by_hand(bundle: Bundle, device: str = "cpu") -> Callable[[list[str]], Any]:
    folder = str(bundle.path / "checkpoint")
    trunk = SentenceTransformer(folder, device=device)
    leaves = len(bundle.taxonomy.leaves)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=leaves)
    classify = pipeline(
        "text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(folder), device=device
    )

    def run(texts: list[str]) -> np.ndarray:
        vectors = trunk.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False)
        classify(texts, batch_size=32, truncation=True, max_length=bundle.max_tokens)
        return np.asarray(vectors)

    return run


def timed(doing: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    doing()
    return time.perf_counter() - begun


def pair(count: int, runs: int, **doings: Callable[[], Any]) -> dict[str, Any]:
    """Documents a second of each, medians over runs in turn, and how many times as fast the last is as the first."""
    seconds: dict[str, list[float]] = {name: [] for name in doings}
    for _ in range(runs):
        for name, doing in doings.items():
            seconds[name].append(timed(doing))
    rates = {name: sorted(count / one for one in taken) for name, taken in seconds.items()}
    found: dict[str, Any] = {
        name: {
            "docs_per_second": round(statistics.median(rate), 1),
            "least": round(rate[0], 1),
            "most": round(rate[-1], 1),
        }
        for name, rate in rates.items()
    }
    names = list(doings)
    slow, fast = (statistics.median(rates[name]) for name in (names[0], names[-1]))
    return found | {"times_as_fast": round(fast / slow, 2)}
