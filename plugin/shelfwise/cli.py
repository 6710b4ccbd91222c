"""The command line. JSON lines on stdout, progress and messages on stderr.

Exit status 0: done; 1: finished, but something was rejected; 2: could not be done as asked; 130: interrupted.
"""

import errno
import os
import sys
from contextlib import closing
from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click

from shelfwise.cli_doctor import doctor
from shelfwise.cli_recommend import recommend, similar
from shelfwise.cli_search import search
from shelfwise.console import FAILED, INTERRUPTED, emit, url_option
from shelfwise.errors import ShelfwiseError
from shelfwise.messages import first_of, tell

FULL = (errno.ENOSPC, errno.EDQUOT)  # a disk, or what a user may have of it
BAR_SECONDS = "30"  # between two states of a bar in a log, where each is a line


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
        except OSError as error:
            if error.errno not in FULL:
                raise
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"shelfwise: {where}{error.strerror}: make room, and call the same again", err=True)
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
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_MININTERVAL", BAR_SECONDS)  # read when a command loads tqdm


main.add_command(doctor)
main.add_command(recommend)
main.add_command(search)
main.add_command(similar)


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
    from shelfwise.index import rollback, written_since_live
    from shelfwise.live_index import live
    from shelfwise.server import connect

    with closing(connect(url)) as client:
        left = live(client, alias)
        now = rollback(client, alias)
        count, ids = written_since_live(client, left) or (None, [])
        if count:
            by_changes = ", some of them by `taxonomy migrate`" if left.meta.get("migrated_at") else ""
            tell(
                f"{count} products were written into {left.name} since it went live{by_changes}; {now} does not know "
                "of that, so write it again:"
            )
            for complaint in first_of(ids, count, "products"):
                tell(complaint)
        bundle = live(client, alias).meta.get("bundle")
        emit({"alias": alias, "index": now, "left": left.name, "bundle": bundle, "written_since": count})


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
