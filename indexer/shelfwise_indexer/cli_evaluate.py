"""The command line of the proof: what a bundle, a search or a recommendation is worth, measured."""

from pathlib import Path

import click
import orjson

from shelfwise.bundle import Bundle
from shelfwise.console import emit
from shelfwise.errors import UsageError


@click.group()
def evaluate() -> None:
    """Measure a classifier, a search or recommendations, beside what they must beat.

    \b
    shelfwise evaluate --help
    """


@evaluate.command()
@click.argument("catalogue")
@click.option("--validation", help="A catalogue to measure on; default: the part of CATALOGUE that train holds back.")
@click.option("--text-fields", default="title,description", show_default=True, help="Fields or attributes, in order.")
@click.option("--seed", default=0, show_default=True, help="The seed that train had: same seed, same held-back part.")
@click.option("--backbone", default="auto", show_default=True, help="Of the frozen embedding: see train.")
@click.option("--stop-words", is_flag=True, help="A further row: without English stop words.")
@click.option("--stems", is_flag=True, help="A further row: English words without their endings.")
@click.option("--segments", is_flag=True, help="A further row: Chinese parted into words.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Its classifier, on the same part, is the last row.")
@click.option("--out", type=click.Path(path_type=Path), help="A file for the JSON as well.")
@click.option("--table", is_flag=True, help="A table for people instead of JSON.")
def baselines(
    catalogue: str,
    validation: str | None,
    text_fields: str,
    seed: int,
    backbone: str,
    stop_words: bool,
    stems: bool,
    segments: bool,
    bundle: Path | None,
    out: Path | None,
    table: bool,
) -> None:
    """Train what people used before on CATALOGUE, and measure it as train measures a bundle.

    \b
    shelfwise evaluate baselines catalogue.jsonl --table
    shelfwise evaluate baselines train.csv --validation test.csv --bundle bundle --out baselines.json
    """
    loaded = Bundle.load(bundle) if bundle is not None else None
    from shelfwise_indexer.baselines import compare
    from shelfwise_indexer.words import Kind

    wanted: dict[Kind, bool] = {"content words": stop_words, "stems": stems, "segments": segments}
    compared = compare(
        catalogue,
        validation,
        tuple(name.strip() for name in text_fields.split(",") if name.strip()),
        seed,
        backbone,
        [kind for kind, asked in wanted.items() if asked],
        loaded,
    )
    if out is not None:
        _write(out, orjson.dumps(compared.to_json(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    if table:
        for line in compared.table():
            click.echo(line)
    else:
        emit(compared.to_json())


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{file} cannot be written ({error.strerror}): name a file in a folder with room") from None
