"""The command line of the evaluations that need a server: what a search is worth, and whether it got worse."""

import os
import platform
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import orjson

from shelfwise.cli_settings import settings_of, settings_options
from shelfwise.console import (
    REJECTED,
    alias_option,
    bundle_option,
    emit,
    put,
    url_option,
)
from shelfwise.errors import UsageError
from shelfwise.messages import first_of
from shelfwise_indexer.folders import check_writable, made

_ELSEWHERE = "name a folder with room"


@click.command()
@alias_option
@bundle_option
@url_option
@click.option("--judgements", metavar="FILE", help="TREC qrels, or JSON lines: query, id, grade. Default: of --gate.")
@click.option("--queries", metavar="FILE", help="JSON lines: id, query, perhaps category. Needed with qrels.")
@click.option("-k", "k", default=10, show_default=True, type=click.IntRange(1, 1000), help="Hits that are measured.")
@click.option(
    "--relevant", default=1, show_default=True, type=click.IntRange(1), help="Least grade that recall and MRR count."
)
@click.option("--ablation/--no-ablation", default=True, show_default=True, help="All systems, or BM25 and the search.")
@settings_options
@click.option("--out", type=click.Path(path_type=Path), help="Folder for figures.json and the page search.html.")
@click.option("--gate", metavar="FILE", help="An earlier figures.json, of the same -k: status 1 when it got worse.")
@click.option("--table", is_flag=True, help="For people, not programs.")
def search(
    alias: str,
    bundle: Path,
    url: str | None,
    judgements: str | None,
    queries: str | None,
    k: int,
    relevant: int,
    ablation: bool,
    out: Path | None,
    gate: str | None,
    table: bool,
    **options: Any,
) -> None:
    """The search on judged queries: each of its parts beside BM25, a line each.

    Differences (`minus`) are of nDCG, with 95 % intervals. Latency is this machine's. With --gate a last line says
    whether the search is significantly worse than in the figures that an earlier run saved with --out.

    \b
    shelfwise evaluate search --alias products --bundle bundle --judgements judged.jsonl --out proof
    shelfwise evaluate search --alias products --bundle bundle --judgements judged.qrels --queries queries.jsonl --table
    shelfwise evaluate search --alias products --bundle bundle --judgements judged.jsonl --rerank 50 --reranker reranker
    shelfwise evaluate search --alias products --bundle bundle --gate proof/figures.json --fusion fusion.json
    """
    from functools import partial

    from shelfwise.bundle import Bundle
    from shelfwise.index import status
    from shelfwise.server import connect
    from shelfwise_indexer import ablation as parts
    from shelfwise_indexer.evaluation_page import page
    from shelfwise_indexer.gate import comparable, compare, read_figures
    from shelfwise_indexer.indexed import count_absent, vectors_of
    from shelfwise_indexer.judgements import read_judgements
    from shelfwise_indexer.kept_settings import kept
    from shelfwise_indexer.search_evaluation import evaluate_search, measurable
    from shelfwise_indexer.unknown_categories import UnknownOfQueries

    settings = settings_of(**options)
    if out is not None:
        check_place(out / "search.html")
        check_place(out / "figures.json")
    saved = read_figures(gate) if gate else None
    if gate and saved is None:
        raise UsageError(f"{gate} holds no figures: expected the figures.json of `shelfwise evaluate search --out`")
    if judgements is not None:
        judged = read_judgements(judgements, queries)
    elif saved is not None:
        judged = saved.judgements
    else:
        raise UsageError("give --judgements FILE, or an earlier figures.json as --gate, whose judgements are used then")
    if saved is not None:
        comparable(measurable(judged, relevant), k, saved, parts.SHOWN)
    say_what_was_read(judged)
    with closing(connect(url)) as client:
        live = status(client, alias)
        ids = {id_ for query in judged.queries for id_ in query.grades}
        absent = count_absent(client, live["index"], ids)
        if absent:
            click.echo(
                f"{absent} of {len(ids)} judged products are not in {live['index']} and cannot be found: "
                "were they judged for another catalogue?",
                err=True,
            )
        loaded = Bundle.load(bundle)
        systems = parts.ablation(client, alias, loaded, settings, judged.queries)
        unknown = UnknownOfQueries.of(loaded.taxonomy, judged.queries) if ablation else None
        if unknown is not None:
            click.echo(str(unknown), err=True)
        if not ablation:
            shown = (parts.BM25, parts.SHOWN, parts.RERANK)
            systems = {name: system for name, system in systems.items() if name in shown}
        evaluation = evaluate_search(
            systems, judged, live["products"], k, relevant, partial(vectors_of, client, live["index"])
        )
    for line in evaluation.to_json():
        put(_row(line, k, parts.BM25)) if table else emit(line)
    verdict = compare(evaluation, saved, parts.SHOWN) if saved else None
    if verdict is not None:
        put(str(verdict)) if table else emit(verdict.to_json())
    if out is not None:
        about = about_run(live)
        notes = [str(unknown)] if unknown else []
        write(out / "search.html", page(evaluation, parts.BM25, parts.SHOWN, about, parts.STEPS, notes).encode())
        figures = evaluation.figures() | {
            "settings": kept(settings),
            "judged_not_in_index": absent,
            "unknown_categories": unknown.to_json() if unknown else None,
            "about": about,
        }
        write(out / "figures.json", orjson.dumps(figures, option=orjson.OPT_INDENT_2))
    if (verdict is not None and not verdict.passed) or judged.rejected or judged.bad_queries:
        sys.exit(REJECTED)


@click.command()
@alias_option
@bundle_option
@url_option
@click.option("--judgements", metavar="FILE", required=True, help="TREC qrels, or JSON lines: query, id, grade.")
@click.option("--queries", metavar="FILE", help="JSON lines: id, query. Needed with qrels.")
@click.option("--out", type=click.Path(path_type=Path), help="File for the weights, to be given to search --fusion.")
def fusion(alias: str, bundle: Path, url: str | None, judgements: str, queries: str | None, out: Path | None) -> None:
    """Learn from judged queries how far each query should follow words, how far meaning.

    Says what that is worth on queries it was not learnt from, beside the default weights, with a 95 % interval. Every
    variant is searched for, and what is out of stock keeps its place, as with `evaluate search --all-variants
    --any-stock --fusion FILE`, which measures what was learnt.

    \b
    shelfwise evaluate fusion --alias products --bundle bundle --judgements judged.jsonl --out fusion.json
    shelfwise search "travel mug" --alias products --bundle bundle --fusion fusion.json
    """
    from functools import partial

    from shelfwise.bundle import Bundle
    from shelfwise.search import ProductSearch
    from shelfwise.server import connect
    from shelfwise_indexer.judgements import read_judgements
    from shelfwise_indexer.learn_fusion import learn_fusion

    if out is not None:
        check_place(out)
    judged = read_judgements(judgements, queries)
    say_what_was_read(judged)
    with closing(connect(url)) as client:
        search_with = partial(ProductSearch, client, alias, Bundle.load(bundle))
        learnt = learn_fusion(search_with, judged.by_text())
    emit(learnt.to_json())
    if out is not None:
        write(out, orjson.dumps(asdict(learnt.weights), option=orjson.OPT_INDENT_2) + b"\n")
    if judged.rejected or judged.bad_queries:
        sys.exit(REJECTED)


@click.command()
@alias_option
@url_option
@click.option("-k", "k", default=10, show_default=True, type=click.IntRange(1, 1000), help="Hits that are measured.")
@click.option("--sample", default=500, show_default=True, type=click.IntRange(1), help="Products that are asked for.")
def similar(alias: str, url: str | None, k: int, sample: int) -> None:
    """What stands beside products: how full, how varied, how close to the exact neighbours; duplicates counted.

    \b
    shelfwise evaluate similar --alias products
    """
    from shelfwise.live_index import live
    from shelfwise.recommend import SimilarProducts
    from shelfwise.server import connect
    from shelfwise_indexer.indexed import read_index
    from shelfwise_indexer.similar_evaluation import evaluate_similar

    with closing(connect(url)) as client:
        index = live(client, alias)
        catalogue = read_index(client, index.name)
        if not catalogue.hits:
            raise UsageError(f"index {index.name} holds no product with a vector: index a catalogue into {alias}")
        emit(
            {"alias": alias, "index": index.name}
            | evaluate_similar(SimilarProducts(client, alias).similar, catalogue, k, sample)
        )


def say_what_was_read(judged: Any) -> None:
    """Counts of judgements and queries on stderr, with the first of the lines that were rejected."""
    bad = [*judged.bad_queries, *judged.rejected]
    for line in first_of(map(str, bad), len(bad), "lines"):
        click.echo(line, err=True)
    click.echo(
        f"{judged.read} judgements read: {judged.used} used, {len(judged.rejected)} rejected; "
        f"{len(judged.queries)} queries judged, {len(judged.unjudged)} without a judgement",
        err=True,
    )


def _row(line: dict[str, Any], k: int, baseline: str) -> str:
    diversity = "-" if line["diversity"] is None else f"{line['diversity']:.2f}"
    minus = line["minus"].get(baseline)
    difference = f"{minus['mean']:+.3f} ({minus['low']:+.3f} to {minus['high']:+.3f})" if minus else ""
    return (
        f"{line['system']:<32} nDCG@{k} {line[f'ndcg@{k}']:.3f}  {difference:<26}  recall {line[f'recall@{k}']:.3f}  "
        f"MRR {line['mrr']:.3f}  none {line['zero_results']:.1%}  diversity {diversity}  "
        f"unjudged {line['unjudged']}/{line['hits']}  p50 {line['latency_ms']['p50']:.0f} ms"
    )


def about_run(live: Mapping[str, Any]) -> dict[str, str]:
    """What was measured, when and where, for pages and figures; of an index's `status`."""
    return {
        "alias": live["alias"],
        "index": live["index"],
        "bundle": live["bundle"],
        "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "Elasticsearch": live["server"],
    }


def check_place(path: Path) -> None:
    """Look before the measuring whether `write` will be able to; the folder is made.

    :raises UsageError: it will not.
    """
    if not path.exists():
        made(path.parent, _ELSEWHERE)
    check_writable(path, _ELSEWHERE)


def write(path: Path, content: bytes) -> None:
    """A file, in folders that are made where they are not there.

    :raises UsageError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}): {_ELSEWHERE}") from None
