"""The bulk encoder: an encoder for many texts, which runs several batches side by side."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import openvino as ov

from shelfwise.encoder import (
    BATCH_TOKENS,
    Arithmetic,
    Encoder,
    Floats,
    Integers,
    Precision,
    batches_by_length,
    compiled,
    model_of,
)

if TYPE_CHECKING:
    from shelfwise.bundle import Bundle

SHORT = 128  # tokens; of longer texts the runtime's fused attention is the faster one


class BulkEncoder(Encoder):
    """A bundle's model as `Encoder` has it, for many texts at once: texts in, `Encoded` out.

    A core for each batch has nobody to wait for where two that share one wait for each other at every layer. Threads
    may share it: a call has requests of its own.

    :raises UsageError, InvalidBundle: as of `Encoder`.
    """

    def __init__(self, bundle: "Bundle", precision: Precision = "f32") -> None:
        self._describe(bundle)
        self._model = side_by_side(*model_of(bundle, precision), short=bundle.max_tokens <= SHORT)
        self.streams = int(self._model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))

    def _passes(self, tokens: Sequence[list[int]]) -> Iterator[tuple[Integers, tuple[Floats, Floats]]]:
        # One more than run at once, so that the next is there when one is done.
        idle = [self._model.create_infer_request() for _ in range(self.streams + 1)]
        begun: deque[tuple[Integers, ov.InferRequest]] = deque()
        for batch in self._batches([len(ids) for ids in tokens]):
            if not idle:
                done, request = begun.popleft()
                yield done, _outputs(request, len(done))
                idle.append(request)
            idle[-1].start_async(self._filled([tokens[place] for place in batch], alone=len(tokens) == 1))
            begun.append((batch, idle.pop()))
        for done, request in begun:
            yield done, _outputs(request, len(done))

    def _batches(self, lengths: Sequence[int]) -> list[Integers]:
        """As `batches_by_length`; what would be a single batch is shared out to all streams."""
        total = sum(lengths)
        return batches_by_length(lengths, BATCH_TOKENS if total > BATCH_TOKENS else -(-total // self.streams))


def side_by_side(model: ov.Model, arithmetic: Arithmetic, short: bool) -> ov.CompiledModel:
    """A model, made ready to get much done. :param short: its texts have at most SHORT tokens."""
    if short:
        # Fused, the attention of a title takes twice as long as its few small products do one by one. The runtime does
        # not document this property: where it is gone, the model runs as it would without.
        with suppress(RuntimeError):
            return compiled(model, arithmetic, PERFORMANCE_HINT="THROUGHPUT", SNIPPETS_MODE="DISABLE")
    return compiled(model, arithmetic, PERFORMANCE_HINT="THROUGHPUT")


def _outputs(request: ov.InferRequest, count: int) -> tuple[Floats, Floats]:
    request.wait()
    embedding, logits = (request.get_tensor(name).data[:count] for name in ("embedding", "logits"))
    return embedding, logits
