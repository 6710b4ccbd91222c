"""A real Elasticsearch on this machine: one node on loopback, without Docker, not as root.

The distribution is shared and only read; what a server writes lies in its data folder, so that several run at once:

    DATA/lock           held while a server of this folder is started or stopped
    DATA/server.json    url, version and pid of the server that is up
    DATA/9/             config, data, logs, snapshots, tmp of the 9.x server (an 8.x server cannot read its data)
"""

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from shelfwise.distribution import DISTRIBUTIONS, Distribution, provide
from shelfwise.jdk import Jdk, choose_jdk, find_jdks
from shelfwise.machine import (
    LOOPBACK,
    Account,
    LocalServerError,
    Say,
    cache_folder,
    file_trouble,
    how_to_install,
    is_free,
    locked,
    make_folder,
    reaches,
    server_account,
)
from shelfwise.messages import tell
from shelfwise.node import START_LIMIT, Node, furnish, launch, node_name, processes_of, terminate, wait_until_up

__all__ = ["LocalServer", "LocalServerError", "chosen_version", "start", "status", "stop"]

DEFAULT_PORT = 9200
DEFAULT_HEAP = "1g"


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A server that is up: its address, its Elasticsearch version and its process id."""

    url: str
    version: str
    pid: int


def start(
    version: str | None = None,
    port: int | None = None,
    data: Path | None = None,
    heap: str | None = None,
    *,
    env: Mapping[str, str] = os.environ,
    say: Say = tell,
) -> LocalServer:
    """Start the server of a data folder and wait until it answers; if it is up already, give that one.

    :param version: one of `DISTRIBUTIONS`; by default the newest that a JDK of this machine runs.
    :param port: HTTP port; by default 9200 or the next free one.
    :param data: where the server keeps all it writes; by default `local` in the cache folder.
    :param heap: such as `1g` or `512m`; by default $SHELFWISE_ES_HEAP, else 1g.
    :raises LocalServerError: this machine lacks something, the port is taken, or the server did not come up.
    """
    account = server_account()
    folder = _data_folder(data, env, account)
    heap = heap or env.get("SHELFWISE_ES_HEAP") or DEFAULT_HEAP
    _check(version, port, heap)
    with _held(folder, say):
        if server := status(folder):
            return _same(server, version, port, folder)
        name = node_name(folder)
        terminate(name, say)  # a `start` that was killed may have left a server on its way up
        (folder / "server.json").unlink(missing_ok=True)
        distribution, jdk = _choose(version, _jdks(env, account), env, say)
        version, home = distribution.version, folder / distribution.version.partition(".")[0]
        cache = cache_folder(env, account)
        program = provide(distribution, cache, jdk, env, say)
        with _port(port, cache, say) as free, contextlib.ExitStack() as cleanup:
            node = Node(name, program, version, home, free, jdk, heap, account)
            furnish(node)
            cleanup.callback(terminate, name, say)  # also on Ctrl-C
            deadline = time.monotonic() + START_LIMIT
            launch(node, env)
            server = LocalServer(f"http://{LOOPBACK}:{free}", version, wait_until_up(node, deadline))
            _write_state(folder, server)
            cleanup.pop_all()
    return server


def chosen_version(*, env: Mapping[str, str] = os.environ) -> str:
    """The Elasticsearch that `start` takes where none is asked for: the newest that a JDK of this machine runs.

    :raises LocalServerError: there is no such JDK.
    """
    distribution, _ = _choose(None, _jdks(env, server_account()), env, lambda _: None)
    return distribution.version


def status(data: Path | None = None, *, env: Mapping[str, str] = os.environ) -> LocalServer | None:
    """The server of this data folder, or None if none is up."""
    folder = _data_folder(data, env, server_account())
    try:
        server = LocalServer(**json.loads((folder / "server.json").read_text()))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):  # not there, or cut short: no server
        return None
    except OSError as error:
        raise LocalServerError(f"cannot read {folder}/server.json: {error.strerror}: run this as its owner") from error
    return server if server.pid in processes_of(node_name(folder)) else None


def stop(data: Path | None = None, *, env: Mapping[str, str] = os.environ, say: Say = tell) -> LocalServer | None:
    """Stop the server of this data folder and wait for its end; give it, or None if none was up, which is said.

    :raises LocalServerError: the server belongs to someone else.
    """
    folder = _data_folder(data, env, server_account())
    with file_trouble(folder, "stop a local Elasticsearch"):
        is_there = folder.is_dir()
    if not is_there:
        say(f"no local Elasticsearch runs in {folder}")
        return None
    with _held(folder, say):
        server = status(folder)
        if not terminate(node_name(folder), say):
            say(f"no local Elasticsearch runs in {folder}")
        (folder / "server.json").unlink(missing_ok=True)
    return server


def _data_folder(data: Path | None, env: Mapping[str, str], account: Account | None) -> Path:
    folder = (data or cache_folder(env, account) / "local").expanduser().resolve()
    if account and not reaches(account, folder):
        closed = next(path for path in reversed([folder, *folder.parents]) if not reaches(account, path))
        raise LocalServerError(
            f"as root, Elasticsearch runs as {account.name}, who cannot enter {closed} on the way to {folder}: "
            f"choose a folder outside it with --data, or `chmod o+x {closed}`"
        )
    return folder


def _check(version: str | None, port: int | None, heap: str) -> None:
    known = [distribution.version for distribution in DISTRIBUTIONS]
    if version and version not in known:
        raise LocalServerError(f"expected an Elasticsearch version out of {', '.join(known)}, received {version}")
    if port is not None and not 1 <= port <= 65535:
        raise LocalServerError(f"expected a port from 1 to 65535, received {port}")
    if not re.fullmatch(r"[1-9]\d*[kmgKMG]", heap):
        raise LocalServerError(f"expected a heap such as 1g or 512m (SHELFWISE_ES_HEAP), received {heap!r}")


@contextlib.contextmanager
def _held(folder: Path, say: Say) -> Iterator[None]:
    with file_trouble(folder, "keep a local Elasticsearch's files"):
        make_folder(folder)
        with locked(folder / "lock", f"another start or stop of the server in {folder}", say):
            yield


def _same(server: LocalServer, version: str | None, port: int | None, folder: Path) -> LocalServer:
    other_version = version not in (None, server.version)
    if other_version or (port is not None and server.url != f"http://{LOOPBACK}:{port}"):
        raise LocalServerError(
            f"expected to start {f'Elasticsearch {version}' if other_version else f'on port {port}'}, but "
            f"{server.version} runs in {folder} at {server.url}: "
            f"stop it first (shelfwise local stop), or choose another folder with --data"
        )
    return server


def _jdks(env: Mapping[str, str], account: Account | None) -> list[Jdk]:
    return [jdk for jdk in find_jdks(env) if reaches(account, jdk.home)]


def _choose(version: str | None, jdks: list[Jdk], env: Mapping[str, str], say: Say) -> tuple[Distribution, Jdk]:
    """The distribution that was asked for, or else the newest for which there is a JDK; and that JDK."""
    asked = [distribution for distribution in DISTRIBUTIONS if version in (None, distribution.version)]
    for distribution in asked:
        if jdk := choose_jdk(jdks, distribution.oldest_java):
            if distribution is not asked[0]:
                say(
                    f"taking Elasticsearch {distribution.version}: the newest full JDK here is {jdk.major}, "
                    f"and {asked[0].version} needs {asked[0].oldest_java} or later"
                )
            return distribution, jdk
    oldest = asked[-1].oldest_java
    found = ", ".join(f"{jdk.major} in {jdk.home}" for jdk in jdks) or "none"
    if env.get("ES_JAVA_HOME"):
        found += f" (ES_JAVA_HOME={env['ES_JAVA_HOME']}: unset it to look elsewhere)"
    older = [other.version for other in DISTRIBUTIONS if choose_jdk(jdks, other.oldest_java)]
    raise LocalServerError(
        f"Elasticsearch {asked[-1].version} needs a full JDK of {oldest} or later, found {found}: "
        + (f"take --version {older[0]}, or " if older else "")
        + how_to_install(env, oldest)
    )


@contextlib.contextmanager
def _port(port: int | None, cache: Path, say: Say) -> Iterator[int]:
    """The port to serve on. While a server whose port we chose comes up, no other process chooses."""
    if port is not None:
        if not is_free(port):
            raise LocalServerError(f"expected port {port} to be free, but something listens there: choose another")
        yield port
        return
    last = DEFAULT_PORT + 99
    with locked(cache / "port.lock", "another local Elasticsearch to come up", say):
        chosen = next(filter(is_free, range(DEFAULT_PORT, last + 1)), None)
        if chosen is None:
            raise LocalServerError(f"all ports from {DEFAULT_PORT} to {last} are taken: choose one with --port")
        if chosen != DEFAULT_PORT:
            address = f"http://{LOOPBACK}:{chosen}"
            say(
                f"port {DEFAULT_PORT} is taken: using {chosen}; other commands need: export ELASTICSEARCH_URL={address}"
            )
        yield chosen


def _write_state(folder: Path, server: LocalServer) -> None:
    """Write server.json as a whole or not at all."""
    draft = folder / "server.json.new"
    draft.write_text(json.dumps(asdict(server)) + "\n")
    draft.replace(folder / "server.json")
