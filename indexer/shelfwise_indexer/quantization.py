"""Quantization: a bundle's exported model with the matrix products of its trunk in eight-bit integers.

Post-training and static: the scales of weights and activations come from sample texts, once. Before that the outliers
of some channels are moved from the activations to the weights (Xiao et al., "SmoothQuant: Accurate and Efficient
Post-Training Quantization for Large Language Models", ICML 2023). Of the categories' part only the likeness to the
remembered products is in integers, a product as large as a layer; the rest is small and stays exact.
"""

import contextlib
import io
import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openvino as ov

from shelfwise.bundle import Bundle
from shelfwise.encoder import MODEL, Integers, of_documents
from shelfwise.errors import ShelfwiseError
from shelfwise.processor import CORE
from shelfwise_indexer.graph import before, number_operations

SMOOTHING = 0.85  # how far outliers move to the weights; see docs/decisions/011
ACTIVATIONS = ("Gelu", "Relu", "Swish")
ATTENTION = "ScaledDotProductAttention"
ROWS_OF_TOKENS = 3  # dimensions: [texts, tokens, width]


class CompressionError(ShelfwiseError):
    """A model cannot be compressed."""


def quantize(bundle: Bundle, batches: Sequence[Mapping[str, Integers]], spared: bool) -> ov.Model:
    """A bundle's model for documents, with the trunk's matrix products in integers.

    :param batches: the inputs that its scales come from.
    :param spared: those products that read an activation function stay exact; most of the loss comes from them.
    :raises CompressionError: the library cannot take the backbone's graph.
    """
    # The library makes runtimes of its own and drops them, which may leave the thread it works in without a stack
    # for signals (docs/decisions/016): never this one.
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(_quantized, bundle, batches, spared).result()


def _quantized(bundle: Bundle, batches: Sequence[Mapping[str, Integers]], spared: bool) -> ov.Model:
    model = of_documents(CORE.read_model(bundle.path / MODEL))
    with contextlib.redirect_stdout(io.StringIO()):  # its log and its bars, which would be among a command's results
        nncf = _library()
        try:
            quantized: ov.Model = nncf.quantize(
                model,
                nncf.Dataset(batches),
                model_type=nncf.ModelType.TRANSFORMER,
                subset_size=len(batches),
                ignored_scope=nncf.IgnoredScope(names=left_exact(model, spared), validate=False),
                advanced_parameters=nncf.AdvancedQuantizationParameters(
                    disable_bias_correction=True,
                    smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=SMOOTHING),
                ),
            )
        except (RuntimeError, nncf.ValidationError, nncf.InternalError, nncf.UnsupportedModelError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise CompressionError(f"NNCF cannot compress this backbone ({reason})") from error
    number_operations(quantized)
    return quantized


def left_exact(model: ov.Model, spared: bool) -> list[str]:
    """Names of the operations that stay as they are.

    Whatever the embedding does not come from (the heads, the words), but for the likeness to the remembered products;
    what works on one row for a text instead of one for each token; and attention itself, which the runtime computes in
    floats anyway.
    """
    trunk = before(model, "embedding")
    floats = {
        name
        for name, operation in trunk.items()
        if operation.get_type_name() == ATTENTION
        or len(operation.get_output_partial_shape(0)) < ROWS_OF_TOKENS
        or (spared and any(given.get_node().get_type_name() in ACTIVATIONS for given in operation.input_values()))
    }
    heads = {name: operation for name, operation in before(model, "logits").items() if name not in trunk}
    likeness = {name for name, operation in heads.items() if _is_likeness(operation)}
    return sorted(floats | (heads.keys() - likeness))


def _is_likeness(operation: ov.Node) -> bool:
    """Whether it multiplies by scaled integers: the remembered embeddings are the only ones of an exact model."""
    if operation.get_type_name() != "MatMul":
        return False
    factors = [given.get_node() for given in operation.input_value(1).get_node().input_values()]
    return any(one.get_type_name() == "Convert" and one.get_input_element_type(0) == ov.Type.i8 for one in factors)


def _library() -> Any:
    """NNCF, loaded when it is needed, and without the figures on its use that it sends to its maker by default."""
    os.environ.setdefault("NNCF_CI", "1")
    import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf
