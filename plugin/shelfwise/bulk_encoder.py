"""The bulk encoder: an encoder for many texts, which runs several batches side by side."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import cycle
from typing import TYPE_CHECKING

import openvino as ov

from shelfwise.encoder import (
    BATCH_TOKENS,
    Encoder,
    Floats,
    Integers,
    Precision,
    batches_by_length,
    compiled,
    model_of,
    of_documents,
)

if TYPE_CHECKING:
    from shelfwise.bundle import Bundle

SHORT = 128  # tokens; of longer texts the runtime's fused attention is the faster one
# Fused, the attention of a title takes twice as long as its few small products do one by one. The runtime does not
# document this property: where it is gone, the model runs as it would without.
UNFUSED = {"SNIPPETS_MODE": "DISABLE"}
Found = tuple[Floats, Floats]


class BulkEncoder(Encoder):
    """A bundle's model as `Encoder` has it, for many texts at once: texts in, `Encoded` out.

    A core for each batch has nobody to wait for where two that share one wait for each other at every layer. Threads
    may share it: a call has requests of its own.

    :raises UsageError, InvalidBundle: as of `Encoder`.
    """

    def __init__(self, bundle: "Bundle", precision: Precision = "f32") -> None:
        self._describe(bundle)
        self._model = side_by_side(bundle, precision)
        self.streams = int(self._model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))

    def _passes(self, tokens: Sequence[list[int]]) -> Iterator[tuple[Integers, Found]]:
        most = self.streams + 1  # than run at once, so that the next is there when one is done
        requests = cycle([self._model.create_infer_request() for _ in range(most)])

        def begin(batch: Integers) -> Callable[[], Found]:
            request = next(requests)
            request.start_async(self._filled([tokens[place] for place in batch], alone=len(tokens) == 1))
            return lambda: _outputs(request, len(batch))

        return overlapped(self._batches([len(ids) for ids in tokens]), begin, most)

    def _batches(self, lengths: Sequence[int]) -> list[Integers]:
        """As `batches_by_length`; what would be a single batch is shared out to all streams."""
        total = sum(lengths)
        return batches_by_length(lengths, BATCH_TOKENS if total > BATCH_TOKENS else -(-total // self.streams))


def overlapped(
    batches: Iterable[Integers], begin: Callable[[Integers], Callable[[], Found]], most: int
) -> Iterator[tuple[Integers, Found]]:
    """Each batch with what it gives, in order; at most so many are begun and not done.

    :param begin: begins a batch, and gives what waits for it; called again once the oldest of `most` was used.
    """
    begun: deque[tuple[Integers, Callable[[], Found]]] = deque()
    for batch in batches:
        if len(begun) == most:
            done, result = begun.popleft()
            yield done, result()
        begun.append((batch, begin(batch)))
    for done, result in begun:
        yield done, result()


def side_by_side(bundle: "Bundle", precision: Precision) -> ov.CompiledModel:
    """A bundle's model, made ready to get much done.

    :raises UsageError, InvalidBundle: as of `Encoder`.
    """
    model, arithmetic = model_of(bundle, precision)
    model = of_documents(model)
    if bundle.max_tokens <= SHORT:
        with suppress(RuntimeError):
            return compiled(model, arithmetic, PERFORMANCE_HINT="THROUGHPUT", **UNFUSED)
    return compiled(model, arithmetic, PERFORMANCE_HINT="THROUGHPUT")


def _outputs(request: ov.InferRequest, count: int) -> Found:
    request.wait()
    embedding, logits = (request.get_tensor(name).data[:count] for name in ("embedding", "logits"))
    return embedding, logits
