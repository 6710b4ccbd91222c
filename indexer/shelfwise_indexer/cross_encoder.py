"""The cross-encoder: loaded from a folder or a hub, or begun from a backbone."""

from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import Transformer

from shelfwise.errors import ShelfwiseError
from shelfwise_indexer.interaction import Interaction

HEAD = "interaction.safetensors"  # of a checkpoint whose scores an `Interaction` gives


class CrossEncoderError(ShelfwiseError):
    """A cross-encoder cannot be loaded or cannot be a reranker."""


def load_cross_encoder(name: str, max_tokens: int | None = None) -> CrossEncoder:
    """A cross-encoder by folder or hub name, its weights from safetensors; no code of its own is run.

    :param max_tokens: of query and product together; default: what the model reads.
    :raises CrossEncoderError: it cannot be loaded, does not give one score for a pair, or has no fast tokenizer.
    """
    model = _load(name, max_tokens)
    if not _reads_pairs(model):
        raise CrossEncoderError(
            f"{name} was never trained to score pairs: give a cross-encoder, or `shelfwise rerank train` one from it"
        )
    if model.num_labels != 1:
        raise CrossEncoderError(f"{name} gives {model.num_labels} outputs for a pair, a reranker gives one score")
    return model


def begin_cross_encoder(name: str, max_tokens: int) -> CrossEncoder:
    """A cross-encoder to train: that of the name, or a backbone with a new `Interaction`.

    :raises CrossEncoderError: as `load_cross_encoder`, or the backbone puts no tokens around the texts of a pair.
    """
    model = _load(name, max_tokens)
    if _reads_pairs(model):
        return load_cross_encoder(name, max_tokens)
    trunk = _trunk(name, max_tokens)
    tokenizer = cast(Any, trunk).tokenizer
    if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
        raise CrossEncoderError(
            f"{name} cannot read a query beside a product: expected a tokenizer with cls_token and sep_token, which a "
            "decoder's has not: give a backbone of the BERT family, or a cross-encoder"
        )
    embeddings = getattr(cast(Any, trunk).model, "embeddings", None)
    types = getattr(embeddings, "token_type_embeddings", None)
    if types is not None and types.num_embeddings > 1:
        with torch.no_grad():
            types.weight[1] = types.weight[0]  # made for single texts, it has never seen the second kind
    width = int(cast(Any, trunk).model.config.hidden_size)
    return _with_head(trunk, Interaction(width, int(tokenizer.cls_token_id), int(tokenizer.sep_token_id)))


def save_cross_encoder(model: CrossEncoder, folder: Path) -> None:
    """A folder that `load_cross_encoder` reads; safetensors only."""
    folder.mkdir(parents=True, exist_ok=True)
    head = list(model.children())[-1]
    if isinstance(head, Interaction):
        cast(Transformer, model[0]).save(str(folder))
        save_file(head.state_dict(), str(folder / HEAD))
    else:
        model.save_pretrained(str(folder), create_model_card=False)


def _load(name: str, max_tokens: int | None) -> CrossEncoder:
    try:
        if (Path(name) / HEAD).is_file():
            model = _checkpoint(name, max_tokens)
        else:
            options = {"use_safetensors": True}
            model = CrossEncoder(name, trust_remote_code=False, model_kwargs=options, max_length=max_tokens)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise CrossEncoderError(
            f"cross-encoder {name} cannot be loaded ({reason}): give a folder with model.safetensors that "
            "sentence-transformers can read, or a model name where a hub is reached"
        ) from error
    if not getattr(model.tokenizer, "is_fast", False):
        raise CrossEncoderError(f"{name} has no fast tokenizer (tokenizer.json): choose a model that has")
    limit = int(getattr(cast(Any, model).config, "max_position_embeddings", None) or 0)
    if max_tokens is not None and limit and max_tokens > limit:
        raise CrossEncoderError(f"{name} reads at most {limit} tokens, asked for {max_tokens}: lower --max-tokens")
    return model


def _checkpoint(name: str, max_tokens: int | None) -> CrossEncoder:
    trunk = _trunk(name, max_tokens)
    state = load_file(str(Path(name) / HEAD))
    tokenizer = cast(Any, trunk).tokenizer
    head = Interaction(state["whole.weight"].shape[1], int(tokenizer.cls_token_id), int(tokenizer.sep_token_id))
    head.load_state_dict(state)
    return _with_head(trunk, head)


def _trunk(name: str, max_tokens: int | None) -> Transformer:
    trunk: Transformer = Transformer(name, max_seq_length=max_tokens, model_kwargs={"use_safetensors": True})
    cast(Any, trunk).model.config.num_labels = 1  # what sentence-transformers takes for the outputs of the whole
    return trunk


def _with_head(trunk: Transformer, head: Interaction) -> CrossEncoder:
    model: CrossEncoder = CrossEncoder(modules=[trunk, head])
    return model


def _reads_pairs(model: CrossEncoder) -> bool:
    """Whether what was loaded had an output of its own, not one that loading made."""
    made = cast(Any, model).config.architectures or ()
    if any("CausalLM" in name for name in made):
        return False
    return len(list(model.children())) > 1 or any("SequenceClassification" in name for name in made)
