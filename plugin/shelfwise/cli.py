"""The command line. JSON lines on stdout, progress and messages on stderr.

Exit status 0: done; 1: finished, but something was rejected; 2: could not be done as asked; 130: interrupted.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import orjson

from shelfwise.errors import ShelfwiseError, UsageError
from shelfwise.table import hit_table

if TYPE_CHECKING:
    from shelfwise.hit import Hit

REJECTED, FAILED, INTERRUPTED = 1, 2, 130
Command = TypeVar("Command", bound=Callable[..., Any])


class Commands(click.Group):
    """This package's commands, and those that installed packages add by an entry point `shelfwise.commands`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in alphabetical order."""
        return sorted(
            {*super().list_commands(ctx), *(point.name for point in entry_points(group="shelfwise.commands"))}
        )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name; another package is loaded only when one of its commands is called."""
        if own := super().get_command(ctx, cmd_name):
            return own
        for point in entry_points(group="shelfwise.commands", name=cmd_name):
            command: click.Command = point.load()
            return command
        return None

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error that was foreseen is one line on stderr."""
        try:
            return super().invoke(ctx)
        except ShelfwiseError as error:
            click.echo(f"shelfwise: {error}", err=True)
            ctx.exit(FAILED)
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] in ("shelfwise", "shelfwise_indexer"):
                raise
            click.echo(
                f"shelfwise: this command needs {error.name}, which the light install leaves out: "
                "pip install 'shelfwise[indexer]'",
                err=True,
            )
            ctx.exit(FAILED)
        except (KeyboardInterrupt, click.Abort):
            click.echo("shelfwise: interrupted; `train` and `index` go on from here when called again", err=True)
            ctx.exit(INTERRUPTED)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="shelfwise", message="%(version)s")
def main() -> None:
    """Search and recommendations that know a shop's categories, on Elasticsearch's free licence.

    \b
    shelfwise local start
    shelfwise train catalogue.jsonl --out bundle
    shelfwise index catalogue.jsonl --bundle bundle --alias products
    shelfwise search "something to keep coffee hot" --alias products --bundle bundle
    """


def url_option(command: Command) -> Command:
    """`--url`, for commands that talk to a server."""
    return click.option("--url", help="The server; default: $ELASTICSEARCH_URL, then http://localhost:9200.")(command)


def alias_option(command: Command) -> Command:
    """`--alias`, for commands that read or fill one."""
    return click.option("--alias", required=True, help="The alias that searches go to.")(command)


def bundle_option(command: Command) -> Command:
    """`--bundle`, for commands that run a model."""
    return click.option(
        "--bundle", required=True, type=click.Path(path_type=Path), help="The folder that `shelfwise train` wrote."
    )(command)


def emit(line: Any) -> None:
    """One JSON line on stdout."""
    click.echo(orjson.dumps(line))


def read_queries(name: str) -> Iterator[str]:
    """The `query` of each JSON line of a file, or of standard input.

    :raises UsageError: the file is not there, or a line holds no query; names the line.
    """
    try:
        stream = sys.stdin.buffer if name == "-" else Path(name).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise UsageError(f"{name} cannot be read ({error.strerror}): expected JSON lines with `query`, or -") from None
    with stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                query = orjson.loads(line)["query"]
                if not isinstance(query, str):
                    raise TypeError
            except (orjson.JSONDecodeError, KeyError, TypeError):
                raise UsageError(f'{name}, line {number}: expected an object such as {{"query": "kettle"}}') from None
            yield query


@main.command()
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
    from shelfwise.server import connect

    if (query is None) == (queries is None):
        raise UsageError('give one query, as `shelfwise search "travel mug" …`, or --queries FILE')
    with closing(connect(url)) as client:
        searcher = ProductSearch(client, alias, Bundle.load(bundle))
        if query is not None:
            show(searcher.search(query, k, category, filters, mode), table)
            return
        texts = list(read_queries(queries or "-"))
        for text, hits in zip(texts, searcher.search_many(texts, k, category, filters, mode), strict=True):
            if table:
                click.echo(f"\n{text}")
                show(hits, table)
            else:
                emit({"query": text, "hits": [hit.to_json() for hit in hits]})


@main.command()
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


@main.command()
@click.argument("alias")
@url_option
def status(alias: str, url: str | None) -> None:
    """What is live behind an alias: index, bundle, counts, versions.

    \b
    shelfwise status products
    """
    from shelfwise import index
    from shelfwise.server import connect

    with closing(connect(url)) as client:
        emit(index.status(client, alias))


@main.command()
@click.argument("alias")
@url_option
def rollback(alias: str, url: str | None) -> None:
    """Let an alias stand for the index before the live one again.

    \b
    shelfwise rollback products
    """
    from shelfwise import index
    from shelfwise.server import connect

    with closing(connect(url)) as client:
        left = index.live(client, alias).name
        live = index.rollback(client, alias)
        emit({"alias": alias, "index": live, "left": left, "bundle": index.live(client, alias).meta.get("bundle")})


@main.group()
def local() -> None:
    """A real Elasticsearch on this machine, for trying things out.

    \b
    shelfwise local start
    shelfwise local status
    shelfwise local stop
    """


@local.command("start")
@click.option("--version", type=click.Choice(["9.4.3", "8.19.8"]), help="Default: 9.4.3, with a JDK 17 only 8.19.8.")
@click.option("--port", type=click.IntRange(1, 65535), help="Default: 9200, or the next that is free.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder for data and logs; default: the cache folder.")
def local_start(version: str | None, port: int | None, data: Path | None) -> None:
    """Start it, once: a second start says where it is.

    \b
    shelfwise local start --port 9201 --data /var/tmp/shelfwise-trial
    """
    from shelfwise import local as server

    emit(asdict(server.start(version=version, port=port, data=data)))


@local.command("stop")
@click.option("--data", type=click.Path(path_type=Path), help="The folder it was started with.")
def local_stop(data: Path | None) -> None:
    """Stop it cleanly; its data stay.

    \b
    shelfwise local stop
    """
    from shelfwise import local as server

    stopped = server.stop(data=data)
    emit(asdict(stopped) if stopped else {"url": None, "version": None, "pid": None})


@local.command("status")
@click.option("--data", type=click.Path(path_type=Path), help="The folder it was started with.")
def local_status(data: Path | None) -> None:
    """Where it is, if it runs.

    \b
    shelfwise local status
    """
    from shelfwise import local as server

    running = server.status(data=data)
    emit(asdict(running) if running else {"url": None, "version": None, "pid": None})


def show(hits: "Sequence[Hit]", table: bool) -> None:
    """Hits as JSON lines, or as a table."""
    if not table:
        for hit in hits:
            emit(hit.to_json())
        return
    for line in hit_table(hits):
        click.echo(line)
