"""The Java development kits of this machine, and the one that fits a server."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

NEWEST_TRIED = 25  # 8.19.8 was started with 17 and 25, 9.4.3 with 25
NEEDED_MODULES = {"jdk.attach", "jdk.jdi"}  # a JRE lacks them, and the server's entitlement agent needs them
JVM_FOLDERS = (
    "/usr/lib/jvm/*",
    "~/.sdkman/candidates/java/*",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "/opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
    "/usr/local/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
)


@dataclass(frozen=True, slots=True)
class Jdk:
    """A full Java development kit: its home folder and its feature release (17, 21, 25 …)."""

    home: Path
    major: int


def find_jdks(env: Mapping[str, str], folders: Iterable[str] = JVM_FOLDERS) -> list[Jdk]:
    """Every full JDK in JAVA_HOME, the usual folders and on PATH; ES_JAVA_HOME, where set, is the only one looked at.

    :param folders: glob patterns of JDK homes, `~` being `env["HOME"]`.
    """
    homes = dict.fromkeys(home.resolve() for home in _candidates(env, folders))
    return [jdk for home in homes if (jdk := read_jdk(home))]


def choose_jdk(jdks: Iterable[Jdk], oldest: int) -> Jdk | None:
    """The newest JDK from `oldest` to the newest that was tried; failing that the oldest untried one; else None."""
    fitting = [jdk for jdk in jdks if jdk.major >= oldest]
    return min(fitting, key=lambda jdk: (jdk.major > NEWEST_TRIED, abs(jdk.major - NEWEST_TRIED)), default=None)


def read_jdk(home: Path) -> Jdk | None:
    """The full JDK in this folder, from its `release` file or else from itself; None if there is none."""
    if not all(os.access(home / "bin" / tool, os.X_OK) for tool in ("java", "javac")):
        return None
    release = ""
    with contextlib.suppress(OSError):  # some packages leave it out
        release = (home / "release").read_text(errors="replace")
    fields = dict(re.findall(r'^(\w+)="(.*)"$', release, flags=re.MULTILINE))
    version, modules = fields.get("JAVA_VERSION", ""), set(fields.get("MODULES", "").split())
    if not version or not modules:
        version, modules = _ask(home / "bin" / "java")
    major = re.match(r"\d+", version)
    return Jdk(home, int(major[0])) if major and modules >= NEEDED_MODULES else None


def _candidates(env: Mapping[str, str], folders: Iterable[str]) -> Iterator[Path]:
    if env.get("ES_JAVA_HOME"):
        yield Path(env["ES_JAVA_HOME"])
        return
    if env.get("JAVA_HOME"):
        yield Path(env["JAVA_HOME"])
    for pattern in folders:
        path = pattern.replace("~", env.get("HOME", "/nonexistent"), 1) if pattern.startswith("~") else pattern
        fixed, star, rest = path.partition("*")
        parent, _, start = fixed.rpartition("/")
        with contextlib.suppress(OSError):
            yield from sorted(Path(parent).glob(f"{start}{star}{rest}"))
    if java := shutil.which("java", path=env.get("PATH", "")):
        yield Path(java).resolve().parent.parent


def _ask(java: Path) -> tuple[str, set[str]]:
    """Version and modules by `java --list-modules` (`java.base@17.0.15`); Java 8 and a broken one give none."""
    try:
        answer = subprocess.run(  # noqa: S603
            [java, "--list-modules"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "", set()
    modules = dict(line.strip().partition("@")[::2] for line in answer.stdout.splitlines())
    return modules.get("java.base", ""), set(modules)
