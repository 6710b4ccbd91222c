"""Archives of Maven Central, fetched with Maven and believed only with the hash that they must have.

~/.m2/settings.xml (mirrors, proxies) is honoured, ~/.m2/repository is neither read nor written.
"""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shelfwise.errors import ShelfwiseError

GET = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:get"
FETCH_LIMIT = 3600  # seconds for one archive


class MavenError(ShelfwiseError):
    """An archive cannot be fetched, or is not the one that is expected."""


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive on Maven Central, its kind ("zip", "jar"), and the SHA-256 it must have."""

    group: str
    name: str
    version: str
    sha256: str
    kind: str = "zip"


def fetch(archive: Archive, repository: Path, env: Mapping[str, str], otherwise: str) -> Path:
    """Fetch an archive into a Maven repository of its own; where it lies there.

    :param env: what Maven runs with; its PATH is where Maven is looked for.
    :param otherwise: what to do without Maven, the end of an error message.
    :raises MavenError: no Maven, no network, or an archive that is not the one expected.
    """
    maven = shutil.which("mvn", path=env.get("PATH", ""))
    if maven is None:
        raise MavenError(f"expected Maven (mvn) on PATH to fetch {archive.name}, found none: {otherwise}")
    coordinates = f"{archive.group}:{archive.name}:{archive.version}:{archive.kind}"
    options = [f"-Dmaven.repo.local={repository}", "-Dtransitive=false", f"-Dartifact={coordinates}"]
    try:
        done = subprocess.run(  # noqa: S603
            [maven, "-q", "-B", GET, *options],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=FETCH_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MavenError(f"Maven did not fetch {coordinates} within {FETCH_LIMIT} seconds: try again") from error
    file = repository.joinpath(*archive.group.split("."), archive.name, archive.version)
    file = file / f"{archive.name}-{archive.version}.{archive.kind}"
    if done.returncode or not file.is_file():
        raise MavenError(
            f"Maven could not fetch {coordinates}: {_complaint(done.stdout)}: check the network, "
            f"and the mirrors and proxies in ~/.m2/settings.xml; then try again"
        )
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != archive.sha256:
        raise MavenError(
            f"{file.name}: expected SHA-256 {archive.sha256}, received {found}: not used; "
            f"something between here and Maven Central changed it"
        )
    return file


def _complaint(output: str) -> str:
    """The first error line of Maven's output."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in output.splitlines()]
    errors = [line.removeprefix("[ERROR]").strip() for line in lines if line.startswith("[ERROR]")]
    return next((line for line in [*errors, *lines] if line), "no output")[:300]
