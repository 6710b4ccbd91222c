"""What every command shares: options, JSON lines on stdout, exit statuses.

Exit status 0: done; 1: finished, but something was rejected; 2: could not be done as asked; 130: interrupted,
by Ctrl-C or SIGTERM.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import orjson

from shelfwise.errors import UsageError
from shelfwise.table import hit_table

if TYPE_CHECKING:
    from shelfwise.answering import Lines
    from shelfwise.hit import Hit
    from shelfwise.reranker import Reranker

REJECTED, FAILED, INTERRUPTED = 1, 2, 130
Command = TypeVar("Command", bound=Callable[..., Any])


def url_option(command: Command) -> Command:
    """`--url`, for commands that talk to a server."""
    return click.option(
        "--url",
        callback=_without_login,
        help="The server; default: $ELASTICSEARCH_URL, then http://localhost:9200.",
    )(command)


def _without_login(_context: click.Context, _option: click.Parameter, url: str | None) -> str | None:
    if url and "@" in url:  # wherever: a login without http:// before it is one, too
        raise click.BadParameter(
            "it holds a login, which every user of this machine can see in the list of processes: set "
            "ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD, or ELASTICSEARCH_API_KEY"
        )
    return url


def alias_option(command: Command) -> Command:
    """`--alias`, for commands that read or fill one."""
    return click.option("--alias", required=True, help="The alias that searches go to.")(command)


def bundle_option(command: Command) -> Command:
    """`--bundle`, for commands that run a model."""
    return click.option(
        "--bundle", required=True, type=click.Path(path_type=Path), help="The folder that `shelfwise train` wrote."
    )(command)


def listed_names(_context: click.Context, option: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """The names of a list such as `title,description`; the callback of an option. None: it was not given."""
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise UsageError(f"{option.opts[0]} names no field: expected such as title,description")
    return names


def rerank_options(command: Command) -> Command:
    """`--rerank` and `--reranker`; see `reranker_of`."""
    count = click.option("--rerank", type=int, metavar="N", help="Put the first N hits (1-100) in order by --reranker.")
    folder = click.option(
        "--reranker",
        type=click.Path(path_type=Path),
        help="What `shelfwise rerank export` or `train` wrote.",
    )
    return count(folder(command))


def reranker_of(rerank: int | None, folder: Path | None) -> "Reranker | None":
    """The reranker that the options name.

    :raises UsageError: one of them without the other.
    :raises InvalidReranker: the folder is missing or damaged.
    """
    from shelfwise.reranker import Reranker

    if rerank is not None and folder is None:
        raise UsageError(
            f"--rerank {rerank} needs --reranker FOLDER, which `shelfwise rerank export` or `train` writes"
        )
    if rerank is None and folder is not None:
        raise UsageError(f"--reranker {folder} needs the number of hits that it puts in order, such as --rerank 50")
    return None if folder is None else Reranker(folder)


def emit(line: Any) -> None:
    """One JSON line on stdout.

    :raises UsageError: as `put`.
    """
    put(orjson.dumps(line))


def put(line: str | bytes, end: bool = True) -> None:
    """One line on stdout.

    :param end: whether its end is to be written, too.
    :raises UsageError: it cannot be written; of a reader that has stopped reading click makes a quiet end.
    """
    try:
        click.echo(line, nl=end)
    except BrokenPipeError:
        raise
    except OSError as error:
        # Else Python tries again when it ends, and says so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise UsageError(f"standard output cannot be written ({error.strerror}): send it elsewhere") from None


def status_of(lines: "Lines[Any]", failed: int = 0) -> int:
    """The exit status after lines were answered, `failed` of them with nothing."""
    if lines.rejected == lines.read:
        return FAILED
    return REJECTED if lines.rejected or failed else 0


def show(hits: "Sequence[Hit]", table: bool) -> None:
    """Hits as JSON lines, or as a table."""
    if not table:
        for hit in hits:
            emit(hit.to_json())
        return
    for line in hit_table(hits):
        put(line)


def show_for(name: str, asked: Any, hits: "Sequence[Hit]", table: bool) -> None:
    """Hits of one of many questions: a JSON line with what was asked under its name, or a table below it."""
    if table:
        put(f"\n{asked}")
        show(hits, table)
    else:
        emit({name: asked, "hits": [hit.to_json() for hit in hits]})
