"""The command line of the proof: what a bundle, a search or a recommendation is worth, measured."""

import sys
from pathlib import Path
from typing import Any

import click
import orjson

from shelfwise.bundle import Bundle
from shelfwise.console import REJECTED, bundle_option, emit, listed_names, put
from shelfwise.errors import UsageError
from shelfwise.messages import tell
from shelfwise_indexer import cli_proof, cli_proof_recommend
from shelfwise_indexer.seeds import LARGEST_SEED


@click.group()
def evaluate() -> None:
    """Measure a classifier, a search or recommendations, beside what they must beat.

    \b
    shelfwise evaluate --help
    """


evaluate.add_command(cli_proof.search)
evaluate.add_command(cli_proof.fusion)
evaluate.add_command(cli_proof.similar)
evaluate.add_command(cli_proof_recommend.recommend)


@evaluate.command()
@click.argument("catalogue")
@click.option("--validation", help="A catalogue to measure on; default: the part of CATALOGUE that train holds back.")
@click.option(
    "--text-fields",
    default="title,description",
    show_default=True,
    callback=listed_names,
    help="Fields or attributes, in order.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, LARGEST_SEED),
    help="The seed that train had: same seed, same held-back part.",
)
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
    text_fields: tuple[str, ...],
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
    from shelfwise_indexer.words import WordKind

    wanted: dict[WordKind, bool] = {"content words": stop_words, "stems": stems, "segments": segments}
    compared = compare(
        catalogue,
        validation,
        text_fields,
        seed,
        backbone,
        [kind for kind, asked in wanted.items() if asked],
        loaded,
    )
    if table:
        for line in compared.table():
            put(line)
    else:
        emit(compared.to_json())
    if out is not None:
        _write(out, orjson.dumps(compared.to_json(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    if compared.rejected:
        sys.exit(REJECTED)


@evaluate.command()
@click.argument("catalogue")
@bundle_option
@click.option(
    "--out", default="report", show_default=True, type=click.Path(path_type=Path), help="Folder for the page."
)
@click.option("--baselines", type=click.Path(path_type=Path), help="What `evaluate baselines --out` wrote, to compare.")
def classifier(catalogue: str, bundle: Path, out: Path, baselines: Path | None) -> None:
    """Measure a bundle's classifier on a labelled CATALOGUE, and write a page with its errors: OUT/index.html.

    \b
    shelfwise evaluate classifier test.jsonl --bundle bundle --out report
    """
    loaded = Bundle.load(bundle)
    compared = _read_json(baselines) if baselines is not None else {}
    from shelfwise.filing import Filing
    from shelfwise_indexer.catalogue import file_hash
    from shelfwise_indexer.preparation import no_category, read_labelled, warn_unknown
    from shelfwise_indexer.report import write_report_page
    from shelfwise_indexer.report_data import ONLY_THE_BEST, ReportData
    from shelfwise_indexer.trained_on import has_learnt

    digest, learnt = (None if catalogue == "-" else file_hash(catalogue)), loaded.info.get("data", {})
    labelled = read_labelled(catalogue)
    if not labelled.products:
        raise no_category(catalogue, labelled.rejected, labelled.unlabelled, "nothing can be measured")
    warn_unknown(
        labelled.products, loaded.taxonomy, f"products of {catalogue}", f"bundle {loaded.version} does not predict"
    )
    seen = has_learnt(loaded, [product.id for product in labelled.products])
    known = None if seen is None else int(seen.sum())
    same_file = digest is not None and learnt.get("sha256") == digest
    trained_on = same_file or known == len(labelled.products)
    if digest is not None and learnt.get("validation") == digest:
        tell(
            f"{catalogue} set temperature and thresholds of bundle {loaded.version}, and when its training stopped: "
            "the figures are slightly optimistic, give a catalogue that took no part"
        )
    if trained_on:
        tell(
            f"bundle {loaded.version} was trained on {catalogue}: the figures say nothing about new products, "
            "give a catalogue that it has not seen"
        )
    elif known:
        tell(
            f"bundle {loaded.version} was trained on {known} of the {len(labelled.products)} products of {catalogue}, "
            "by their ids: the figures flatter, give a catalogue that it has not seen"
        )
    filing = Filing.of(loaded)
    if filing.several and not filing.accepts_further:
        tell(ONLY_THE_BEST)
    texts = [loaded.text(product) for product in labelled.products]
    data = ReportData(
        title=f"Classifier of bundle {loaded.version}",
        filing=filing,
        ids=[product.id for product in labelled.products],
        texts=texts,
        paths=[product.categories for product in labelled.products],
        probabilities=loaded.encoder.encode_documents(texts).probabilities,
        baselines=compared,
        trained_on=trained_on,
        known=known,
    )
    try:
        written = write_report_page(out, data)
    except OSError as error:
        raise UsageError(f"{out} cannot be written ({error.strerror}): name a folder with room") from None
    emit({"bundle": loaded.version, **data.to_json(), "report": str(written)})
    if labelled.rejected:
        sys.exit(REJECTED)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise UsageError(f"{file} cannot be read ({error}): expected what `evaluate baselines --out` wrote") from None
    if not isinstance(content, dict) or "rows" not in content:
        raise UsageError(f"{file} has no rows: expected what `evaluate baselines --out` wrote")
    return content


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{file} cannot be written ({error.strerror}): name a file in a folder with room") from None
