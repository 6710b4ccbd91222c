"""The student: a bundle of fewer layers, learnt from a bundle of more.

It starts as its teacher with layers left out (Sanh et al., "DistilBERT", NeurIPS 2019 workshop) and is trained to give
the teacher's embedding and the teacher's probabilities of the same texts, and what the labels say.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from torch import Tensor, nn

from shelfwise.bundle import Bundle
from shelfwise.encoder import Encoded
from shelfwise.messages import tell
from shelfwise.product import Product
from shelfwise.taxonomy import Taxonomy, some_paths
from shelfwise_indexer.cut import NEIGHBOURS, recall_of_enough
from shelfwise_indexer.evaluate import score
from shelfwise_indexer.export import load_checkpoint
from shelfwise_indexer.fit import Texts
from shelfwise_indexer.memory import MemoryHead
from shelfwise_indexer.model import BackboneError, ShelfModel
from shelfwise_indexer.preparation import TrainingError
from shelfwise_indexer.refit import of_texts


@dataclass(frozen=True, slots=True)
class Thinned:
    """A trunk of which layers were left out: those that stayed (0 = first), how many there were, parameters before."""

    kept: tuple[int, ...]
    layers: int
    parameters: int

    def to_json(self, teacher: Bundle, trunk: SentenceTransformer, digest: str) -> dict[str, Any]:
        """What `bundle.json` says under `distilled_from` of a student that stands on this trunk.

        :param digest: of the student's catalogue. On another the teacher may have been trained on what is held back,
            and its scores may be too good.
        """
        return {
            "version": teacher.version,
            "layers": len(self.kept),
            "teacher_layers": self.layers,
            "parameters": parameters_of(trunk),
            "teacher_parameters": self.parameters,
            "same_data": teacher.info.get("data", {}).get("sha256") == digest,
        }


def layers_of(teacher: SentenceTransformer, wanted: int | None) -> int:
    """How many layers a student keeps: those wanted, or every other one.

    :raises BackboneError: the teacher has fewer, or it has no layers that can be left out.
    """
    there = len(_layers(teacher)[1])
    if wanted is not None and not 1 <= wanted <= there:
        raise BackboneError(f"the teacher has {there} layers, asked to keep {wanted}: give --layers from 1 to {there}")
    return wanted or (there + 1) // 2


def thin(trunk: SentenceTransformer, layers: int) -> Thinned:
    """Leave layers out, in place; those that stay are evenly spread, the first and the last among them.

    :raises BackboneError: as `layers_of`.
    """
    layers_of(trunk, layers)
    before = parameters_of(trunk)
    holder, stack, name = _layers(trunk)
    kept = spread(len(stack), layers)
    setattr(holder, name, nn.ModuleList(stack[place] for place in kept))
    config = cast(Any, trunk[0]).model.config
    config.num_hidden_layers = layers
    if len(kinds := getattr(config, "layer_types", None) or ()) == len(stack):  # one for each layer
        config.layer_types = [kinds[place] for place in kept]
    return Thinned(kept, len(stack), before)


def spread(there: int, kept: int) -> tuple[int, ...]:
    """Places of layers evenly spread over a stack, the first always, the last wherever there are two."""
    return tuple(int(place + 0.5) for place in np.linspace(0, there - 1, kept))


def parameters_of(module: nn.Module) -> int:
    """How many numbers it has learnt."""
    return sum(weight.numel() for weight in module.parameters())


def check_words(teacher: Bundle, trunk: SentenceTransformer) -> None:
    """See that the teacher's checkpoint reads the words that its exported model reads.

    :raises BackboneError: it does not: one of the two is of another bundle.
    """
    read = Tokenizer.from_file(str(teacher.path / "tokenizer.json")).get_vocab()
    if read != trunk.tokenizer.get_vocab():
        raise BackboneError(
            f"{teacher.path}: its checkpoint reads another vocabulary than its model, so one of them is of another "
            "bundle: copy the bundle again or train it again"
        )


def taxonomy_of(teacher: Bundle, learnt: Taxonomy) -> Taxonomy:
    """The student's taxonomy: the teacher's, which must have the catalogue's leaves.

    :param learnt: of the catalogue.
    :raises TrainingError: the teacher does not know one of them.
    """
    if new := [leaf for leaf in learnt.leaves if leaf not in teacher.taxonomy.leaf_number]:
        raise TrainingError(
            f"the teacher {teacher.path} does not know {len(new)} of the catalogue's categories ({some_paths(new)}): "
            "teach it with `shelfwise train --from` first, or give a catalogue of its categories"
        )
    return teacher.taxonomy


def taught(teacher: Bundle, texts: Texts, device: str) -> Texts:
    """The texts with what the teacher gives of each view: its embedding, and the logits of its trained head.

    Its memory and its words are left out. They know the products that they were made of by heart and would say of them
    what the labels say already; the student gets a memory and words of its own.
    """
    model = load_checkpoint(teacher, device).eval()
    seen = [of_texts(model, tokens, partial(_said, model)).numpy() for tokens in texts.tokens]
    vectors = [np.ascontiguousarray(part[:, : teacher.dimension]) for part in seen]
    logits = [np.ascontiguousarray(part[:, teacher.dimension :]) for part in seen]
    return replace(texts, original=vectors, taught=logits)


def against_teacher(teacher: Bundle, held_back: Sequence[Product], own: Encoded, weighted_f1: float) -> dict[str, Any]:
    """What a student lost on held-back products, as `bundle.json` has it under `distilled_from`.

    A teacher that was trained on this catalogue without a validation file has learnt them in the end, and its score is
    too good: `teacher_uses_held_back` says whether it learns what is held back from it.

    :param own: the products as the student encodes them.
    :param weighted_f1: its own, mean over the levels.
    """
    if not held_back:
        return {"products": 0}
    theirs = teacher.encoder.encode_documents([teacher.text(product) for product in held_back])
    truths = [product.categories for product in held_back]
    scores = score(teacher.taxonomy, theirs.probabilities, truths, teacher.multi_label)
    nearest = recall_of_enough(own.vectors, theirs.vectors)
    if nearest is not None:
        tell(f"the student finds {nearest:.4f} of the teacher's {NEIGHBOURS} nearest products")
    tell(f"mean weighted F1 of the student {weighted_f1:.4f}, of the teacher {scores.mean_weighted_f1:.4f}")
    return {
        "products": len(held_back),
        "weighted_f1": round(weighted_f1, 4),
        "teacher_uses_held_back": bool(teacher.info.get("data", {}).get("used_held_back")),
        "teacher_weighted_f1": round(scores.mean_weighted_f1, 4),
        "recall_at_10": None if nearest is None else round(nearest, 4),
    }


def _layers(trunk: SentenceTransformer) -> tuple[nn.Module, nn.ModuleList, str]:
    """The one stack of like layers of an encoder, what holds it, and its name there."""
    encoder = cast(Any, trunk[0]).model
    wanted = getattr(encoder.config, "num_hidden_layers", None)
    found = [
        (holder, child, name)
        for holder in encoder.modules()
        for name, child in holder.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == wanted and len({type(layer) for layer in child}) == 1
    ]
    if len(found) != 1:
        kind = type(encoder).__name__
        raise BackboneError(
            f"no layer of {kind} can be left out: expected one list of as many layers as its config says ({wanted}), "
            f"found {len(found)}: distil a bundle whose backbone is of the BERT family"
        )
    return found[0]


def _said(model: ShelfModel, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Embedding and logits side by side, float [n, dimension + leaves]; the head in float32, as it is exported."""
    embedding, pooled, tokens = model.read(input_ids, attention_mask)
    head = model.head
    with torch.autocast(input_ids.device.type, enabled=False):
        if isinstance(head, MemoryHead):
            logits = head.linear(pooled.float(), tokens.float(), attention_mask) / cast(Tensor, head.mixing)[2]
        else:
            logits = head(pooled.float(), tokens.float(), attention_mask)
        if model.grouping is not None:
            logits = model.grouping(logits)
        return torch.cat([nn.functional.normalize(embedding.float(), dim=-1), logits], dim=1)
