"""The command line of the search."""

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from shelfwise.console import alias_option, bundle_option, emit, read_queries, show, url_option
from shelfwise.errors import UsageError


@click.command()
@click.argument("query", required=False)
@alias_option
@bundle_option
@url_option
@click.option("-k", "k", default=10, show_default=True, help="Hits.")
@click.option("--category", help='A path such as "A > B": hits of it and of everything below it.')
@click.option(
    "--filter", "filters", multiple=True, metavar="FIELD=VALUE", help="As brand=Sony, price=10..20, color=red."
)
@click.option("--mode", type=click.Choice(["hybrid", "lexical", "semantic"]), default="hybrid", show_default=True)
@click.option("--queries", metavar="FILE|-", help="Many queries: JSON lines with `query`; a line each comes out.")
@click.option("--offset", default=0, show_default=True, help="Hits to pass over: the next page.")
@click.option(
    "--sort", type=click.Choice(["price", "-price", "created_at", "popularity"]), help="Instead of best first."
)
@click.option("--all-variants", is_flag=True, help="Every variant of a product, not only the best.")
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
    all_variants: bool,
    table: bool,
) -> None:
    """Products for a query, best first.

    \b
    shelfwise search "travel mug" --alias products --bundle bundle -k 5
    shelfwise search "gift for a runner" --alias products --bundle bundle \\
        --category "Sports & Outdoor" --filter price=..50
    shelfwise search --queries queries.jsonl --alias products --bundle bundle
    """
    from shelfwise.bundle import Bundle
    from shelfwise.search import ProductSearch
    from shelfwise.search_settings import SearchSettings
    from shelfwise.server import connect

    if (query is None) == (queries is None):
        raise UsageError('give one query, as `shelfwise search "travel mug" …`, or --queries FILE')
    with closing(connect(url)) as client:
        settings = SearchSettings(collapse_variants=not all_variants)
        searcher = ProductSearch(client, alias, Bundle.load(bundle), settings)
        if query is not None:
            show(searcher.search(query, k, category, filters, mode, offset=offset, sort=sort), table)
            return
        texts = list(read_queries(queries or "-"))
        found = searcher.search_many(texts, k, category, filters, mode, offset=offset, sort=sort)
        for text, hits in zip(texts, found, strict=True):
            if table:
                click.echo(f"\n{text}")
                show(hits, table)
            else:
                emit({"query": text, "hits": [hit.to_json() for hit in hits]})
