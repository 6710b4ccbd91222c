"""A reranker made by hand: each word has a vector that a person chose, a pair scores the product of the two sums."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import openvino as ov
import orjson
from openvino import opset13 as ops
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from shelfwise.reranker import FORMAT, Reranker, content_version

SPECIAL = ["[PAD]", "[UNK]", "[SEP]"]


def write_hand_reranker(
    folder: Path,
    words: Mapping[str, Sequence[float]],
    text_fields: Sequence[str] = ("title",),
    max_tokens: int = 32,
    blend: float = 1.0,
) -> Reranker:
    """Write the folder and load it; any other word counts as nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="$A", pair="$A [SEP] $B:1", special_tokens=[("[SEP]", vocabulary["[SEP]"])]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    known = np.array(list(words.values()), dtype=np.float32)
    table = np.concatenate([np.zeros((len(SPECIAL), known.shape[1]), dtype=np.float32), known])
    ov.save_model(_model(table), folder / "model.xml", compress_to_fp16=False)
    info = {
        "format": FORMAT,
        "max_tokens": max_tokens,
        "pad_token_id": 0,
        "text_fields": list(text_fields),
        "blend": blend,
    }
    info["version"] = content_version(folder, info)
    (folder / "reranker.json").write_bytes(orjson.dumps(info))
    return Reranker(folder)


def _model(table: np.ndarray) -> ov.Model:
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = [ops.parameter([-1, -1], np.int64, name=name) for name in names]
    vectors = ops.gather(ops.constant(table), inputs[0], np.int64(0))
    read, second = (ops.convert(given, np.float32) for given in inputs[1:])
    both = ops.multiply(vectors, ops.unsqueeze(read, np.int64(2)))
    product = ops.reduce_sum(ops.multiply(both, ops.unsqueeze(second, np.int64(2))), np.array([1]), keep_dims=False)
    query = ops.subtract(ops.reduce_sum(both, np.array([1]), keep_dims=False), product)
    scores = ops.reduce_sum(ops.multiply(query, product), np.array([1]), keep_dims=True)
    for node, name in zip((*inputs, scores), (*names, "scores"), strict=True):
        node.output(0).get_tensor().set_names({name})
    return ov.Model([scores], inputs, "by_hand")
