"""Weights a query: how far BM25 and how far the vector is followed, from what the query looks like.

A short query with a model number or a measure means those very words; a description of use shares few words with what
it asks for. Weight of `lexical` = 1 / (1 + exp(-(bias + digits * d + length * (words - 3)))), d = 1 when the query
holds a digit; `semantic` gets the rest. The coefficients are learnt from judged queries where there are some.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson

from shelfwise.errors import UsageError
from shelfwise.letters import IDEOGRAPHS, word_pattern

GRID = tuple(round(0.05 * step, 2) for step in range(21))  # weights of `lexical` that learning compares
_BIASES = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0)
_DIGITS = (0.0, 0.9, 1.8, 2.7)
_LENGTHS = (-0.5, -0.25, -0.1, 0.0)
_FARTHER = (
    0.002  # gain that a coefficient one step away from the default must bring: half a point on few queries is luck
)

# A word of Chinese is two characters long, more often than not.
_WORD = re.compile(rf"[{IDEOGRAPHS}]{{1,2}}|{word_pattern(besides=IDEOGRAPHS)}")


@dataclass(frozen=True, slots=True)
class QueryWeights:
    """The coefficients; by default BM25 weighs .31 for one word, .27 for three, .15 for ten, .48 with a digit."""

    bias: float = -1.0
    digits: float = 0.9
    """Added when the query holds a digit."""
    length: float = -0.1
    """Added for each word beyond three."""

    def of(self, query: str) -> dict[str, float]:
        """The weights of `lexical` and `semantic`, which add up to 1."""
        words = _WORD.findall(query)
        digit = any(any(map(str.isdigit, word)) for word in words)
        x = self.bias + self.digits * digit + self.length * (min(len(words), 50) - 3)
        lexical = 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, x))))
        return {"lexical": lexical, "semantic": 1.0 - lexical}

    def place_of(self, query: str) -> int:
        """The place in GRID of the weight of `lexical`, rounded."""
        return round(self.of(query)["lexical"] * (len(GRID) - 1))

    def save(self, path: str | Path) -> None:
        """Write the coefficients as JSON."""
        Path(path).write_bytes(orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2) + b"\n")

    @classmethod
    def load(cls, path: str | Path) -> "QueryWeights":
        """Read what `save` wrote.

        :raises UsageError: the file is not there, or not of the format.
        """
        expected = 'expected {"bias": -1.0, "digits": 0.9, "length": -0.1}'
        try:
            given = orjson.loads(Path(path).read_bytes())
        except OSError as error:
            raise UsageError(f"fusion {path} cannot be read ({error.strerror}): {expected}") from None
        except orjson.JSONDecodeError as error:
            raise UsageError(f"fusion {path} is not JSON ({error}): {expected}") from None
        if not isinstance(given, Mapping) or given.keys() != {"bias", "digits", "length"}:
            raise UsageError(f"fusion {path}: {expected}, got {str(given)[:60]}")
        if not all(isinstance(part, (int, float)) and not isinstance(part, bool) for part in given.values()):
            raise UsageError(f"fusion {path}: {expected}, got {str(given)[:60]}")
        return cls(**{name: float(value) for name, value in given.items()})


def learn(queries: Sequence[str], gains: npt.NDArray[np.float64]) -> QueryWeights:
    """The coefficients, out of a grid of 96, with the highest mean gain; near the default unless it pays to leave it.

    :param gains: float64 [queries, len(GRID)]: what each query gains, such as its nDCG@10, with the weight of
        `lexical` that GRID has at that place.
    :raises UsageError: no query, or another shape.
    """
    if not queries or gains.shape != (len(queries), len(GRID)):
        raise UsageError(f"gains must be [queries, {len(GRID)}] of at least one query, got {list(gains.shape)}")
    default = QueryWeights()
    best, most = default, -math.inf
    for bias, digits, length in product(_BIASES, _DIGITS, _LENGTHS):
        tried = QueryWeights(bias, digits, length)
        steps = sum(getattr(tried, name) != getattr(default, name) for name in ("bias", "digits", "length"))
        at = [tried.place_of(query) for query in queries]
        gain = float(np.mean(gains[np.arange(len(queries)), at])) - _FARTHER * steps
        if gain > most:
            best, most = tried, gain
    return best
