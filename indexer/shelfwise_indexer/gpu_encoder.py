"""The encoder on GPUs: a bundle's checkpoint, run by torch in large batches, for what is encoded in bulk."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

import torch
from torch import Tensor

from shelfwise.bulk_encoder import Found, overlapped
from shelfwise.bundle import Bundle
from shelfwise.encoder import Arithmetic, Encoder, Integers, batches_by_length
from shelfwise_indexer.export import load_checkpoint
from shelfwise_indexer.model import ShelfModel
from shelfwise_indexer.rounding import computes_bf16

BATCH_TOKENS = 1 << 16  # of one pass: enough to fill a large GPU
GATHERED = 1 << 28  # numbers that a pass may gather for the words, two rows of all leaves for each token


class GpuEncoder(Encoder):
    """A bundle's model on one or several GPUs; texts in, `Encoded` out, as of `Encoder`.

    Batches go to the devices in turn. While one computes, the next is made and sent, and what it gave is copied back
    into pinned memory. A batch that does not fit is halved.

    :param precision: `f32` without tensor cores' rounding, or `bf16` in the trunk, the heads in f32.
    :param devices: torch's names of them; `cpu` runs the same code without a GPU.
    :raises BackboneError: the checkpoint is missing or damaged.
    """

    def __init__(self, bundle: Bundle, precision: Arithmetic = "f32", devices: Sequence[str] = ("cuda:0",)) -> None:
        self._describe(bundle)
        self._bf16 = precision == "bf16"
        self._models = [load_checkpoint(bundle, device).eval() for device in devices]
        self._most = min(BATCH_TOKENS, GATHERED // (2 * self._leaves))

    def _passes(self, tokens: Sequence[list[int]]) -> Iterator[tuple[Integers, Found]]:
        models = cycle(self._models)

        def begin(batch: Integers) -> Callable[[], Found]:
            return self._begin(next(models), [tokens[place] for place in batch]).result

        batches = batches_by_length([len(ids) for ids in tokens], self._most)
        return overlapped(batches, begin, len(self._models) + 1)

    def _begin(self, model: ShelfModel, tokens: list[list[int]]) -> "_Pass":
        try:
            return self._on_device(model, tokens)
        except torch.OutOfMemoryError:
            if len(tokens) == 1:
                raise
            torch.cuda.empty_cache()
        half = len(tokens) // 2
        first, second = (self._begin(model, part) for part in (tokens[:half], tokens[half:]))
        return first.and_then(second)

    @torch.inference_mode()
    def _on_device(self, model: ShelfModel, tokens: list[list[int]]) -> "_Pass":
        device = next(model.parameters()).device
        there = device.type == "cuda"
        arrays = [torch.from_numpy(array) for array in self._inputs(tokens).values()]
        sent = [(array.pin_memory() if there else array).to(device, non_blocking=True) for array in arrays]
        with torch.autocast(device.type, torch.bfloat16, enabled=self._bf16):
            embedding, pooled, states = model.look(*sent)
        logits = model.decide(pooled.float(), states.float(), *sent)
        vectors, outputs = (
            torch.empty(output.shape, pin_memory=there).copy_(output, non_blocking=True)
            for output in (embedding.float(), logits)
        )
        return _Pass((vectors, outputs), _mark(device) if there else None)


@dataclass(frozen=True, slots=True)
class _Pass:
    """What a pass gives, once the device has come to its mark."""

    outputs: tuple[Tensor, Tensor]
    mark: torch.cuda.Event | None

    def waited(self) -> tuple[Tensor, Tensor]:
        if self.mark is not None:
            self.mark.synchronize()
        return self.outputs

    def result(self) -> Found:
        vectors, logits = self.waited()
        return vectors.numpy(), logits.numpy()

    def and_then(self, other: "_Pass") -> "_Pass":
        vectors, logits = (torch.cat(pair) for pair in zip(self.waited(), other.waited(), strict=True))
        return _Pass((vectors, logits), None)


def devices() -> list[str]:
    """torch's names of the GPUs that it can use."""
    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]


def arithmetic() -> Arithmetic:
    """The fastest that all GPUs compute in themselves."""
    return "bf16" if computes_bf16("cuda") else "f32"


def _mark(device: torch.device) -> torch.cuda.Event:
    mark = torch.cuda.Event()  # type: ignore[no-untyped-call]
    mark.record(torch.cuda.current_stream(device))
    return mark
