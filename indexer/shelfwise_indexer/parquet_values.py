"""Values of Parquet: what its types make of a catalogue's numbers and objects, as JSON lines would have them."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np

Reading = Callable[[Any], Any]

_TOO_LARGE = 2**63  # whole numbers from here on cannot be written as JSON


def readings(schema: Any) -> dict[str, Reading]:
    """What to do with a value that is not null, by column; columns whose values are as they should be are left out."""
    return {field.name: reading for field in schema if (reading := _reading(field.type))}


def _reading(kind: Any) -> Reading | None:
    import pyarrow as pa  # here, because it takes longer to load than most catalogues to read

    types = pa.types
    if types.is_dictionary(kind):
        return _reading(kind.value_type)
    if types.is_float32(kind):
        return _shortest
    if types.is_decimal(kind):
        return float if kind.scale > 0 else _whole
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        within = _reading(kind.value_type)
        return within and (lambda values: [_read(within, value) for value in values])
    if types.is_struct(kind):
        return _of_struct(readings(kind))
    if types.is_map(kind):
        within = _reading(kind.item_type)
        return lambda pairs: {str(key): _read(within, value) for key, value in pairs}
    return None


def _of_struct(within: dict[str, Reading]) -> Reading | None:
    if not within:
        return None
    return lambda record: {name: _read(within.get(name), value) for name, value in record.items()}


def _read(reading: Reading | None, value: Any) -> Any:
    return value if reading is None or value is None else reading(value)


def _shortest(value: float) -> float:
    """The decimal that was meant: a float32 of 49.9 is 49.900001525878906 as a float64."""
    return float(str(np.float32(value)))


def _whole(value: Decimal) -> int | float:
    number = int(value)
    return number if abs(number) < _TOO_LARGE else float(value)
