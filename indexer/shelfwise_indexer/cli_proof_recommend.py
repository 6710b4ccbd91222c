"""The command line of the evaluation of recommendations."""

import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import orjson

from shelfwise.console import REJECTED, alias_option, emit, put, url_option
from shelfwise_indexer.cli_proof import about_run, check_place, write


@click.command()
@click.argument("log", metavar="EVENTS")
@alias_option
@click.option("--bundle", type=click.Path(path_type=Path), help="Refuse an index that was made with another one.")
@url_option
@click.option("-k", "k", default=10, show_default=True, type=click.IntRange(1, 1000), help="Hits that are measured.")
@click.option(
    "--folds",
    default=5,
    show_default=True,
    type=click.IntRange(2),
    help="Parts of the people; each learns from the others.",
)
@click.option("--sample", default=1000, show_default=True, type=click.IntRange(2), help="People who are measured.")
@click.option("--consumable", multiple=True, metavar="CATEGORY", help='What is bought again, as "Home > Coffee".')
@click.option("--out", type=click.Path(path_type=Path), help="A file for the JSON, with what was skipped.")
@click.option("--page", type=click.Path(path_type=Path), help="A file for the page with pictures.")
@click.option("--table", is_flag=True, help="For people, not programs.")
def recommend(
    log: str,
    alias: str,
    bundle: Path | None,
    url: str | None,
    k: int,
    folds: int,
    sample: int,
    consumable: tuple[str, ...],
    out: Path | None,
    page: Path | None,
    table: bool,
) -> None:
    """Recommendations by what people bought next: each signal beside the blend, a line each.

    EVENTS is what `events learn` reads. Each user's last product is hidden, the history before it is given. What the
    same people went on to is learnt, fold by fold, from everybody else, into indices that are deleted again; the event
    model that the alias has is not touched. Differences (`minus`) have 95 % intervals. Latency is this machine's.

    \b
    shelfwise evaluate recommend events.jsonl.gz --alias products
    shelfwise evaluate recommend events.jsonl.gz --alias products --bundle bundle --out figures.json --page page.html
    """
    from shelfwise.bundle import Bundle
    from shelfwise.index import status
    from shelfwise.server import connect
    from shelfwise_indexer.next_item import measure
    from shelfwise_indexer.recommend_ablation import BLEND, POPULARITY
    from shelfwise_indexer.recommend_page import recommend_page

    for file in (out, page):
        if file is not None:
            check_place(file)
    loaded = Bundle.load(bundle) if bundle is not None else None
    with closing(connect(url)) as client:
        live = status(client, alias)
        measured = measure(client, log, alias, loaded, k, folds, sample, consumable)
    about = about_run(live)
    click.echo(measured.said, err=True)
    for line in measured.evaluation.to_json():
        row = _row(line, measured.evaluation.named)
        if table:
            put(row)
        else:
            click.echo(row, err=True)
            emit(line)
    if page is not None:
        write(page, recommend_page(measured, POPULARITY, BLEND, about).encode())
    if out is not None:
        figures = measured.to_json() | {"folds": folds, "about": about}
        write(out, orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    if measured.rejected:
        sys.exit(REJECTED)


def _row(line: dict[str, Any], named: Mapping[str, str]) -> str:
    cells = "  ".join(
        f"{name} {line[measure]:.3f} ± {line['standard_error'][measure]:.3f}" for measure, name in named.items()
    )
    diversity = "-" if line["diversity"] is None else f"{line['diversity']:.2f}"
    return (
        f"{line['system']:<27}  {cells}  coverage {line['coverage']:.1%}  diversity {diversity}  "
        f"short {line['short']:.1%}  none {line['zero_results']:.1%}  p50 {line['latency_ms']['p50']:.0f} ms"
    )
