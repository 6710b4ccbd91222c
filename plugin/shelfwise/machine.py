"""What this machine offers a local server: an account, folders that account reaches, free ports, locks, processes."""

import contextlib
import errno
import fcntl
import os
import pwd
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from shelfwise.errors import ShelfwiseError

Say = Callable[[str], None]
LOOPBACK = "127.0.0.1"
ACCOUNTS = ("elasticsearch", "nobody")  # the first is made by Elastic's own packages
INSTALLERS = {
    "apt-get": "apt-get install -y default-jdk-headless maven",
    "dnf": "dnf install -y java-21-openjdk-devel maven",
    "apk": "apk add openjdk21-jdk maven bash",
    "brew": "brew install openjdk@21 maven",
}
DEFAULT_JDK = 17  # of Debian 12, the oldest release whose default JDK runs any of our versions
INSTEAD = "setting ELASTICSEARCH_URL to a running server, or `docker compose up -d elasticsearch`, will do instead"


class LocalServerError(ShelfwiseError):
    """A local Elasticsearch cannot be fetched, started or stopped on this machine."""


@dataclass(frozen=True, slots=True)
class Account:
    """The unprivileged account that a server started by root runs as."""

    name: str
    uid: int
    gid: int


def server_account() -> Account | None:
    """Whom a server must run as: nobody else unless this is root, for Elasticsearch refuses root.

    An account is taken, not made: `elasticsearch` where there is one, else `nobody`. Only what a server writes belongs
    to it; the cached distribution belongs to root, so that a server cannot change its own code.

    :raises LocalServerError: this is root and there is neither.
    """
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(name)
            return Account(name, found.pw_uid, found.pw_gid)
    raise LocalServerError(
        f"Elasticsearch refuses to run as root and there is no account {' or '.join(ACCOUNTS)} to run it as: "
        f"run this as another user, or add one (useradd --system elasticsearch)"
    )


def reaches(account: Account | None, path: Path) -> bool:
    """Whether the account may enter every folder that exists on the way to `path`, and `path` (mode bits, no ACLs)."""
    if account is None:
        return True
    for folder in (path, *path.parents):
        try:
            status = folder.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not stat.S_ISDIR(status.st_mode):
            continue
        if status.st_uid == account.uid:
            allowed = status.st_mode & stat.S_IXUSR
        elif status.st_gid == account.gid:
            allowed = status.st_mode & stat.S_IXGRP
        else:
            allowed = status.st_mode & stat.S_IXOTH
        if not allowed:
            return False
    return True


def cache_folder(env: Mapping[str, str], account: Account | None) -> Path:
    """`shelfwise` in the first of $XDG_CACHE_HOME, ~/.cache and /var/cache that the server's account reaches."""
    wanted = [Path(env["HOME"], ".cache")] if env.get("HOME") else []
    if Path(env.get("XDG_CACHE_HOME", "")).is_absolute():  # the specification: a relative one is ignored
        wanted.insert(0, Path(env["XDG_CACHE_HOME"]))
    return next((folder for folder in wanted if reaches(account, folder)), Path("/var/cache")) / "shelfwise"


def make_folder(folder: Path, account: Account | None = None) -> Path:
    """Make a folder and the missing ones above it, all open to read; a new one belongs to `account` if given."""
    if not folder.is_dir():
        make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(0o755)  # whatever the umask: another account may have to pass
            if account:
                os.chown(folder, account.uid, account.gid)
    return folder


@contextlib.contextmanager
def file_trouble(folder: Path, purpose: str) -> Iterator[None]:
    """Turn a full disk or an unwritable folder into one line.

    :raises LocalServerError: the block raised OSError.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "free some space there"
        else:
            advice = "choose another folder (--data, XDG_CACHE_HOME) or make this one writable"
        raise LocalServerError(f"cannot {purpose}: {where}: {error.strerror or error}: {advice}") from error


@contextlib.contextmanager
def locked(path: Path, waiting_for: str, say: Say) -> Iterator[None]:
    """Hold an exclusive lock on a file, in turn with other processes; the system frees it when this process dies."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for {waiting_for}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Elasticsearch binds
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def command_lines() -> Iterator[tuple[int, str]]:
    """Every process with a command line (a zombie has none): its id and the line."""
    if Path("/proc/self/cmdline").exists():
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):  # it ended meanwhile, or is hidden from us
                    yield int(entry.name), (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        return
    listing = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True)  # noqa: S607
    for line in listing.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        yield int(pid), command


def how_to_install(env: Mapping[str, str], java: int) -> str:
    """The one command that installs a JDK of at least this release and Maven here, as the end of an error message."""
    sudo = "" if os.geteuid() == 0 else "sudo "
    for installer, command in INSTALLERS.items():
        if shutil.which(installer, path=env.get("PATH", "")):
            if java > DEFAULT_JDK:
                command = command.replace("default-jdk", f"openjdk-{java}-jdk")
            return f"`{'' if installer == 'brew' else sudo}{command}` installs both; {INSTEAD}"
    return f"install a full JDK of {java} or later and Maven; {INSTEAD}"
