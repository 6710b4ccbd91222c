"""How long the light install takes to start: `import shelfwise`, and `shelfwise search` to its first hit.

    python benchmarks/startup.py --alias ALIAS --bundle BUNDLE [--query TEXT] [--url URL] [--runs 7] [--out FILE]

Builds the wheel and installs it without extras into an empty environment, with bytecode as pip does, away from the
clone. Files are read once before, so that they are in the machine's file cache; then each command in turn, medians.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from figures import machine, tell
from shelfwise import Bundle, connect

ROOT = Path(__file__).resolve().parents[1]
AIMS = {"import_seconds": 0.3, "first_hit_seconds": 1.5}
# What would let the clone be imported instead, or every module be compiled anew at each start.
LEFT_OUT = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")


def light_install(folder: Path) -> Path:
    """The programs of an environment with nothing but the light install."""
    own = ROOT / ".uv" / "bin" / "uv"
    uv = str(own) if own.exists() else shutil.which("uv")
    if uv is None:
        sys.exit(f"no uv to build the wheel with: `make setup` puts one at {own}, `pip install uv` on the PATH")
    environment = folder / "light"
    for arguments in (
        ["build", "--wheel", "--python", sys.executable, "--out-dir", folder / "dist", ROOT],
        ["venv", "--python", sys.executable, environment],
    ):
        subprocess.run([uv, arguments[0], "--quiet", *map(str, arguments[1:])], check=True)
    [wheel] = (folder / "dist").glob("*.whl")
    install = ["pip", "install", "--quiet", "--compile-bytecode", "--python", environment / "bin" / "python", wheel]
    subprocess.run([uv, *map(str, install)], check=True)
    return environment / "bin"


def seconds_to_first_line(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> tuple[float, float]:
    """Until the first line on stdout, and until the end.

    :raises SystemExit: it failed, or said nothing.
    """
    begun = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None  # noqa: S101
        line = running.stdout.readline()
        first = time.perf_counter() - begun
        running.stdout.read()
    if running.returncode or not line.strip():
        sys.exit(f"{' '.join(command)} ended with {running.returncode} and said {line.decode()!r}")
    return first, time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alias", required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--query", default="coffee mug")
    parser.add_argument("--url")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    at = ["--alias", options.alias, "--bundle", str(options.bundle.resolve())]
    at += ["--url", options.url] if options.url else []
    env = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    with tempfile.TemporaryDirectory() as scratch:
        programs = light_install(Path(scratch))
        python, shelfwise = str(programs / "python"), str(programs / "shelfwise")
        commands = {
            "python": [python, "-c", "print(1)"],
            "import_shelfwise": [python, "-c", "import shelfwise; print(1)"],
            "help": [shelfwise, "--help"],
            "search_words": [shelfwise, "search", options.query, *at, "--mode", "lexical"],
            "search": [shelfwise, "search", options.query, *at],
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for run in range(options.runs + 1):
            for name, command in commands.items():
                seconds = seconds_to_first_line(command, Path(scratch), env)
                if run:  # the first reads the files from disk
                    taken[name].append(seconds)
    figures = {
        "benchmark": "startup",
        "runs": options.runs,
        "machine": machine(python=platform.python_version()),
        "bundle": Bundle.load(options.bundle).version,
        "server": connect(options.url).info()["version"]["number"],
        "aims": AIMS,
        "seconds": {
            name: {
                "first_line": round(statistics.median(first for first, _ in given), 3),
                "slowest_first_line": round(max(first for first, _ in given), 3),
                "end": round(statistics.median(end for _, end in given), 3),
            }
            for name, given in taken.items()
        },
    }
    tell(figures, options.out)


if __name__ == "__main__":
    main()
