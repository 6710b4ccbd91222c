"""The command line of the search."""

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shelfwise.cli_settings import settings_of, settings_options
from shelfwise.console import (
    alias_option,
    bundle_option,
    emit,
    show,
    show_for,
    status_of,
    url_option,
)
from shelfwise.errors import UsageError

if TYPE_CHECKING:
    from shelfwise.bundle import Bundle

QUERY_LINE = '{"query": "kettle"}'


@click.command()
@click.argument("query", required=False)
@alias_option
@bundle_option
@url_option
@click.option("-k", "k", default=10, show_default=True, help="Hits.")
@click.option("--category", help='A path such as "A > B": hits of it and of everything below it.')
@click.option(
    "--filter", "filters", multiple=True, metavar="FIELD=VALUE", help="As brand=Sony, price=10..<20, color=red."
)
@click.option("--mode", type=click.Choice(["hybrid", "lexical", "semantic"]), default="hybrid", show_default=True)
@click.option(
    "--queries",
    metavar="FILE|-",
    help="Many queries: JSON lines with `query`; each is answered by a line; a bad one is passed over.",
)
@click.option("--offset", default=0, show_default=True, help="Hits to pass over: the next page.")
@click.option(
    "--sort",
    type=click.Choice(["price", "-price", "created_at", "popularity"]),
    help="Not best first: what is to the point among the 1,000 best by words and by meaning each, sorted.",
)
@click.option("--facets", is_flag=True, help="A last line with counts: categories, brands, prices, total, next page.")
@click.option("--highlight", is_flag=True, help="Texts with the query's words marked.")
@click.option("--explain", is_flag=True, help="Why each hit stands where it stands.")
@click.option("--relax", is_flag=True, help="Where the filters leave nothing, leave out the last, and say so.")
@settings_options
@click.option("--table", is_flag=True, help="For people, not programs.")
def search(
    query: str | None,
    alias: str,
    bundle: Path,
    url: str | None,
    k: int,
    category: str | None,
    filters: tuple[str, ...],
    mode: Any,
    queries: str | None,
    offset: int,
    sort: Any,
    facets: bool,
    highlight: bool,
    explain: bool,
    relax: bool,
    table: bool,
    **settings: Any,
) -> None:
    """Products for a query, best first.

    \b
    shelfwise search "travel mug" --alias products --bundle bundle -k 5
    shelfwise search "gift for a runner" --alias products --bundle bundle \\
        --category "Sports & Outdoor" --filter price=..50
    shelfwise search "red kettle" --alias products --bundle bundle --facets --explain --synonyms synonyms.txt
    shelfwise search --queries queries.jsonl --alias products --bundle bundle
    shelfwise search "red kettle" --alias products --bundle bundle --rerank 50 --reranker reranker
    """
    if (query is None) == (queries is None):
        raise UsageError('give one query, as `shelfwise search "travel mug" …`, or --queries FILE')
    if queries is not None and (facets or relax):
        raise UsageError("--facets and --relax are for one query, not for --queries")
    from concurrent.futures import ThreadPoolExecutor

    # The model is read and compiled while the rest is imported: each takes some 0.3 s of a start, on a core of its own.
    ahead = ThreadPoolExecutor(1).submit(_loaded, bundle, with_model=mode != "lexical")
    from shelfwise.answering import Lines
    from shelfwise.search import ProductSearch
    from shelfwise.server import connect

    chosen = settings_of(**settings)
    options = {"offset": offset, "sort": sort, "highlight": highlight, "explain": explain}
    with closing(connect(url)) as client:
        searcher = ProductSearch(client, alias, ahead.result(), chosen)
        if query is not None:
            page = searcher.page(query, k, category, filters, mode, facets=facets, relax=relax, **options)
            for line in page.relaxed:
                click.echo(line, err=True)
            show(page.hits, table)
            if facets:
                emit(page.to_json())
            return
        lines = Lines(queries or "-", QUERY_LINE, _query)
        for texts in lines.batches():
            found = searcher.search_many(texts, k, category, filters, mode, **options)
            for text, hits in zip(texts, found, strict=True):
                show_for("query", text, hits, table)
        sys.exit(status_of(lines))


def _query(record: Any) -> str:
    from shelfwise.wanted import words_of

    text = record["query"]
    if not isinstance(text, str):
        raise TypeError
    words_of(text)  # one without a word must not stop the others
    return text


def _loaded(folder: Path, with_model: bool) -> "Bundle":
    from shelfwise.bundle import Bundle

    bundle = Bundle.load(folder)
    if with_model:
        _ = bundle.encoder  # loads it
    return bundle
