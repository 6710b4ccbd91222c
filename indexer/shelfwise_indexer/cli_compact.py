"""The command line of compacting."""

import sys
from pathlib import Path

import click

from shelfwise.console import REJECTED, bundle_option, emit


@click.command()
@click.argument("catalogue")
@bundle_option
@click.option("--dimension", required=True, type=click.IntRange(1), help="Numbers of an embedding from now on.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder for the smaller bundle.")
def compact(catalogue: str, bundle: Path, dimension: int, out: Path) -> None:
    """Cut the embeddings of a bundle shorter without training it again; categories stay as they are, bit for bit.

    The products of CATALOGUE say which directions of an embedding matter; a fifth of them, at most 3,000, says what is
    lost: how many of the ten nearest products are still found. Vectors of another length need a new index.

    \b
    shelfwise compact catalogue.jsonl --bundle bundle --dimension 128 --out smaller
    """
    from shelfwise.bundle import Bundle
    from shelfwise_indexer.compact import compact as cut

    smaller = cut(Bundle.load(bundle), catalogue, dimension, out)
    emit({"bundle": str(out)} | smaller.to_json())
    if smaller.rejected:
        sys.exit(REJECTED)
