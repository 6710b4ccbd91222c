"""Text files: texts on disk that are found by their number; of each, 8 bytes stay in memory."""

import os
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class TextFile:
    """Texts in the order in which they were added, a context manager while they are."""

    def __init__(self, path: Path) -> None:
        self._ends = array("q", [0])
        self._file = path.open("w+b")

    def __enter__(self) -> "TextFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.flush()

    def add(self, text: str) -> None:
        """Put a text behind those that are there."""
        content = text.encode()
        self._file.write(content)
        self._ends.append(self._ends[-1] + len(content))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def at(self, numbers: npt.NDArray[Any]) -> dict[int, str]:
        """The texts of some numbers, by number; an array of any shape."""
        file, ends = self._file.fileno(), self._ends
        return {
            number: os.pread(file, ends[number + 1] - ends[number], ends[number]).decode()
            for number in np.unique(numbers).tolist()
        }
