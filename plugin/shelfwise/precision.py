"""The precision: how much faster a bundle runs in bf16 or int8 on this machine, and how much less exact."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np

from shelfwise.bundle import Bundle
from shelfwise.compressed import has_int8
from shelfwise.encoder import Encoded, Encoder, Precision
from shelfwise.processor import has_bf16

TEXTS = 128
TOGETHER = 64  # texts of one call: enough for all cores, few enough not to keep a slow machine
WORDS = 12  # of a text, about as many as a title and the start of a description
ROUND_SECONDS = 1.0  # of one measurement; each precision has ROUNDS, in turn, and the best counts
ROUNDS = 2
WORTH_IT = 1.2  # times as fast; less is within what other programs on the machine do to a short measurement


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the vectors and categories of some texts must share with those in f32."""

    least_cosine: float
    mean_cosine: float
    agreement: float


# Of int8 the loss was bounded on many products when it was made; this finds a processor whose integers overflow.
BOUNDS: Mapping[Precision, Bounds] = {"bf16": Bounds(0.999, 0.999, 0.98), "int8": Bounds(0.9, 0.99, 0.95)}


@dataclass(frozen=True, slots=True)
class Compared:
    """One precision and f32 on the same texts of one bundle."""

    largest_difference: float
    """Of any number of the L2-normalised vectors."""
    least_cosine: float
    mean_cosine: float
    largest_probability_difference: float
    agreement: float
    """Share of the texts that both put into the same leaf."""

    def passes(self, bounds: Bounds) -> bool:
        """Whether it finds the same as f32 does."""
        return (
            self.least_cosine >= bounds.least_cosine
            and self.mean_cosine >= bounds.mean_cosine
            and self.agreement >= bounds.agreement
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """The precisions on the same texts of one bundle."""

    texts_per_second: Mapping[Precision, float]
    compared: Mapping[Precision, Compared]
    """Each but f32, with it."""

    def speed_up(self, precision: Precision) -> float:
        """How many times as fast as f32 it is."""
        return self.texts_per_second[precision] / self.texts_per_second["f32"]

    @property
    def recommended(self) -> Precision:
        """The fastest of those that are clearly faster than f32 and find the same, else `f32`."""
        good = [
            precision
            for precision, found in self.compared.items()
            if found.passes(BOUNDS[precision]) and self.speed_up(precision) >= WORTH_IT
        ]
        return max(good, key=lambda precision: self.texts_per_second[precision], default="f32")

    def to_json(self) -> dict[str, Any]:
        """What `shelfwise doctor` prints."""
        return {
            "texts_per_second": dict(self.texts_per_second),
            "compared": {
                precision: {"speed_up": round(self.speed_up(precision), 2), **asdict(found)}
                for precision, found in self.compared.items()
            },
            "recommended": self.recommended,
        }


def precisions(bundle: Bundle) -> list[Precision]:
    """Those that a bundle can be run in and that may pay here, f32 first."""
    found: list[Precision] = ["f32"]
    return found + (["bf16"] if has_bf16() else []) + (["int8"] if has_int8(bundle) else [])


def measure(
    encoders: Mapping[Precision, Encoder], texts: Sequence[str], round_seconds: float = ROUND_SECONDS
) -> Measured:
    """Measure a bundle's encoders, `f32` and others, on texts; takes ROUNDS × `round_seconds` each, and a pass."""
    encoded = {kind: encoder.encode_documents(texts) for kind, encoder in encoders.items()}  # also the warm-up
    speeds = dict.fromkeys(encoders, 0.0)
    for _ in range(ROUNDS):
        for kind, encoder in encoders.items():
            speeds[kind] = max(speeds[kind], _speed(encoder, texts, round_seconds))
    exact = encoded.pop("f32")
    return Measured(
        {kind: round(speed, 1) for kind, speed in speeds.items()},
        {kind: compare(exact, fast) for kind, fast in encoded.items()},
    )


def compare(exact: Encoded, fast: Encoded) -> Compared:
    """What differs between the same texts in f32 and in another precision."""
    cosines = (exact.vectors * fast.vectors).sum(axis=1) / np.maximum(
        np.linalg.norm(exact.vectors, axis=1) * np.linalg.norm(fast.vectors, axis=1), np.finfo(np.float32).tiny
    )
    return Compared(
        round(float(np.abs(exact.vectors - fast.vectors).max()), 6),
        round(float(cosines.min()), 6),
        round(float(cosines.mean()), 6),
        round(float(np.abs(exact.probabilities - fast.probabilities).max()), 6),
        round(float((exact.probabilities.argmax(axis=1) == fast.probabilities.argmax(axis=1)).mean()), 4),
    )


def sample(bundle: Bundle) -> list[str]:
    """TEXTS texts of WORDS words each, the same for the same bundle: each repeats the names of one category's path."""
    leaves = bundle.taxonomy.leaves
    chosen = np.linspace(0, len(leaves) - 1, TEXTS).astype(int)
    return [" ".join(islice(cycle(" ".join(leaves[place]).split()), WORDS)) for place in chosen]


def _speed(encoder: Encoder, texts: Sequence[str], seconds: float) -> float:
    """Texts per second."""
    started, done, parts = time.perf_counter(), 0, cycle(range(0, len(texts), TOGETHER))
    while (passed := time.perf_counter() - started) < seconds or not done:
        part = texts[(start := next(parts)) : start + TOGETHER]
        encoder.encode_documents(part)
        done += len(part)
    return done / passed
