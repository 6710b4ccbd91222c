"""What the benchmarks share: reading JSON lines, telling the machine, and telling figures."""

import gzip
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shelfwise.capacity import capacity


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def machine(**more: Any) -> dict[str, Any]:
    """What a result says of the machine that it was measured on."""
    found = capacity()
    here = {"cores": found.cores, "processor": found.processor, "instruction_sets": list(found.instruction_sets)}
    return here | more


def tell(figures: Mapping[str, Any], out: Path | None) -> None:
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    keep(figures, out)


def keep(figures: Mapping[str, Any], out: Path | None) -> None:
    """Write what there is so far, so that hours of measuring are not lost with the last of them."""
    if out:
        out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
