"""The document encoder: a bundle's model as a run of `index` uses it, in the arithmetic that pays on this machine."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np

from shelfwise.bundle import Bundle
from shelfwise.capacity import capacity
from shelfwise.encoder import Encoded, Encoder, Precision
from shelfwise.machine import tell
from shelfwise.precision import Measured, measure, precisions
from shelfwise_indexer.choice import Choice

PrecisionChoice = Literal["auto", Precision]
ENOUGH = 1_000  # texts at once; fewer are encoded sooner than measured
SAMPLE = 64
ROUND_SECONDS = 0.05


class DocumentEncoder:
    """Encodes documents in f32, or in the precision that was asked for, or that was found faster and as good.

    :param precision: `auto` is what this machine found best for this bundle before; where it has not measured yet, it
        does at the first call with ENOUGH texts, on some of them.
    :param choices: folder of what was measured before; default: in the cache folder.
    :raises UsageError: int8 was asked for, and the bundle has no such model.
    """

    def __init__(self, bundle: Bundle, precision: PrecisionChoice = "auto", choices: Path | None = None) -> None:
        self.bundle = bundle
        self.precision: Precision = "f32" if precision == "auto" else precision
        self._undecided = precision == "auto"
        self._choices = choices
        self._choice: Choice | None = None
        self._encoders: dict[Precision, Encoder] = {}
        if not self._undecided:
            self._encoder(self.precision)  # one that cannot be had is said before anything else is done

    def encode(self, texts: Sequence[str]) -> Encoded:
        """See `Encoder.encode_documents`. Without texts the model is not even loaded."""
        if not texts:
            leaves = len(self.bundle.taxonomy.leaves)
            return Encoded(np.empty((0, self.bundle.dimension), np.float32), np.empty((0, leaves), np.float32))
        if self._undecided:
            self._decide(texts)
        return self._encoder(self.precision).encode_documents(texts)

    def _encoder(self, precision: Precision) -> Encoder:
        if precision == "f32":
            return self.bundle.encoder
        if precision not in self._encoders:
            self._encoders[precision] = Encoder(self.bundle, precision)
        return self._encoders[precision]

    def _decide(self, texts: Sequence[str]) -> None:
        if self._choice is None:
            self._choice = Choice(self.bundle, precisions(self.bundle), self._choices)
            if (chosen := self._choice.read()) is not None:
                self.precision, self._undecided = chosen, False
                tell(f"encoding in {chosen}, as was measured here before")
        if self._undecided and len(texts) >= ENOUGH:
            self._undecided = False
            self._measure(texts, self._choice)

    def _loaded(self, kinds: Sequence[Precision]) -> dict[Precision, Encoder]:
        """Encoders of several precisions. Making one keeps a single core busy; int8 takes as long as both others."""
        _ = self.bundle.tokenizer  # that all share
        with ThreadPoolExecutor(1) as beside:
            compressed = {kind: beside.submit(self._encoder, kind) for kind in kinds if kind == "int8"}
            floats = {kind: self._encoder(kind) for kind in kinds if kind != "int8"}
            return floats | {kind: one.result() for kind, one in compressed.items()}

    def _measure(self, texts: Sequence[str], choice: Choice) -> None:
        if len(choice.precisions) == 1:
            return
        sample = texts[:: max(1, len(texts) // SAMPLE)]
        kinds = _worth_trying(choice.precisions)
        found = self._measured(kinds, sample)
        if found.recommended != "int8" and len(kinds) < len(choice.precisions):
            found = self._measured(choice.precisions, sample)
        self.precision = found.recommended
        self._encoders = {self.precision: self._encoder(self.precision)}  # the others' memory is free again
        choice.write(self.precision)
        tell(f"encoding in {self.precision}: {_said(found)}")

    def _measured(self, kinds: Sequence[Precision], sample: Sequence[str]) -> Measured:
        return measure(self._loaded(kinds), sample, ROUND_SECONDS)


def _worth_trying(kinds: Sequence[Precision]) -> Sequence[Precision]:
    """Without matrix units bf16 is no faster than integers, and need not be loaded where those do."""
    if "int8" not in kinds or "amx" in capacity().instruction_sets:
        return kinds
    return [kind for kind in kinds if kind != "bf16"]


def _said(found: Measured) -> str:
    return "; ".join(
        f"{kind} is {found.speed_up(kind):.1f} times as fast as f32 here, its vectors have a mean cosine of "
        f"{one.mean_cosine:.4f} with f32's, {one.agreement:.1%} of the texts get the same category"
        for kind, one in found.compared.items()
    )
