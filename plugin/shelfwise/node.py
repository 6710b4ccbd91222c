"""One Elasticsearch node as processes of this machine: furnish its folders, launch it, wait until it is up, end it.

Every process of a node carries the node's name on its command line, and the name is made from the data folder. A pid
alone proves nothing, for it may be another process by now; the name also finds what a killed `start` left behind.
"""

import hashlib
import http.client
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shelfwise.jdk import Jdk
from shelfwise.machine import LOOPBACK, Account, LocalServerError, Say, command_lines, make_folder

START_LIMIT = 120.0  # seconds
STOP_LIMIT = 30.0  # seconds
# the distribution's own choice is up to 2 GB of garbage-collection logs
JAVA_LOGGING = "-Xlog:disable -Xlog:all=warning:stderr:utctime,level,tags"


@dataclass(frozen=True, slots=True)
class Node:
    """What a node is made of: the distribution it runs, the folder it writes to, and what it is given."""

    name: str
    program: Path
    version: str
    home: Path
    port: int
    jdk: Jdk
    heap: str
    account: Account | None

    @property
    def log(self) -> Path:
        """What Elasticsearch says while it starts. It lies where only we write: root must not follow others' links."""
        return self.home / "start.log"

    @property
    def pid_file(self) -> Path:
        """Written by Elasticsearch once it listens."""
        return self.home / "tmp" / "pid"


def node_name(data: Path) -> str:
    """The name of the node of a data folder."""
    return f"shelfwise-{hashlib.sha256(str(data).encode()).hexdigest()[:16]}"


def processes_of(name: str) -> list[int]:
    """The ids of all processes of the node of this name: the launcher, the server, or both."""
    return [pid for pid, command in command_lines() if f"node.name={name}" in command]


def furnish(node: Node) -> None:
    """Make the folders of a node, those that Elasticsearch writes to its account's own, and write its configuration."""
    make_folder(node.home)
    for folder in ("config", "data", "logs", "snapshots", "tmp"):
        make_folder(node.home / folder, node.account)
    for file in ("jvm.options", "log4j2.properties"):
        _write(node.home / "config" / file, (node.program / "config" / file).read_text())
    lines = (f"{key}: {json.dumps(value)}\n" for key, value in settings(node).items())  # YAML contains JSON
    _write(node.home / "config" / "elasticsearch.yml", "".join(lines))
    _write(node.log, "")
    node.pid_file.unlink(missing_ok=True)


def settings(node: Node) -> dict[str, object]:
    """What stands in elasticsearch.yml."""
    return {
        "cluster.name": "shelfwise-local",
        "discovery.type": "single-node",
        "network.host": LOOPBACK,
        "http.port": node.port,
        "transport.port": "9300-9399",  # nothing of ours speaks it: the server takes the first free one
        "path.data": str(node.home / "data"),
        "path.logs": str(node.home / "logs"),
        "path.repo": [str(node.home / "snapshots")],
        "xpack.security.enabled": False,
        "cluster.routing.allocation.disk.threshold_enabled": False,
        "action.destructive_requires_name": True,
    }


def launch(node: Node, env: Mapping[str, str]) -> None:
    """Run Elasticsearch's own launcher, which ends when the server is up and leaves it behind as a daemon.

    :raises LocalServerError: the server did not come up.
    """
    with node.log.open("wb") as log:
        launcher = subprocess.Popen(  # noqa: S603
            [node.program / "bin" / "elasticsearch", "-d", "-p", node.pid_file, f"-Enode.name={node.name}"],
            cwd=node.home,
            env={
                "PATH": env.get("PATH", os.defpath),
                "ES_PATH_CONF": str(node.home / "config"),
                "ES_JAVA_HOME": str(node.jdk.home),
                "ES_TMPDIR": str(node.home / "tmp"),
                "ES_JAVA_OPTS": f"-Xms{node.heap} -Xmx{node.heap} {JAVA_LOGGING} -Dnode.name={node.name}",
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for us, who then end it in order
            user=node.account.uid if node.account else None,
            group=node.account.gid if node.account else None,
            extra_groups=[] if node.account else None,
        )
    try:
        if launcher.wait(START_LIMIT):
            raise LocalServerError(f"Elasticsearch {node.version} ended while it started: {_last_words(node.log)}")
    except subprocess.TimeoutExpired as error:
        raise _too_late(node) from error
    finally:
        if launcher.poll() is None:
            launcher.kill()
            launcher.wait()


def wait_until_up(node: Node, deadline: float) -> int:
    """Wait until the node answers and its cluster takes indices; give its process id.

    :param deadline: on the monotonic clock, seconds.
    :raises LocalServerError: it ended, is of another version, or does not answer in time.
    """
    while time.monotonic() < deadline:
        if not processes_of(node.name):
            raise LocalServerError(f"Elasticsearch {node.version} ended while it started: {_last_words(node.log)}")
        about = _ask(node.port, "/")
        healthy = _ask(node.port, "/_cluster/health").get("status") in ("yellow", "green")
        licensed = "license" in _ask(node.port, "/_license")  # a new cluster gives itself the basic one a moment later
        if about.get("name") == node.name and healthy and licensed:
            if (found := about["version"]["number"]) != node.version:
                raise LocalServerError(
                    f"expected Elasticsearch {node.version} out of {node.program}, received {found}: "
                    f"delete that folder, so that it is fetched again"
                )
            return int(node.pid_file.read_text())
        time.sleep(0.2)
    raise _too_late(node)


def terminate(name: str, say: Say) -> bool:
    """End every process of a node, in order if it will, else by force; whether there was one.

    :raises LocalServerError: it belongs to someone else, or outlives even that.
    """
    if not (processes := processes_of(name)):
        return False
    for how in (signal.SIGTERM, signal.SIGKILL):
        if how is signal.SIGKILL:
            say(f"Elasticsearch (process {processes[0]}) did not end within {STOP_LIMIT:.0f} seconds: killing it")
        for pid in processes:
            _signal(pid, how)
        deadline = time.monotonic() + STOP_LIMIT
        while (processes := processes_of(name)) and time.monotonic() < deadline:
            time.sleep(0.1)
        if not processes:
            return True
    raise LocalServerError(f"process {processes[0]} did not end although it was killed: look at it with ps")


def _signal(pid: int, how: signal.Signals) -> None:
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        return  # it ended meanwhile
    except PermissionError as error:
        raise LocalServerError(f"process {pid} belongs to another user: stop it as that user or as root") from error


def _ask(port: int, path: str) -> dict[str, Any]:
    """A JSON object from the server, whatever proxy is set; empty while there is no good answer."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path)
        answer = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else {}


def _last_words(log: Path) -> str:
    """The last line of the log that tells a cause, and where the rest is."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    telling = [
        line
        for line in lines
        if re.search(r"exception|error|fatal|invalid|cannot|could not", line, re.IGNORECASE)
        and not re.match(r"at |\.\.\. |ERROR: Elasticsearch (did not|died)", line)
    ]
    return f"{(telling or lines or ['it said nothing'])[-1][:400]} (all of it: {log})"


def _too_late(node: Node) -> LocalServerError:
    return LocalServerError(
        f"expected Elasticsearch {node.version} to answer on port {node.port} within {START_LIMIT:.0f} seconds, "
        f"it did not: {_last_words(node.log)}; a machine this busy may do on a second try"
    )


def _write(file: Path, text: str) -> None:
    """Replace a file by one that all may read; a link that the folder's owner put there is not followed."""
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    with draft.open("x") as content:
        content.write(text)
        os.fchmod(content.fileno(), 0o644)
    draft.replace(file)
