"""The settings: every choice of a training, with its default."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import Field

from shelfwise.errors import UsageError
from shelfwise.product import DEFAULT_TEXT_FIELDS
from shelfwise.text import field_names
from shelfwise_indexer.augment import AugmentSettings
from shelfwise_indexer.calibrate import PROMISED_PRECISION
from shelfwise_indexer.compress import CompressSettings
from shelfwise_indexer.distillation import DistilSettings
from shelfwise_indexer.encoder_fit import EncoderFitSettings
from shelfwise_indexer.fit import FitSettings
from shelfwise_indexer.heads import HeadKind
from shelfwise_indexer.lexical import LexicalSettings
from shelfwise_indexer.loss import LossSettings
from shelfwise_indexer.memory import MemorySettings
from shelfwise_indexer.preparation import PreparationSettings
from shelfwise_indexer.refit import RefitSettings

TUNED_SHARE = 0.6  # with the linear head
RETENTION = 4.0


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """What a bundle is trained with; kept in `bundle.json`."""

    backbone: Annotated[str, Field(description="auto, english, multilingual, chinese, a folder or a hub name.")] = (
        "auto"
    )
    encoder: Annotated[
        str | None,
        Field(
            description="A second model for the embedding, named as the backbone is; default: the backbone gives it."
        ),
    ] = None
    text_fields: Annotated[
        tuple[str, ...], Field(min_length=1, description='Fields or attributes, in order; "description:40" cuts at 40.')
    ] = DEFAULT_TEXT_FIELDS
    max_tokens: Annotated[int, Field(ge=4, description="Of a text; the rest is cut.")] = 64
    field_dropout: Annotated[
        float, Field(ge=0, le=1, description="Share of readings in training that lack a field.")
    ] = 0.3
    category_names: Annotated[bool, Field(description="Learn each category's name as one more product of it.")] = True
    head: Annotated[HeadKind, Field(description="What reads the backbone's tokens.")] = "linear"
    dropout: Annotated[float, Field(ge=0, lt=1, description="Before the head's last layer.")] = 0.1
    retention: Annotated[
        float | None,
        Field(
            ge=0,
            description="How hard the embedding is held near the backbone's own, for search; "
            "default 4, 0 with a separate encoder.",
        ),
    ] = None
    tuned_share: Annotated[
        float | None,
        Field(
            gt=0,
            le=1,
            description="Of the way from the backbone to the tuned weights; "
            "default .6, 1 but for linear or with a separate encoder.",
        ),
    ] = None
    auto_accept_precision: Annotated[
        float, Field(gt=0, lt=1, description="Share of the categories accepted without a person that must be right.")
    ] = PROMISED_PRECISION
    use_held_back: Annotated[
        bool,
        Field(description="Let head, memory and words learn the held-back part too, after it has measured."),
    ] = True
    dimension: Annotated[
        int | None,
        Field(ge=1, description="Numbers that an embedding is cut to once it is trained; default: all of them."),
    ] = None
    l1: Annotated[float, Field(ge=0, description="Weight of the sum of the head's absolute weights.")] = 0.0
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    fit: FitSettings = field(default_factory=FitSettings)
    encoder_fit: EncoderFitSettings = field(default_factory=EncoderFitSettings)
    refit: RefitSettings = field(default_factory=RefitSettings)
    memory: MemorySettings = field(default_factory=MemorySettings)
    lexical: LexicalSettings = field(default_factory=LexicalSettings)
    distil: DistilSettings = field(default_factory=DistilSettings)
    preparation: PreparationSettings = field(default_factory=PreparationSettings)
    compress: CompressSettings = field(default_factory=CompressSettings)

    def __post_init__(self) -> None:
        for name, model in (("backbone", self.backbone), ("encoder", self.encoder)):
            if model is not None and not model.strip():
                raise UsageError(
                    f"{name} = {model!r}: expected auto, english, multilingual, chinese, a folder or a name"
                )
        names = field_names(self.text_fields)
        if twice := [name for name, times in Counter(names).items() if times > 1]:
            raise UsageError(f"text_fields names {twice[0]} twice: name each field once")
        if self.tuned_share is not None and not 0 < self.tuned_share <= 1:
            raise UsageError(f"tuned_share must be above 0 and at most 1, got {self.tuned_share}")
        if self.head != "linear" and self.tuned_share not in (None, 1.0):
            raise UsageError(
                f"tuned_share {self.tuned_share} needs the linear head, which can be learnt again: got {self.head}"
            )

    @property
    def effective_tuned_share(self) -> float:
        """`tuned_share`, or its default for the head; a trunk that search does not read need not go back."""
        return self.tuned_share or (TUNED_SHARE if self.head == "linear" and self.encoder is None else 1.0)

    @property
    def effective_retention(self) -> float:
        """`retention`, or its default: nothing to hold where search reads another model."""
        if self.retention is not None:
            return self.retention
        return RETENTION if self.encoder is None else 0.0


def uncompressed(settings: TrainSettings) -> TrainSettings:
    """The settings without a compressed model: of trainings that are only scored, or serve few products."""
    return replace(settings, compress=replace(settings.compress, int8=False))


def classifier_only(settings: TrainSettings) -> TrainSettings:
    """The settings of the same classifier without an encoder: of trainings that are made for its scores."""
    return replace(
        settings, encoder=None, retention=settings.effective_retention, tuned_share=settings.effective_tuned_share
    )
