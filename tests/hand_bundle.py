"""A bundle made by hand: each word has a vector that a person chose, a text is their normalised sum.

It is a real bundle (OpenVINO model, tokenizer, taxonomy, version) that runs through the real encoder.
"""

import shutil
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

from shelfwise.bundle import FORMAT, Bundle, content_hash, content_version
from shelfwise.compressed import FILES
from shelfwise.taxonomy import Path as CategoryPath
from shelfwise.taxonomy import Taxonomy

PAD, UNKNOWN = "[PAD]", "[UNK]"


def write_hand_bundle(
    folder: Path,
    words: Mapping[str, Sequence[float]],
    leaves: Sequence[CategoryPath] = (("Things",),),
    threshold: float = 0.5,
    label_thresholds: Sequence[float] | None = None,
) -> Bundle:
    """Write the bundle and load it.

    :param words: lower-case word, or one Chinese character, to its vector. Any other word stands for nothing: a text
        of such words only has the vector of all ones, normalised.
    :param leaves: the taxonomy; leaf number n is as probable as dimension n of the vector is large.
    :param label_thresholds: of each leaf, for a bundle whose products may be in several.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {word: number for number, word in enumerate([PAD, UNKNOWN, *words])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))

    known = np.array(list(words.values()), dtype=np.float32)
    dimension = known.shape[1]
    nothing = np.full((1, dimension), 1e-3, dtype=np.float32)
    table = np.concatenate([np.zeros_like(nothing), nothing, known])
    taxonomy = Taxonomy.of(leaves)
    (folder / "taxonomy.json").write_bytes(orjson.dumps(taxonomy.to_json()))
    ov.save_model(_model(table, len(taxonomy.leaves)), folder / "model.xml", compress_to_fp16=False)

    info = {
        "format": FORMAT,
        "dimension": dimension,
        "max_tokens": 64,
        "pad_token_id": 0,
        "text_fields": ["title", "description"],
        "prompts": {},
        "temperature": 1.0,
        "threshold": threshold,
    }
    if label_thresholds is not None:
        info["label_thresholds"] = list(label_thresholds)
    info["version"] = content_version(folder, info)
    (folder / "bundle.json").write_bytes(orjson.dumps(info))
    return Bundle.load(folder)


def _model(table: np.ndarray, leaves: int) -> ov.Model:
    input_ids = ops.parameter([-1, -1], np.int64, name="input_ids")
    attention_mask = ops.parameter([-1, -1], np.int64, name="attention_mask")
    mask = ops.unsqueeze(ops.convert(attention_mask, np.float32), np.int64(2))
    vectors = ops.gather(ops.constant(table), input_ids, np.int64(0))
    summed = ops.reduce_sum(ops.multiply(vectors, mask), np.array([1]), keep_dims=False)
    embedding = ops.normalize_l2(summed, np.array([1]), eps=1e-12, eps_mode="max")
    head = 10 * np.eye(table.shape[1], leaves, dtype=np.float32)
    logits = ops.matmul(embedding, ops.constant(head), transpose_a=False, transpose_b=False)
    for node, name in ((input_ids, "input_ids"), (attention_mask, "attention_mask")):
        node.output(0).get_tensor().set_names({name})
    for node, name in ((embedding, "embedding"), (logits, "logits")):
        node.output(0).get_tensor().set_names({name})
    return ov.Model([embedding, logits], [input_ids, attention_mask], "by_hand")


def add_hand_int8(bundle: Bundle) -> Bundle:
    """Give the bundle a compressed model, which computes what the exact one does, and load it again."""
    for exact, compressed in zip(("model.xml", "model.bin"), FILES, strict=True):
        shutil.copy(bundle.path / exact, bundle.path / compressed)
    loss = {"weighted_f1_lost": 0.0, "recall_at_10": 1.0, "products": 100}
    entry = {"kept": True, "hash": content_hash(bundle.path, {}, FILES), **loss}
    info = {**bundle.info, "compressed": {"int8": entry}}
    (bundle.path / "bundle.json").write_bytes(orjson.dumps(info))
    return Bundle.load(bundle.path)
