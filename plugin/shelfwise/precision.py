"""The precision: how much faster a bundle runs with bf16 arithmetic on this machine, and how much less exact."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np
import openvino as ov

from shelfwise.bundle import Bundle
from shelfwise.encoder import Encoded, Encoder, Precision

TEXTS = 128
TOGETHER = 32  # texts of one call, so that a slow machine is not measured longer than asked
WORDS = 12  # of a text, about as many as a title and the start of a description
ROUND_SECONDS = 1.0  # of one measurement; each precision has ROUNDS, in turn, and the best counts
ROUNDS = 2
WORTH_IT = 1.2  # times as fast; less is within what other programs on the machine do to a short measurement
LEAST_COSINE = 0.999
LEAST_AGREEMENT = 0.99  # share of the texts with the same most probable leaf


@dataclass(frozen=True, slots=True)
class Measured:
    """Both precisions on the same texts of one bundle."""

    texts_per_second: dict[Precision, float]
    largest_difference: float
    """Of any number of the L2-normalised vectors."""
    least_cosine: float
    largest_probability_difference: float
    agreement: float
    """Share of the texts that both put into the same leaf."""

    @property
    def speed_up(self) -> float:
        """How many times as fast bf16 is."""
        return self.texts_per_second["bf16"] / self.texts_per_second["f32"]

    @property
    def recommended(self) -> Precision:
        """`bf16` where it is clearly faster and finds the same, else `f32`."""
        same = self.least_cosine >= LEAST_COSINE and self.agreement >= LEAST_AGREEMENT
        return "bf16" if same and self.speed_up >= WORTH_IT else "f32"


def has_bf16() -> bool:
    """Whether this processor computes in bf16 itself."""
    return "BF16" in capabilities()


def capabilities() -> list[str]:
    """What the runtime's plug-in for this processor can do, sorted."""
    return sorted(ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def measure(
    encoders: Mapping[Precision, Encoder], texts: Sequence[str], round_seconds: float = ROUND_SECONDS
) -> Measured:
    """Measure a bundle's encoders, `f32` and `bf16`, on texts; takes some ROUNDS × 2 × `round_seconds`."""
    exact, fast = (encoders[kind].encode_documents(texts) for kind in ("f32", "bf16"))  # also the warm-up
    speeds = dict.fromkeys(encoders, 0.0)
    for _ in range(ROUNDS):
        for kind, encoder in encoders.items():
            speeds[kind] = max(speeds[kind], _speed(encoder, texts, round_seconds))
    return compare(exact, fast, speeds)


def compare(exact: Encoded, fast: Encoded, speeds: dict[Precision, float]) -> Measured:
    """What differs between the same texts in f32 and in bf16."""
    cosines = (exact.vectors * fast.vectors).sum(axis=1) / np.maximum(
        np.linalg.norm(exact.vectors, axis=1) * np.linalg.norm(fast.vectors, axis=1), np.finfo(np.float32).tiny
    )
    return Measured(
        {kind: round(speed, 1) for kind, speed in speeds.items()},
        round(float(np.abs(exact.vectors - fast.vectors).max()), 6),
        round(float(cosines.min()), 6),
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
