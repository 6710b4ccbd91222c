"""The options of the settings of a search, for commands that search and commands that measure the search."""

from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import click

from shelfwise.console import Command, rerank_options, reranker_of

if TYPE_CHECKING:
    from shelfwise.search_settings import SearchSettings

_OPTIONS = (
    click.option(
        "--fusion",
        default="query",
        show_default=True,
        metavar="rank|score|query|FILE",
        help="Reciprocal ranks, min-max scores, scores with weights a query; or learnt weights, a JSON file.",
    ),
    click.option(
        "--category-boost", default=0.5, show_default=True, help="Largest gain by predicted category; 0: off."
    ),
    click.option("--popularity", default=0.05, show_default=True, help="Largest gain by popularity; 0: off."),
    click.option(
        "--synonyms", type=click.Path(path_type=Path), help='Lines such as "tv, television" or "hoover => vacuum".'
    ),
    click.option("--all-variants", is_flag=True, help="Every variant of a product, not only the best."),
    click.option("--any-stock", is_flag=True, help="What is out of stock keeps its place instead of coming last."),
    rerank_options,
)


def settings_options(command: Command) -> Command:
    """The options that `settings_of` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settings_of(
    fusion: str,
    category_boost: float,
    popularity: float,
    synonyms: Path | None,
    all_variants: bool,
    any_stock: bool,
    rerank: int | None,
    reranker: Path | None,
) -> "SearchSettings":
    """The settings that the options name.

    :raises UsageError: a setting is outside what it may be, or a file cannot be read.
    """
    from shelfwise.query_weights import QueryWeights
    from shelfwise.search_settings import Fusion, SearchSettings
    from shelfwise.synonyms import Synonyms

    learnt = fusion not in get_args(Fusion)
    return SearchSettings(
        fusion="query" if learnt else cast(Fusion, fusion),
        query_weights=QueryWeights.load(fusion) if learnt else QueryWeights(),
        category_boost=category_boost,
        popularity=popularity,
        out_of_stock_last=not any_stock,
        collapse_variants=not all_variants,
        synonyms=None if synonyms is None else Synonyms(synonyms),
        rerank=rerank,
        reranker=reranker_of(rerank, reranker),
    )
