"""The reranker: a cross-encoder that reads a query and a product together and says how well they fit."""

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from tokenizers import Encoding

from shelfwise.bundle import content_hash, tokenizer_of, unreadable
from shelfwise.encoder import Floats, batches_by_length, compiled, network, padded
from shelfwise.errors import InvalidReranker
from shelfwise.product import TEXT_FIELDS, Product
from shelfwise.source import attributes_of
from shelfwise.text import TextRecipe, field_names

FORMAT = 1
MODEL_FILES = ("model.xml", "model.bin", "tokenizer.json")
# What changes a score or an order, and so belongs to the version beside the files.
VERSIONED_SETTINGS = ("format", "max_tokens", "pad_token_id", "text_fields", "blend")
_AGAIN = "copy it again, or write it again with `shelfwise rerank export` or `shelfwise rerank train`"


class Reranker:
    """A folder with a cross-encoder, ready to run on this processor (OpenVINO; no torch). Threads may share it.

    :raises InvalidReranker: the folder is not there, a file of it is missing, damaged or changed since it was written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.info = _read(self.path)
        self._tokenizer = tokenizer_of(self.path, damaged=InvalidReranker)
        self._recipe = TextRecipe(self.text_fields, self._tokenizer, self.max_tokens)
        self._tokenizer.enable_truncation(self.max_tokens, strategy="longest_first")
        self._tokenizer.no_padding()
        model = compiled(network(self.path, damaged=InvalidReranker), "f32")
        self._inputs = {name for port in model.inputs for name in port.names}
        self._request = model.create_infer_request()
        self._lock = threading.Lock()  # a request runs one batch at a time

    @property
    def version(self) -> str:
        """Content hash, 12 hex digits: equal versions give equal orders."""
        return str(self.info["version"])

    @property
    def max_tokens(self) -> int:
        """Tokens of query and product together that are read, special ones included; the longer one is cut first."""
        return int(self.info["max_tokens"])

    @property
    def text_fields(self) -> tuple[str, ...]:
        """Product fields that make the text, in order, some with a budget of tokens (`description:40`)."""
        return tuple(self.info["text_fields"])

    @property
    def blend(self) -> float:
        """Weight of its score against the fused one, 0 to 1; 1: its score alone makes the order."""
        return float(self.info["blend"])

    @property
    def sources(self) -> tuple[str, ...]:
        """Where the text fields lie in an indexed document."""
        return tuple(name if name in TEXT_FIELDS else f"attributes.{name}" for name in field_names(self.text_fields))

    def text(self, found: Mapping[str, Any]) -> str:
        """What it reads of a product.

        :param found: an entry of the server's `hits.hits` whose `_source` holds `sources`.
        """
        source = found["_source"]
        given = {name: source[name] for name in TEXT_FIELDS if source.get(name) is not None}
        product = Product(id=str(found["_id"]), **({"title": ""} | given), attributes=attributes_of(source))
        return self._recipe.text(product)

    def score(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """How well each product answers its query, float32 [n], unbounded logits; those of one query compare.

        :param pairs: query and product text.
        """
        scores = np.empty(len(pairs), dtype=np.float32)
        encodings = self._tokenizer.encode_batch(list(pairs))
        for batch in batches_by_length([len(encoding) for encoding in encodings]):
            scores[batch] = self._run([encodings[place] for place in batch])
        return scores

    def _run(self, encodings: Sequence[Encoding]) -> Floats:
        inputs = {
            "input_ids": padded([one.ids for one in encodings], int(self.info["pad_token_id"])),
            "attention_mask": padded([one.attention_mask for one in encodings], 0),
            "token_type_ids": padded([one.type_ids for one in encodings], 0),
        }
        with self._lock:
            outputs = self._request.infer({name: inputs[name] for name in self._inputs})
            return np.array(outputs["scores"], dtype=np.float32).reshape(-1)


def content_version(folder: Path, info: Mapping[str, Any]) -> str:
    """Hash of the files and settings that make an order, 12 hex digits.

    :raises InvalidReranker: one of the files is missing or cannot be read.
    """
    try:
        return content_hash(folder, {name: info[name] for name in VERSIONED_SETTINGS}, MODEL_FILES)
    except FileNotFoundError as error:
        raise InvalidReranker(f"{folder} is incomplete: {Path(error.filename).name} is missing; {_AGAIN}") from None
    except OSError as error:
        raise InvalidReranker(unreadable(folder, error)) from None


def _read(folder: Path) -> Mapping[str, Any]:
    try:
        info = orjson.loads((folder / "reranker.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidReranker(
            f"{folder} is not a reranker: reranker.json is missing; `shelfwise rerank export MODEL --out {folder}` "
            f"or `shelfwise rerank train JUDGEMENTS --catalogue CATALOGUE --out {folder}` makes one"
        ) from None
    except OSError as error:
        raise InvalidReranker(unreadable(folder, error)) from None
    except orjson.JSONDecodeError as error:
        raise InvalidReranker(f"{folder} is damaged ({error}): {_AGAIN}") from None
    if not isinstance(info, dict) or (missing := {"version", *VERSIONED_SETTINGS} - info.keys()):
        lacking = sorted(missing) if isinstance(info, dict) else "everything"
        raise InvalidReranker(f"{folder}/reranker.json lacks {lacking}: {_AGAIN}")
    if info["format"] != FORMAT:
        raise InvalidReranker(
            f"{folder} has reranker format {info['format']}, this shelfwise reads {FORMAT}: write it again or install "
            "the shelfwise that wrote it"
        )
    if (found := content_version(folder, info)) != info["version"]:
        raise InvalidReranker(
            f"{folder} was changed since it was written (its files hash to {found}, reranker.json says "
            f"{info['version']}): {_AGAIN}"
        )
    return info
