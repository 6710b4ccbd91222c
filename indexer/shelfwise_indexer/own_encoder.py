"""A separate encoder: a second model beside the classifier's, which gives the embedding."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from transformers import set_seed

from shelfwise.bundle import Bundle
from shelfwise.errors import UsageError
from shelfwise.messages import tell
from shelfwise.product import Product
from shelfwise.taxonomy import Taxonomy
from shelfwise.text import TextRecipe
from shelfwise_indexer.backbone import Backbone, resolve
from shelfwise_indexer.cut import MEASURED_ON, evenly
from shelfwise_indexer.encoder_fit import fit_encoder
from shelfwise_indexer.encoder_pairs import Batch, Pair, PairKind, Prompts, batches, bought_together, pairs_of
from shelfwise_indexer.encoder_retrieval import MEANING, retrieval
from shelfwise_indexer.export import ENCODER
from shelfwise_indexer.model import BackboneError, load_trunk
from shelfwise_indexer.preparation import TrainingError
from shelfwise_indexer.readings import document_prompt
from shelfwise_indexer.settings import TrainSettings

COMPARED = 2000  # texts whose tokens must be the same in both models
PROBE = "Café, 2-in-1 KETTLE (1.7 l)\u3000不锈钢壶 ﬁne-tuned №5 naïve ☕ x²"  # what tokenizers treat in different ways


@dataclass(frozen=True, slots=True)
class OwnEncoder:
    """The second model, and what it is to learn from."""

    model: SentenceTransformer
    backbone: Backbone
    pairs: Mapping[PairKind, Sequence[Pair]]
    batches: Mapping[PairKind, Sequence[Batch]]


def refuse_student(teacher: Bundle, settings: TrainSettings) -> None:
    """See that no separate encoder takes part in a distillation.

    :raises UsageError: the teacher has one, or the student is to have one.
    """
    if teacher.info.get(ENCODER):
        raise UsageError(
            f"the teacher {teacher.path} has a separate encoder, and a student has one model for both: distil a "
            "bundle without one"
        )
    if settings.encoder is not None:
        raise UsageError(
            f"a student gets its embedding from its teacher, not from a separate encoder ({settings.encoder}): "
            "give one of --encoder and --distil"
        )


def going_on(settings: TrainSettings, start: Bundle | None) -> TrainSettings:
    """The settings, with the encoder of the bundle that training continues from where they name none."""
    if start and settings.encoder is None and start.info.get(ENCODER):
        return replace(settings, encoder=start.info["settings"]["encoder"])
    return settings


def source_of(settings: TrainSettings, start: Bundle | None, texts: Sequence[str]) -> Backbone | None:
    """The second model comes from the bundle that training continues from, if it has the same; else as `--backbone`."""
    if settings.encoder is None:
        return None
    if start and start.info.get(ENCODER) and start.info["settings"]["encoder"] == settings.encoder:
        return Backbone.of_bundle(start, ENCODER, f"checkpoint/{ENCODER}")
    return resolve(settings.encoder, texts)


def load_encoder(
    encoder: Backbone, backbone: Backbone, trunk: SentenceTransformer, texts: Sequence[str], max_tokens: int
) -> SentenceTransformer:
    """Load the second model and let the trunk read its prompts: both are given the same tokens.

    :param texts: some of the catalogue's.
    :raises BackboneError: it cannot be loaded, or the two would not read the same tokens.
    """
    model = load_trunk(encoder.source, max_tokens, device=str(trunk.device))
    if not same_tokens(trunk, model, texts):
        raise BackboneError(
            f"the encoder {encoder.name} and the backbone {backbone.name} have different tokenizers, and a bundle "
            f"reads a text once for both: give --encoder {encoder.name} with a --backbone of the same family, or the "
            "same name for both"
        )
    trunk.prompts = dict(model.prompts)
    trunk.default_prompt_name = model.default_prompt_name
    return model


def same_tokens(one: SentenceTransformer, other: SentenceTransformer, texts: Sequence[str]) -> bool:
    """Whether both have one vocabulary and cut texts in the same way; of the texts some are compared."""
    if one.tokenizer.get_vocab() != other.tokenizer.get_vocab():
        return False
    if one.tokenizer.pad_token_id != other.tokenizer.pad_token_id:
        return False
    some = [PROBE, *(texts[row] for row in evenly(len(texts), COMPARED))]
    ours, theirs = (model.tokenizer(some, truncation=False)["input_ids"] for model in (one, other))
    return bool(ours == theirs)


def lessons(
    model: SentenceTransformer,
    backbone: Backbone,
    train: Sequence[Product],
    taxonomy: Taxonomy,
    settings: TrainSettings,
    events: str | os.PathLike[str] | None,
) -> OwnEncoder:
    """The second model with what it is to learn from the training part, and from an event log if there is one.

    :raises CatalogueError, TrainingError: the log cannot be read or teaches nothing, or no two texts make a pair.
    """
    seed = settings.fit.seed
    ids = {product.id for product in train}
    bought = [] if events is None else bought_together(events, ids, len(train), seed)
    texts = _texts(model, train, settings)
    pairs = pairs_of(train, texts, taxonomy, prompts_of(model), bought, seed)
    size = settings.encoder_fit.batch_size
    found = {kind: batches(some, size, seed) for kind, some in pairs.items()}
    if not any(found.values()):
        raise TrainingError("the encoder has nothing to learn from: no two products differ in title and category")
    return OwnEncoder(model, backbone, pairs, found)


def learn(own: OwnEncoder, held_back: Sequence[Product], settings: TrainSettings, folder: Path) -> dict[str, Any]:
    """Fit the second model in place, measured before and after on held-back products; the seed is set anew afterwards.

    :returns: what `bundle.json` says under `encoder`.
    """
    some = [held_back[row] for row in evenly(len(held_back), MEASURED_ON)]
    texts, prompts = _texts(own.model, some, settings), prompts_of(own.model)
    all_batches = [batch for its in own.batches.values() for batch in its]
    tell(f"fitting the encoder {own.backbone.name} on {sum(map(len, all_batches))} pairs in {len(all_batches)} batches")
    before = retrieval(own.model, some, texts, prompts).to_json()
    fit_encoder(own.model, all_batches, settings.encoder_fit, settings.fit.seed, folder)
    after = retrieval(own.model.eval(), some, texts, prompts).to_json()
    set_seed(settings.fit.seed)  # what the classifier learns next must not depend on how much was drawn here
    for name in MEANING:
        if after[name] is not None:
            shown = name.replace("_", " ")
            tell(f"encoder, {shown} on {len(some)} held-back products: {before[name]} → {after[name]}")
    return {
        "name": own.backbone.name,
        "licence": own.backbone.licence,
        "pairs": {
            kind: {"found": len(found), "used": sum(map(len, own.batches[kind]))} for kind, found in own.pairs.items()
        },
        "held_back": {"before": before, "after": after},
    }


def prompts_of(model: SentenceTransformer) -> Prompts:
    """What the runtime will put before queries and products."""
    return Prompts(model.prompts.get("query") or "", document_prompt(model))


def _texts(model: SentenceTransformer, products: Sequence[Product], settings: TrainSettings) -> list[str]:
    prompt = document_prompt(model)
    recipe = TextRecipe(settings.text_fields, model.tokenizer.backend_tokenizer, settings.max_tokens, prompt)
    return [recipe.text(product) for product in products]
