"""The command line of rerankers."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from shelfwise.console import REJECTED, emit, listed_names
from shelfwise_indexer.cli_proof import say_what_was_read
from shelfwise_indexer.seeds import LARGEST_SEED


@click.group()
def rerank() -> None:
    """Cross-encoders that read the first hits of a search once more, each beside the query.

    \b
    shelfwise rerank export cross-encoder/ms-marco-MiniLM-L6-v2 --out reranker
    shelfwise rerank train judged.jsonl --catalogue catalogue.jsonl --out reranker
    shelfwise search "red kettle" --alias products --bundle bundle --rerank 50 --reranker reranker
    """


_out = click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the reranker.")
_fields = click.option(
    "--text-fields", default="title", show_default=True, callback=listed_names, help="Fields or attributes, in order."
)
_blend = partial(
    click.option,
    "--blend",
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Weight of its score against the search's own; 1: its score alone.",
)


@rerank.command()
@click.argument("model")
@_out
@_fields
@click.option("--max-tokens", type=click.IntRange(8), help="Of query and product.  [default: 128, or the model's own]")
@_blend(default=1.0)
def export(model: str, out: Path, text_fields: tuple[str, ...], max_tokens: int | None, blend: float) -> None:
    """Write MODEL, a cross-encoder's folder or hub name, as a folder that `search --reranker` reads.

    \b
    shelfwise rerank export cross-encoder/ms-marco-MiniLM-L6-v2 --out reranker --text-fields title,description
    """
    from shelfwise_indexer.reranker_export import export_cross_encoder

    emit(export_cross_encoder(model, out, text_fields, max_tokens, blend))


@rerank.command()
@click.argument("judgements")
@click.option("--catalogue", required=True, help="The judged products (.jsonl, .csv, .parquet; also .gz).")
@_out
@click.option("--queries", metavar="FILE", help="JSON lines: id, query. Needed with TREC qrels.")
@_fields
@click.option(
    "--backbone", default="english", show_default=True, help="english, multilingual, chinese, a folder or hub name."
)
@click.option("--epochs", type=click.IntRange(1), help="At most; stops early.  [default: 3]")
@click.option("--max-tokens", default=64, show_default=True, type=click.IntRange(8), help="Of query and product.")
@_blend(default=0.7)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0, LARGEST_SEED), help="Same seed: same reranker."
)
def train(
    judgements: str,
    catalogue: str,
    out: Path,
    queries: str | None,
    text_fields: tuple[str, ...],
    backbone: str,
    epochs: int | None,
    max_tokens: int,
    blend: float,
    seed: int,
) -> None:
    """Fit a cross-encoder to JUDGEMENTS (TREC qrels, or JSON lines: query, id, grade) and write it as a reranker.

    \b
    shelfwise rerank train judged.jsonl --catalogue catalogue.jsonl --out reranker
    shelfwise rerank train judged.qrels --queries queries.jsonl --catalogue catalogue.jsonl --out reranker
    """
    from shelfwise_indexer.judgements import read_judgements
    from shelfwise_indexer.rerank_training import RerankSettings, train_reranker

    judged = read_judgements(judgements, queries)
    say_what_was_read(judged)
    settings = RerankSettings(backbone, text_fields, max_tokens, blend)
    fit = replace(settings.fit, seed=seed, epochs=epochs or settings.fit.epochs)
    trained = train_reranker(judged, catalogue, out, replace(settings, fit=fit))
    emit(trained.to_json())
    if trained.rejected or judged.rejected or judged.bad_queries:
        sys.exit(REJECTED)
