"""The interaction head, against the same computed token by token."""

import numpy as np
import pytest
import torch

from shelfwise_indexer.cross_encoder import CrossEncoderError, begin_cross_encoder, load_cross_encoder
from shelfwise_indexer.interaction import Interaction
from tiny_backbone import write_tiny_backbone
from tiny_cross_encoder import write_tiny_cross_encoder

pytestmark = pytest.mark.model

CLS, SEP, PAD = 2, 3, 0


def unit(vector):
    return vector / np.linalg.norm(vector)


def slowly(tokens, ids):
    """Of one pair, without padding."""
    end = ids.index(SEP)
    query = [tokens[at] for at in range(end) if ids[at] != CLS]
    product = [tokens[at] for at in range(end, len(ids)) if ids[at] != SEP]
    closest = np.mean([max(unit(q) @ unit(p) for p in product) for q in query])
    cosine = unit(np.mean(query, axis=0)) @ unit(np.mean(product, axis=0))
    return 10 * closest + 5 * cosine - 7


def test_it_is_the_closest_tokens_and_the_cosine_whatever_the_padding():
    random = np.random.default_rng(0)
    pairs = [[CLS, 7, 8, SEP, 9, SEP], [CLS, 5, SEP, 6, 7, 8, 9, SEP], [CLS, 5, SEP, 5, SEP]]
    tokens = [random.normal(size=(len(ids), 4)).astype(np.float32) for ids in pairs]
    longest = max(map(len, pairs))
    features = {
        "input_ids": torch.tensor([ids + [PAD] * (longest - len(ids)) for ids in pairs]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in pairs]),
        "token_embeddings": torch.from_numpy(
            np.stack([np.pad(one, ((0, longest - len(one)), (0, 0)), constant_values=9) for one in tokens])
        ),
    }
    scores = Interaction(4, CLS, SEP)(features)["scores"]
    assert scores.shape == (3, 1)
    expected = [slowly(one, ids) for one, ids in zip(tokens, pairs, strict=True)]
    assert scores[:, 0].tolist() == pytest.approx(expected, abs=1e-5)


def test_texts_of_the_same_words_score_highest_before_any_training(tmp_path):
    backbone = write_tiny_backbone(tmp_path / "backbone", ["red mug", "blue kettle"])
    model = begin_cross_encoder(str(backbone), 16)
    same, other, empty = model.predict([("red mug", "red mug"), ("red mug", "blue kettle"), ("red mug", "")])
    assert same > other > empty


def test_a_backbone_is_no_cross_encoder_and_a_cross_encoder_is_gone_on_with(tmp_path):
    backbone = write_tiny_backbone(tmp_path / "backbone", ["red mug"])
    with pytest.raises(CrossEncoderError, match="was never trained to score pairs"):
        load_cross_encoder(str(backbone), 16)
    own = str(write_tiny_cross_encoder(tmp_path / "own", ["red mug"]))
    assert begin_cross_encoder(own, 16).predict([("red", "mug")]) == pytest.approx(
        load_cross_encoder(own, 16).predict([("red", "mug")])
    )
