"""The encoder: texts in, embeddings and category probabilities out, in one pass over each text."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import openvino as ov

from shelfwise import compressed
from shelfwise.errors import InvalidBundle, ShelfwiseError
from shelfwise.gathering import Gathering
from shelfwise.processor import CORE, has_bf16

if TYPE_CHECKING:
    from shelfwise.bundle import Bundle

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Row = tuple[Floats, Floats, Floats]  # of one query: vector, probabilities, what it is most like
Arithmetic = Literal["f32", "bf16"]
Precision = Literal[Arithmetic, "int8"]
MODEL = "model.xml"
ALIKE = "alike"  # an output that not every model has: see `Encoded.alike`
REMEMBERED = 1_000  # queries; with 384 dimensions and 300 leaves some 3 MB
NOBODY_S = "\U0001235d"  # a cuneiform sign, which no vocabulary has
UNREAD = 0.25  # of a text's tokens, those that begin and end it among them
BATCH_TOKENS = 2048  # tokens of one pass: enough to fill the cores, small enough for their caches
WIDTH_STEP, FEWEST = 16, 8  # tokens and texts of a small batch come in steps
SHORT_STEP, FEW = 4, 2  # of short texts, such as queries


@dataclass(frozen=True, slots=True)
class Encoded:
    """What one pass gives for n texts."""

    vectors: Floats
    """float32 [n, dimension], L2-normalised."""
    probabilities: Floats
    """float32 [n, leaves], calibrated; each row sums to 1, unless the bundle's products may be in several leaves."""
    alike: Floats | None = None
    """float32 [n, dimension], of queries: the embedding of what each is most like among the products that the model
    remembers, L2-normalised; zeros where it remembers none."""
    unread: Bools | None = None
    """bool [n], of documents: at least UNREAD of a text's tokens are unknown to the model, which says little of it."""

    def at(self, rows: list[int] | slice) -> "Encoded":
        """Some of the texts."""
        alike = None if self.alike is None else self.alike[rows]
        unread = None if self.unread is None else self.unread[rows]
        return Encoded(self.vectors[rows], self.probabilities[rows], alike, unread)

    def together(self, counts: Sequence[int]) -> "Encoded":
        """Texts that follow one another as one text each: the mean of what they have. One alone stays as it is.

        :param counts: of texts in each group, in order; at least 1.
        """
        if all(count == 1 for count in counts):
            return self
        starts = np.cumsum([0, *counts[:-1]])
        shares = 1 / np.asarray(counts, dtype=np.float32)[:, None]

        def mean(rows: Floats) -> Floats:
            return np.asarray(np.add.reduceat(rows, starts, axis=0) * shares, dtype=np.float32)

        def unit(rows: Floats) -> Floats:
            return np.where(shares == 1, rows, _unit(rows))

        alike = None if self.alike is None else unit(mean(self.alike))
        return Encoded(unit(mean(self.vectors)), mean(self.probabilities), alike)

    def expanded(self, share: float) -> Floats:
        """The vectors, moved towards what they are most like: float32 [n, dimension], L2-normalised.

        A query is a few words, and products say what else belongs to them. Rocchio's feedback ("Relevance Feedback in
        Information Retrieval", 1971), with remembered products for those that a first search would find.

        :param share: how much what is alike counts beside the query itself; 0: not at all.
        """
        if self.alike is None or not share:
            return self.vectors
        return _unit(self.vectors + np.float32(share) * self.alike)


class Encoder:
    """A bundle's model, ready to run on this processor (OpenVINO; no torch).

    :param precision: arithmetic inside the model. `f32` matches the trained model within 1e-4; `bf16` is faster on
        processors that have it and less exact; `int8` runs the compressed model, where the bundle has one.
    :raises UsageError: int8, and the bundle has no such model.
    :raises InvalidBundle: it was changed or replaced.
    """

    _outputs: tuple[str, ...] = ("embedding", "logits")  # of the model, in the order of `_passes`

    def __init__(self, bundle: "Bundle", precision: Precision = "f32") -> None:
        self._describe(bundle)
        model, arithmetic = model_of(bundle, precision)
        self._request = compiled(model, arithmetic).create_infer_request()
        if ALIKE in output_names(model):
            self._outputs = (*self._outputs, ALIKE)

    def _describe(self, bundle: "Bundle") -> None:
        """Take over what is to be known of the bundle, whatever runs its model."""
        self._temperature = float(bundle.info["temperature"])
        self._prompts: dict[str, str] = bundle.info["prompts"]
        self._pad = int(bundle.info["pad_token_id"])
        self._tokenizer = bundle.tokenizer
        self._dimension = bundle.dimension
        self._max_tokens = bundle.max_tokens
        self._leaves = len(bundle.taxonomy.leaves)
        self._logit_leaves = bundle.logit_leaves
        self._multi_label = bundle.multi_label
        self._remembered: dict[str, Row] = {}
        self._lock = threading.Lock()  # a request runs one batch at a time; threads may share an encoder
        self._remembering = threading.Lock()
        self._reading: Gathering[str, Row] = Gathering()

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Encode product texts, in input order; see `Encoded`."""
        return self._encode(self._prompts.get("document", ""), texts)

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """Encode search queries, in input order; see `Encoded`. The last REMEMBERED ones are not read again.

        What other threads ask for meanwhile is read in one pass: most of a query's time goes into the model's weights.
        """
        with self._remembering:
            known = {text: self._remembered[text] for text in texts if text in self._remembered}
        if new := [text for text in dict.fromkeys(texts) if text not in known]:
            known |= zip(new, self._reading.results(new, self._read_queries), strict=True)
        with self._remembering:
            for text in dict.fromkeys(texts):
                self._remembered.pop(text, None)
                self._remembered[text] = known[text]  # the latest are last
            while len(self._remembered) > REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
        widths = self._dimension, self._leaves, self._dimension
        parts = ([known[text][part] for text in texts] or np.empty((0, width)) for part, width in enumerate(widths))
        vectors, probabilities, alike = (np.array(part, dtype=np.float32) for part in parts)
        return Encoded(vectors, probabilities, alike)

    def _read_queries(self, texts: Sequence[str]) -> list[Row]:
        encoded = self._encode(self._prompts.get("query", ""), texts)
        alike = np.zeros_like(encoded.vectors) if encoded.alike is None else encoded.alike
        rows = zip(encoded.vectors, encoded.probabilities, alike, strict=True)
        # Not with those of others, as parts of an array.
        return [(vector.copy(), row.copy(), its.copy()) for vector, row, its in rows]

    def knows(self, text: str) -> bool:
        """Whether the model has a token for any part of a text: of a text without one the embedding says nothing."""
        return not set(self._tokenizer.encode(text, add_special_tokens=False).ids) <= set(self._unknown)

    @cached_property
    def _unknown(self) -> list[int]:
        """What stands for a word that no vocabulary has; its last token stands for that alone."""
        return self._tokenizer.encode(NOBODY_S, add_special_tokens=False).ids

    def document_inputs(self, texts: Sequence[str]) -> Iterator[dict[str, Integers]]:
        """What the model gets of product texts, a batch after the other, each name to int64 [n, longest]."""
        tokens = self._tokens(self._prompts.get("document", ""), texts)
        for batch in self._batches([len(ids) for ids in tokens]):
            yield self._inputs([tokens[place] for place in batch])

    def _encode(self, prompt: str, texts: Sequence[str]) -> Encoded:
        # The same text is read once, however often it stands in the catalogue.
        number = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        if len(number) < len(texts):
            return self._encode(prompt, list(number)).at([number[text] for text in texts])
        vectors = np.empty((len(texts), self._dimension), dtype=np.float32)
        outputs = self._leaves if self._logit_leaves is None else len(self._logit_leaves)
        logits = np.empty((len(texts), outputs), dtype=np.float32)
        alike = np.empty_like(vectors) if ALIKE in self._outputs else None
        tokens = self._tokens(prompt, texts)
        for batch, found in self._passes(tokens):
            vectors[batch], logits[batch] = found[:2]
            if alike is not None:
                alike[batch] = found[2]
        probabilities = (sigmoid if self._multi_label else softmax)(logits / self._temperature)
        if self._logit_leaves is not None:
            probabilities = by_leaf(probabilities, self._logit_leaves, self._leaves, self._multi_label)
        return Encoded(vectors, probabilities, alike, self._unread(tokens))

    def _unread(self, tokens: Sequence[list[int]]) -> Bools:
        """Of which texts too many tokens are the one that stands for whatever the vocabulary lacks, bool [n]."""
        [unknown] = self._unknown[-1:] or [self._pad]
        return np.array([ids.count(unknown) >= UNREAD * len(ids) for ids in tokens], dtype=np.bool_)

    def _passes(self, tokens: Sequence[list[int]]) -> Iterator[tuple[Integers, Sequence[Floats]]]:
        """Run the model over all texts: the places of a batch with what the model gives for it, batch by batch.

        In the order of `_outputs`.
        """
        for batch in self._batches([len(ids) for ids in tokens]):
            inputs = self._filled([tokens[place] for place in batch], alone=len(tokens) == 1)
            with self._lock:
                outputs = self._request.infer(inputs)
                found = [outputs[name][: len(batch)].copy() for name in self._outputs]
            yield batch, found

    def _batches(self, lengths: Sequence[int]) -> list[Integers]:
        return batches_by_length(lengths)

    def _tokens(self, prompt: str, texts: Sequence[str]) -> list[list[int]]:
        # A tokenizer that adds no token of its own gives none for an empty text, and a model must read something.
        found = self._tokenizer.encode_batch_fast([prompt + text for text in texts])
        return [encoding.ids or [self._pad] for encoding in found]

    def _inputs(self, tokens: list[list[int]], width: int = 0) -> dict[str, Integers]:
        return {
            "input_ids": padded(tokens, self._pad, width),
            "attention_mask": padded([[1] * len(ids) for ids in tokens], 0, width),
        }

    def _filled(self, tokens: list[list[int]], alone: bool) -> dict[str, Integers]:
        """A batch as it is run; the rows that fill it up are the last.

        :param alone: a query stays as it is.
        """
        count = len(tokens)
        size, width = (1, 0) if alone else batch_shape(count, max(map(len, tokens)), self._max_tokens)
        return self._inputs(tokens + tokens[:1] * (size - count), width)


def _unit(rows: Floats) -> Floats:
    """Each row L2-normalised; one of zeros stays so."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms == 0, 1, norms), dtype=np.float32)


def model_of(bundle: "Bundle", precision: Precision) -> tuple[ov.Model, Arithmetic]:
    """A bundle's model for a precision, and the arithmetic of what is in floats there.

    :raises UsageError: int8, and the bundle has no such model.
    :raises InvalidBundle: it was changed or replaced.
    """
    if precision != "int8":
        return bundle.network, precision
    # Of a spared part bf16 makes up for what it lost in speed; else it would gain nothing.
    floats: Arithmetic = "bf16" if compressed.is_spared(bundle) and has_bf16() else "f32"
    model = network(bundle.path, compressed.checked_model(bundle))
    bundle.check_in_place()
    return model, floats


def network(folder: Path, name: str = MODEL, damaged: type[ShelfwiseError] = InvalidBundle) -> ov.Model:
    """A folder's model, read whole; see `processor.CORE`.

    :param damaged: what is raised where it cannot be read.
    """
    try:
        return CORE.read_model(str(folder / name))
    except RuntimeError as error:
        reason = str(error).strip().split("\n")[-1]
        raise damaged(f"{folder}: {name} or its weights cannot be read ({reason}): copy the folder again") from error


def output_names(model: ov.Model) -> list[str]:
    """What a model gives, in its order."""
    return [output.get_any_name() for output in model.outputs]


def of_documents(model: ov.Model) -> ov.Model:
    """The model without what only queries ask for; the one that was given stays as it is."""
    if ALIKE not in output_names(model):
        return model
    model = model.clone()
    model.remove_result(model.output(ALIKE).get_node())
    return model


def compiled(model: ov.Model, arithmetic: Arithmetic, **hints: object) -> ov.CompiledModel:
    """A model, made ready for this processor: to answer soon, unless the hints for the runtime say otherwise."""
    settled = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": arithmetic,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,  # weights in integers are no reason to round what meets them
    }
    return CORE.compile_model(model, "CPU", settled | hints)


def padded(rows: Sequence[Sequence[int]], fill: int, width: int = 0) -> Integers:
    """Rows of like kind as one array, int64 [n, longest], or [n, width] where that is more."""
    array = np.full((len(rows), max([width, *map(len, rows)])), fill, dtype=np.int64)
    for place, row in enumerate(rows):
        array[place, : len(row)] = row
    return array


def softmax(logits: Floats) -> Floats:
    """Row-wise softmax, float32 [n, classes]."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True)) if logits.size else logits
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)


def sigmoid(logits: Floats) -> Floats:
    """Element-wise, float32 [n, classes]."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))), dtype=np.float32)


def by_leaf(probabilities: Floats, logit_leaves: Integers, leaves: int, multi_label: bool) -> Floats:
    """Probabilities of the model's outputs as those of the leaves, float32 [n, outputs] to float32 [n, leaves].

    A leaf of one output has that output's, bit for bit. One that several went into has their sum, or, where a product
    may be in several leaves, the probability of at least one of them if they are independent.

    :param logit_leaves: int64 [outputs], the leaf of each; every leaf is there.
    """
    given = np.empty((len(probabilities), leaves), dtype=np.float32)
    given[:, logit_leaves] = probabilities
    for leaf in np.flatnonzero(np.bincount(logit_leaves, minlength=leaves) > 1):
        parts = probabilities[:, logit_leaves == leaf]
        given[:, leaf] = 1 - np.prod(1 - parts, axis=1) if multi_label else np.minimum(parts.sum(axis=1), 1)
    return given


def batch_shape(texts: int, tokens: int, max_tokens: int) -> tuple[int, int]:
    """The texts and tokens that a batch is filled up to: one of few shapes.

    The runtime keeps 2 to 6 MB for every shape that it has seen, so that a run over a large catalogue would grow by
    gigabytes. More than half a batch is filled up to a whole one. Smaller batches, the longest texts of those that are
    encoded together, come in every length and number: they are filled up in both.

    :param tokens: of the longest text.
    :param max_tokens: that a text may have.
    """
    full = BATCH_TOKENS // tokens
    if texts > full // 2:
        return max(texts, full), tokens
    step, fewest = (SHORT_STEP, FEW) if tokens <= WIDTH_STEP else (WIDTH_STEP, FEWEST)
    width = max(tokens, min(max_tokens, -(-tokens // step) * step))
    size = max(fewest, 1 << (texts - 1).bit_length())
    return max(texts, min(size, BATCH_TOKENS // width)), width


def batches_by_length(lengths: Sequence[int], most: int = BATCH_TOKENS) -> list[Integers]:
    """Places of texts grouped so that a batch holds texts of like length and at most `most` padded tokens."""
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")
    batches, start = [], 0
    for end in range(1, len(order) + 1):
        if end == len(order) or (end + 1 - start) * lengths[order[end]] > most:
            batches.append(order[start:end])
            start = end
    return batches
