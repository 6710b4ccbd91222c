"""The starting point: the models that a training begins with, before they learn."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sentence_transformers import SentenceTransformer

from shelfwise.bundle import Bundle
from shelfwise.product import Product
from shelfwise.taxonomy import Taxonomy
from shelfwise.text import field_names
from shelfwise_indexer import own_encoder
from shelfwise_indexer.backbone import SAMPLE, Backbone, resolve
from shelfwise_indexer.cut import check_dimension, evenly
from shelfwise_indexer.model import load_trunk
from shelfwise_indexer.settings import TrainSettings
from shelfwise_indexer.student import Thinned, check_words, layers_of, thin


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """A trunk: a backbone's, or a teacher's with layers left out; and a separate encoder, if there is to be one."""

    backbone: Backbone
    trunk: SentenceTransformer
    thinned: Thinned | None
    second: Backbone | None
    """What the encoder comes from."""
    encoder: SentenceTransformer | None

    @classmethod
    def load(
        cls,
        settings: TrainSettings,
        start: Bundle | None,
        teacher: Bundle | None,
        train_part: Sequence[Product],
        device: str,
    ) -> "StartingPoint":
        """Load what the settings name, or take the models of the bundle that training continues from."""
        fields = field_names(settings.text_fields)
        texts = [train_part[row].text(fields) for row in evenly(len(train_part), SAMPLE)]
        before = start or teacher
        backbone = Backbone.of_bundle(before, "backbone", "checkpoint") if before else resolve(settings.backbone, texts)
        trunk = load_trunk(backbone.source, settings.max_tokens, device=device)
        thinned: Thinned | None = None
        if teacher:
            check_words(teacher, trunk)
            thinned = thin(trunk, layers_of(trunk, settings.distil.layers))
            backbone = replace(backbone, name=f"{backbone.name}, {len(thinned.kept)} layers")
        second = own_encoder.source_of(settings, start, texts)
        encoder: SentenceTransformer | None = None
        if second:
            encoder = own_encoder.load_encoder(second, backbone, trunk, texts, settings.max_tokens)
        models = cls(backbone, trunk, thinned, second, encoder)
        of = f"encoder {second.name}" if second else f"backbone {backbone.name}"
        check_dimension(settings.dimension, models.dimension, of)
        return models

    def __str__(self) -> str:
        return f"backbone {self.backbone.name}" + (f", encoder {self.second.name}" if self.second else "")

    @property
    def embedder(self) -> SentenceTransformer:
        """What gives the embedding."""
        return self.trunk if self.encoder is None else self.encoder

    @property
    def dimension(self) -> int:
        """Of the embedding, before it is cut."""
        return int(self.embedder.get_embedding_dimension() or 0)

    def identity(self) -> list[list[str]]:
        """What tells these models from others."""
        return [[one.name, one.source] for one in (self.backbone, self.second) if one]

    def lessons(
        self,
        train_part: Sequence[Product],
        taxonomy: Taxonomy,
        settings: TrainSettings,
        events: str | os.PathLike[str] | None,
    ) -> own_encoder.OwnEncoder | None:
        """The encoder with what it is to learn."""
        if self.encoder is None or self.second is None:
            return None
        return own_encoder.lessons(self.encoder, self.second, train_part, taxonomy, settings, events)

    def to_json(self, teacher: Bundle | None, digest: str) -> dict[str, Any]:
        """What `bundle.json` says of them."""
        about: dict[str, Any] = {"backbone": {"name": self.backbone.name, "licence": self.backbone.licence}}
        if teacher and self.thinned:
            about["distilled_from"] = self.thinned.to_json(teacher, self.trunk, digest)
        return about
