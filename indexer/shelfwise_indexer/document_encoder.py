"""The document encoder: a bundle's model as a run of `index` uses it, in the arithmetic that pays on this machine."""

from collections.abc import Sequence
from typing import Literal

from shelfwise.bundle import Bundle
from shelfwise.encoder import Encoded, Encoder
from shelfwise.machine import tell
from shelfwise.precision import has_bf16, measure

PrecisionChoice = Literal["auto", "f32", "bf16"]
ENOUGH = 1_000  # texts at once; fewer are encoded sooner than measured
SAMPLE = 512
ROUND_SECONDS = 0.2


class DocumentEncoder:
    """Encodes documents in f32, or in bf16 where that was asked for, or was found faster and as good.

    :param precision: `auto` measures at the first call with ENOUGH texts, on some of them.
    """

    def __init__(self, bundle: Bundle, precision: PrecisionChoice = "auto") -> None:
        self.bundle = bundle
        self._undecided = precision == "auto" and has_bf16()
        self._bf16 = Encoder(bundle, "bf16") if precision == "bf16" else None

    def encode(self, texts: Sequence[str]) -> Encoded:
        """See `Encoder.encode_documents`."""
        if self._undecided and len(texts) >= ENOUGH:
            self._undecided = False
            self._choose(texts)
        return (self._bf16 or self.bundle.encoder).encode_documents(texts)

    def _choose(self, texts: Sequence[str]) -> None:
        fast = Encoder(self.bundle, "bf16")
        some = texts[:: max(1, len(texts) // SAMPLE)]
        found = measure({"f32": self.bundle.encoder, "bf16": fast}, some, ROUND_SECONDS)
        if found.recommended == "bf16":
            self._bf16 = fast
        tell(
            f"encoding in {found.recommended}: bf16 is {found.speed_up:.1f} times as fast here, its vectors have a "
            f"cosine of at least {found.least_cosine:.4f} with f32's, {found.agreement:.1%} of the texts "
            "get the same category"
        )
