"""The command line of training."""

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shelfwise.console import REJECTED, emit, listed_names, put
from shelfwise.errors import UsageError
from shelfwise_indexer.seeds import LARGEST_SEED

if TYPE_CHECKING:
    from shelfwise.bundle import Bundle
    from shelfwise_indexer.settings import TrainSettings

_ELSEWHERE = "name a file in a folder you may write"


@click.command()
@click.argument("catalogue", required=False)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the bundle.")
@click.option("--validation", help="A catalogue to measure on; default: a part of CATALOGUE is held back.")
@click.option(
    "--from",
    "start",
    type=click.Path(path_type=Path),
    help="A bundle to go on from, after categories were added. CATALOGUE is the whole one: categories that it lacks "
    "are not predicted any more.",
)
@click.option("--distil", type=click.Path(path_type=Path), help="A bundle whose student this is to be: fewer layers.")
@click.option("--layers", type=click.IntRange(1), help="Of the student.  [default: half of the teacher's]")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="A TOML file of settings; options given here win. With "
    "--from or --distil, what it does not name is as that bundle has it.",
)
@click.option("--show-config", is_flag=True, help="Print every setting with its default and a line of help, and end.")
@click.option("--backbone", help="english, multilingual, chinese, a folder or a hub name.  [default: auto]")
@click.option("--encoder", help="A second model for the embedding, named so too.  [default: the backbone gives it]")
@click.option("--events", help="Event log: what is bought together teaches the encoder of --encoder.")
@click.option(
    "--text-fields", callback=listed_names, help="Fields or attributes, in order.  [default: title,description]"
)
@click.option("--epochs", type=click.IntRange(1), help="At most; stops early.  [default: 4]")
@click.option("--max-tokens", type=click.IntRange(4), help="Of a text; the rest is cut.  [default: 64]")
@click.option("--dimension", type=click.IntRange(1), help="Cut embeddings to so many numbers.  [default: all]")
@click.option(
    "--auto-accept-precision",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of the categories accepted without a person that must be right.  [default: 0.95]",
)
@click.option("--multi-label", is_flag=True, help="A product may be in several categories at once.")
@click.option(
    "--seed", type=click.IntRange(0, LARGEST_SEED), help="Same seed, data and machine: same bundle.  [default: 0]"
)
def train(
    catalogue: str | None,
    out: Path | None,
    validation: str | None,
    start: Path | None,
    distil: Path | None,
    layers: int | None,
    config: Path | None,
    show_config: bool,
    backbone: str | None,
    encoder: str | None,
    events: str | None,
    text_fields: tuple[str, ...] | None,
    epochs: int | None,
    max_tokens: int | None,
    dimension: int | None,
    auto_accept_precision: float | None,
    multi_label: bool,
    seed: int | None,
) -> None:
    """Train a classifier and encoder on CATALOGUE (.jsonl, .csv, .tsv, .parquet; also .gz).

    A CSV has a header and commas, semicolons or tabs between cells; with semicolons a price may be 1.299,50 (and
    1.299 is less than two). Several paths in a cell of `categories` are apart by a bar: A > B|C.

    \b
    shelfwise train catalogue.jsonl --out bundle
    shelfwise train train.csv --validation test.csv --out bundle --text-fields title,description,color
    shelfwise train --show-config > train.toml
    shelfwise train catalogue.jsonl --out bundle --config train.toml
    shelfwise train catalogue.jsonl --out next --from bundle
    shelfwise train catalogue.jsonl --out student --distil bundle --layers 3
    shelfwise train catalogue.jsonl --out short --dimension 128
    shelfwise train catalogue.jsonl --out two --backbone english --encoder english --events events.jsonl
    """
    if distil and (start or backbone or encoder):
        raise UsageError(
            "--distil goes without --from, --backbone and --encoder: a student starts from its teacher's own layers"
        )
    if start and backbone:
        raise UsageError(
            "--backbone goes without --from: the bundle that training continues from is the backbone itself"
        )
    if layers and not distil:
        raise UsageError("--layers is of a student: give --distil BUNDLE with it")
    if not show_config and (catalogue is None or out is None):
        raise UsageError(
            "give a catalogue and a folder for the bundle, as `shelfwise train catalogue.jsonl --out bundle`"
        )
    from shelfwise.bundle import Bundle

    before = Bundle.load(start) if start else None
    teacher = Bundle.load(distil) if distil else None
    given = {
        "backbone": backbone,
        "encoder": encoder,
        "max_tokens": max_tokens,
        "dimension": dimension,
        "auto_accept_precision": auto_accept_precision,
    }
    # What can be refused without the libraries of training was: they take seconds to load.
    settings = _settings(config, before or teacher, text_fields, epochs, seed, multi_label, given)
    if layers:
        settings = replace(settings, distil=replace(settings.distil, layers=layers))
    if show_config or catalogue is None or out is None:
        from shelfwise_indexer.config import show_config as shown

        put(shown(settings), end=False)
        return
    from shelfwise_indexer.training import train as train_bundle

    trained = train_bundle(catalogue, out, validation, settings, start=before, teacher=teacher, events=events)
    if os.environ.get("RANK", "0") == "0":  # `accelerate launch` runs this in every process
        emit(trained.to_json())
    if trained.rejected:
        sys.exit(REJECTED)


@click.command("cross-validate")
@click.argument("catalogue")
@click.option("--work", required=True, type=click.Path(path_type=Path), help="Folder for the parts and the bundles.")
@click.option("--config", type=click.Path(path_type=Path), help="A TOML file of settings, as for `train`.")
@click.option("-k", "--folds", "k", default=5, show_default=True, type=click.IntRange(2), help="Parts of CATALOGUE.")
def cross_validate(catalogue: str, work: Path, config: Path | None, k: int) -> None:
    """Train on k parts of CATALOGUE in turn and print each score's mean and standard deviation.

    Each part also says when the training on the others stops, so the scores are slightly optimistic. Called again with
    the same folder it goes on where it was.

    \b
    shelfwise cross-validate catalogue.jsonl --work folds -k 5
    """
    from shelfwise_indexer.config import read_config
    from shelfwise_indexer.cross_validation import cross_validate as validate

    validated = validate(catalogue, work, read_config(config) if config else None, k)
    emit(validated.to_json())
    if validated.rejected:
        sys.exit(REJECTED)


@click.command()
@click.argument("catalogue")
@click.option("--work", required=True, type=click.Path(path_type=Path), help="Folder for the trials.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="TOML file for the best settings.")
@click.option("--validation", help="A catalogue to measure on; default: a part of CATALOGUE is held back.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings to start from, as for `train`.")
@click.option("--trials", default=20, show_default=True, type=click.IntRange(1), help="In all, earlier calls included.")
def tune(catalogue: str, work: Path, out: Path, validation: str | None, config: Path | None, trials: int) -> None:
    """Search for better settings for CATALOGUE and write them to a file for `train --config`.

    Trials without prospect are cut short. Called again with the same folder it goes on where it was.

    \b
    shelfwise tune catalogue.jsonl --work trials --out train.toml --trials 30
    """
    from shelfwise_indexer.config import read_config, show_config
    from shelfwise_indexer.folders import check_writable

    check_writable(out, _ELSEWHERE)
    from shelfwise_indexer.tuning import tune as search

    tuned = search(catalogue, work, validation, read_config(config) if config else None, trials)
    try:
        out.write_text(show_config(tuned.settings), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out} cannot be written ({error.strerror}): {_ELSEWHERE}") from None
    emit({"config": str(out)} | tuned.to_json())
    if tuned.rejected:
        sys.exit(REJECTED)


def _settings(
    config: Path | None,
    before: "Bundle | None",
    text_fields: tuple[str, ...] | None,
    epochs: int | None,
    seed: int | None,
    multi_label: bool,
    given: Mapping[str, Any],
) -> "TrainSettings":
    """The settings of the bundle to go on from, or the defaults, with what the file and the options say instead."""
    from shelfwise_indexer.config import read_config, settings_before
    from shelfwise_indexer.settings import TrainSettings

    own = settings_before(before, config) if before else TrainSettings()
    settings = read_config(config, own) if config else own
    return replace(
        settings,
        **{name: value for name, value in given.items() if value is not None},
        text_fields=text_fields or settings.text_fields,
        loss=replace(settings.loss, multi_label=multi_label or settings.loss.multi_label),
        fit=replace(
            settings.fit,
            epochs=epochs or settings.fit.epochs,
            seed=settings.fit.seed if seed is None else seed,
        ),
    )
