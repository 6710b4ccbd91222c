"""A BERT small enough for unit tests, built from a config: two layers, 32 dimensions, random weights, its own words."""

from collections.abc import Iterable
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def write_tiny_backbone(
    folder: Path,
    texts: Iterable[str],
    prompts: dict[str, str] | None = None,
    layers: int = 2,
    deviation: float = 0.02,
) -> Path:
    """Write a sentence-transformers folder whose vocabulary is the words of the texts.

    :param deviation: of the random weights; of BERT's own a layer hardly changes what it is given.
    """
    words = sorted({word for text in texts for word in text.lower().split()} | {"query", "passage", ":"})
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            num_hidden_layers=layers,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            initializer_range=deviation,
        )
    )
    bare = folder.with_name(folder.name + "-bert")
    model.save_pretrained(bare)
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, mask_token="[MASK]", **names).save_pretrained(bare)
    transformer = Transformer(str(bare), max_seq_length=64)
    pooling = Pooling(32, pooling_mode="mean")
    SentenceTransformer(modules=[transformer, pooling, Normalize()], prompts=prompts or {}, device="cpu").save(
        str(folder), create_model_card=False
    )
    return folder
