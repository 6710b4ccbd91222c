"""The command line of the recommendations."""

from contextlib import closing

import click

from shelfwise.console import alias_option, show, url_option


@click.command()
@click.argument("id_", metavar="ID")
@alias_option
@url_option
@click.option("-k", "k", default=10, show_default=True, help="Hits.")
@click.option("--table", is_flag=True, help="For people, not programs.")
def similar(id_: str, alias: str, url: str | None, k: int, table: bool) -> None:
    """Products like one product: same category first, no variants, nothing out of stock.

    \b
    shelfwise similar KT-1042 --alias products -k 5
    """
    from shelfwise.recommend import SimilarProducts
    from shelfwise.server import connect

    with closing(connect(url)) as client:
        show(SimilarProducts(client, alias).similar(id_, k), table)
