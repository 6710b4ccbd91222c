"""The document encoder: a bundle's model as a run of `index` uses it, where and in the arithmetic that pays here."""

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np

from shelfwise.bulk_encoder import BulkEncoder
from shelfwise.bundle import Bundle
from shelfwise.capacity import capacity
from shelfwise.encoder import Encoded, Encoder, Precision
from shelfwise.errors import InvalidBundle, ShelfwiseError, UsageError
from shelfwise.messages import tell
from shelfwise.precision import BOUNDS, Measured, compare, measure, precisions, sample
from shelfwise_indexer.choice import Choice

PrecisionChoice = Literal["auto", Precision]
DeviceChoice = Literal["auto", "cpu", "gpu"]
DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA's, AMD's, those of Windows below Linux
SAME = 1e-3  # the largest difference between a number of the checkpoint's and of the exported model, in f32
ENOUGH = 1_000  # texts at once; fewer are encoded sooner than measured
SAMPLE = 64
ROUND_SECONDS = 0.05


class DocumentEncoder:
    """Encodes documents in f32, or in the precision that was asked for, or that was found faster and as good.

    On a GPU the checkpoint is run in place of the exported model, whose hash is the bundle's version: it is believed
    only once it gives the same vectors and categories.

    :param device: `auto` is the GPUs that torch can use, else, and where they do not give the same, the processor;
        int8 is for the processor alone.
    :param precision: `auto` is what this machine found best for this bundle before; where it has not measured yet, it
        does at the first call with ENOUGH texts, on some of them.
    :param choices: folder of what was measured before; default: in the cache folder.
    :raises UsageError: int8 was asked for, and the bundle has no such model; or a GPU was, and there is none.
    """

    def __init__(
        self,
        bundle: Bundle,
        precision: PrecisionChoice = "auto",
        choices: Path | None = None,
        device: DeviceChoice = "auto",
    ) -> None:
        self.bundle = bundle
        self._device = device
        self._gpus = _gpus(device, precision, bundle)
        self.precision: Precision = "f32" if precision == "auto" else precision
        self._undecided = precision == "auto"
        self._choices = choices
        self._choice: Choice | None = None
        self._encoders: dict[Precision, Encoder] = {}
        self._loading: Future[Encoder] | None = None
        if not self._undecided and not self._gpus:
            self._encoder(self.precision)  # one that cannot be had is said before anything else is done

    def begin_loading(self) -> None:
        """Load the model that the next texts are read by, where that is known, while the caller does something else."""
        if self._gpus or self._loading is not None:
            return
        if self._undecided:
            self._remembered()
        if not self._undecided:
            beside = ThreadPoolExecutor(1)
            self._loading = beside.submit(self._encoder, self.precision)
            beside.shutdown(wait=False)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """See `Encoder.encode_documents`. Without texts the model is not even loaded."""
        if not texts:
            leaves = len(self.bundle.taxonomy.leaves)
            return Encoded(np.empty((0, self.bundle.dimension), np.float32), np.empty((0, leaves), np.float32))
        if self._loading is not None:
            self._loading.result()
        if self._gpus and not self._encoders:
            self._begin_on_gpu()
        if self._undecided:
            self._decide(texts)
        return self._encoder(self.precision).encode_documents(texts)

    def release(self) -> None:
        """Let go of the model, whose memory others may need; where texts come after all, it is loaded again."""
        self._loading = None
        self._encoders.clear()

    def _encoder(self, precision: Precision) -> Encoder:
        if precision not in self._encoders:
            self._encoders[precision] = BulkEncoder(self.bundle, precision)
        return self._encoders[precision]

    def _begin_on_gpu(self) -> None:
        """Get ready on the GPUs, or on the processor where only `auto` asked for them and they do not do.

        :raises InvalidBundle: they do not do.
        """
        try:
            self._load_on_gpu()
        except (ShelfwiseError, RuntimeError, ValueError, KeyError) as error:  # also too little memory of the GPU
            reason = str(error).partition("\n")[0]
            problem = f"{self.bundle.path}/checkpoint does not do on {', '.join(self._gpus)} ({reason})"
            if self._device == "gpu":
                raise InvalidBundle(f"{problem}: copy the bundle again, or index with --device cpu") from error
            tell(f"{problem}: encoding on the processor instead")
            self._gpus = []

    def _load_on_gpu(self) -> None:
        """Load the checkpoint, and compare it with the exported model.

        :raises InvalidBundle: it is another model.
        """
        from shelfwise_indexer.gpu_encoder import GpuEncoder, arithmetic

        texts = sample(self.bundle)
        exact = self.bundle.encoder.encode_documents(texts)
        ready = GpuEncoder(self.bundle, "f32", self._gpus)
        found = compare(exact, ready.encode_documents(texts))
        # Each by itself: of a number and NaN `max` may give the number.
        if not (found.largest_difference <= SAME and found.largest_probability_difference <= SAME):
            raise InvalidBundle(
                f"it is not the model of bundle {self.bundle.version}: vectors differ by up to "
                f"{found.largest_difference:.1e}"
            )
        if self._undecided and (fast := arithmetic()) != "f32":
            halved = GpuEncoder(self.bundle, fast, self._gpus)
            if compare(exact, halved.encode_documents(texts)).passes(BOUNDS[fast]):
                self.precision, ready = fast, halved
        elif self.precision == "bf16":
            ready = GpuEncoder(self.bundle, "bf16", self._gpus)
        self._undecided = False
        self._encoders[self.precision] = ready
        tell(f"encoding in {self.precision} on {', '.join(self._gpus)}")

    def _decide(self, texts: Sequence[str]) -> None:
        choice = self._remembered()
        if self._undecided and len(texts) >= ENOUGH:
            self._undecided = False
            self._measure(texts, choice)

    def _remembered(self) -> Choice:
        """What there is to choose from; decides by what was measured before, where it was."""
        if self._choice is None:
            self._choice = Choice(self.bundle, precisions(self.bundle), self._choices)
            if (chosen := self._choice.read()) is not None:
                self.precision, self._undecided = chosen, False
                tell(f"encoding in {chosen}, as was measured here before")
        return self._choice

    def _loaded(self, kinds: Sequence[Precision]) -> dict[Precision, Encoder]:
        """Encoders of several precisions, to be measured. Making one keeps a single core busy; int8 takes as long as
        both others.
        """
        _ = self.bundle.tokenizer  # that all share
        with ThreadPoolExecutor(1) as beside:
            compressed = {kind: beside.submit(self._encoder, kind) for kind in kinds if kind == "int8"}
            floats = {kind: self._encoder(kind) for kind in kinds if kind != "int8"}
            return floats | {kind: one.result() for kind, one in compressed.items()}

    def _measure(self, texts: Sequence[str], choice: Choice) -> None:
        if len(choice.precisions) == 1:
            return
        some = texts[:: max(1, len(texts) // SAMPLE)]
        kinds = _worth_trying(choice.precisions)
        found = self._measured(kinds, some)
        if found.recommended != "int8" and len(kinds) < len(choice.precisions):
            found = self._measured(choice.precisions, some)
        self.precision = found.recommended
        self._encoders = {self.precision: self._encoder(self.precision)}  # the others' memory is free again
        choice.write(self.precision)
        tell(f"encoding in {self.precision}: {_said(found)}")

    def _measured(self, kinds: Sequence[Precision], texts: Sequence[str]) -> Measured:
        return measure(self._loaded(kinds), texts, ROUND_SECONDS)


def _gpus(device: DeviceChoice, precision: PrecisionChoice, bundle: Bundle) -> list[str]:
    """Torch's names of the GPUs to use. Where no driver is there, torch, which takes seconds to load, is not asked."""
    if device == "gpu" and precision == "int8":
        raise UsageError("int8 is for the processor: give --device cpu, or another --precision")
    if device == "cpu" or precision == "int8":
        return []
    usable = any(map(os.path.exists, DRIVERS)) and find_spec("torch") and (bundle.path / "checkpoint").is_dir()
    if device == "auto" and not usable:
        return []
    from shelfwise_indexer.gpu_encoder import devices

    found = devices()
    if device == "gpu" and not found:
        raise UsageError("torch finds no GPU here (`shelfwise doctor` says what it finds): leave --device out")
    return found


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
