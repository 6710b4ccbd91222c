"""Training a reranker: judged queries and their products' texts become a reranker folder."""

import importlib.metadata
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transformers import set_seed
from transformers.utils import logging as transformers_logging

from shelfwise.errors import UsageError
from shelfwise.messages import tell
from shelfwise_indexer.backbone import resolve
from shelfwise_indexer.cross_encoder import begin_cross_encoder
from shelfwise_indexer.judgements import Judgements
from shelfwise_indexer.rerank_fit import RerankFitSettings, fit_reranker
from shelfwise_indexer.rerank_lists import hold_back, read_lists
from shelfwise_indexer.reranker_export import check_target, write_reranker

LIBRARIES = ("shelfwise", "torch", "transformers", "sentence-transformers", "openvino", "tokenizers")
EXPORT_SAMPLES = 16


@dataclass(frozen=True, slots=True)
class RerankSettings:
    """What a reranker is trained with; kept in `reranker.json`."""

    backbone: str = "english"
    """As `shelfwise train` has it, or a cross-encoder to go on from."""
    text_fields: tuple[str, ...] = ("title",)
    max_tokens: int = 64
    """Of query and product together."""
    blend: float = 0.7
    """Weight of its score against the fused one."""
    held_back: float = 0.1
    """Share of the queries."""
    fit: RerankFitSettings = field(default_factory=RerankFitSettings)


@dataclass(frozen=True, slots=True)
class TrainedReranker:
    """What a training gave."""

    reranker: Path
    version: str
    queries: int
    pairs: int
    held_back: int
    """Queries that stopped the training."""
    ndcg: float | None
    """Of the order of these queries' judged products, nDCG@10; slightly optimistic, since it chose the epoch."""
    missing: int
    """Judgements of products that the catalogue does not have."""
    rejected: int
    """Lines of the catalogue that are no products."""

    def to_json(self) -> dict[str, Any]:
        """What `shelfwise rerank train` prints."""
        return asdict(self) | {
            "reranker": str(self.reranker),
            "ndcg": None if self.ndcg is None else round(self.ndcg, 4),
        }


def train_reranker(
    judgements: Judgements,
    catalogue: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: RerankSettings | None = None,
) -> TrainedReranker:
    """Fit a cross-encoder to graded judgements and write it as a reranker.

    A part of the queries is held back to choose the epoch; no query, capitals aside, is in both parts.

    :raises JudgementError, CatalogueError, CrossEncoderError, UsageError: before anything is written to `out`.
    :raises ExportError: the exported model does not score as the trained one.
    """
    settings = settings or RerankSettings()
    if (processes := int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        raise UsageError(
            f"a reranker is trained by one process, this is one of {processes}: run `shelfwise rerank train` without "
            "`accelerate launch` or torchrun"
        )
    folder = Path(out)
    check_target(folder)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    backbone = resolve(settings.backbone, [query.text for query in judgements.queries])
    set_seed(settings.fit.seed)
    model = begin_cross_encoder(backbone.source, settings.max_tokens)
    tokenizer = model.tokenizer.backend_tokenizer
    read = read_lists(judgements, os.fspath(catalogue), settings.text_fields, tokenizer, settings.max_tokens)
    train, held_back = hold_back(read.lists, settings.held_back, settings.fit.seed)
    tell(
        f"training on {sum(len(one.texts) for one in train)} judgements of {len(train)} queries, {len(held_back)} "
        f"queries held back, backbone {backbone.name}"
        + (f"; {read.missing} judged products are not in the catalogue" if read.missing else "")
    )
    ndcg = fit_reranker(model, train, held_back, settings.fit)
    info = {
        "text_fields": list(settings.text_fields),
        "blend": settings.blend,
        "backbone": {"name": backbone.name, "licence": backbone.licence},
        "data": {"sha256": judgements.sha256, "queries": len(train), "held_back": len(held_back)},
        "metrics": {"ndcg@10": ndcg},
        "settings": asdict(settings),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    samples = [(one.query, one.texts[0]) for one in read.lists[:EXPORT_SAMPLES]]
    written = write_reranker(model, folder, info, samples, checkpoint=True)
    counts = len(train), read.pairs, len(held_back)
    return TrainedReranker(folder, written.version, *counts, ndcg, read.missing, read.rejected)
