"""The configuration: every choice of a training in one file, with its default and a line of help."""

import difflib
import json
import math
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from shelfwise.bundle import Bundle
from shelfwise.errors import UsageError
from shelfwise.messages import tell
from shelfwise_indexer.settings import TrainSettings

_EXPECTED = {
    "tuple_type": 'expected a list, such as ["title"]',
    "string_type": "expected text in quotation marks",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
}


def read_config(path: str | os.PathLike[str], base: TrainSettings | None = None) -> TrainSettings:
    """The settings in a TOML file; what it does not name is as in `base`, or keeps its default.

    :raises UsageError: not there, not TOML, an unknown key (names the closest one), a value that cannot be.
    """
    try:
        given = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}): `shelfwise train --show-config > {path}` writes one"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    for unknown, known in _unknown(given, TrainSettings, ""):
        raise UsageError(f"{path}: there is no setting {unknown}: {_meant(unknown, known)}")
    for name, value, expected in _impossible(given, TrainSettings, ""):
        raise UsageError(f"{path}: {name} = {_toml(value)}: expected {expected}")
    try:
        return TypeAdapter(TrainSettings).validate_python(_overlaid(asdict(base or TrainSettings()), given))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path}: {name} = {first['input']!r}: {_said(first['type'], first['msg'], name)}") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def settings_of(bundle: Bundle) -> TrainSettings:
    """The settings that a bundle was trained with.

    :raises UsageError: they are of a shelfwise that knew others.
    """
    try:
        return TypeAdapter(TrainSettings).validate_python(bundle.info["settings"])
    except (KeyError, ValidationError, UsageError) as error:
        raise UsageError(f"{bundle.path}: its settings cannot be read ({error}): give them with --config") from None


def settings_before(bundle: Bundle, config: str | os.PathLike[str] | None) -> TrainSettings:
    """As `settings_of`; the defaults, which is said, where they cannot be read and a file has them instead.

    :raises UsageError: as `settings_of`, without a file.
    """
    try:
        return settings_of(bundle)
    except UsageError:
        if config is None:
            raise
        tell(f"the settings of {bundle.path} cannot be read: what {config} does not name keeps its default")
        return TrainSettings()


def show_config(settings: TrainSettings | None = None) -> str:
    """The settings as a TOML file that `read_config` reads, each with its help."""
    return "\n".join(_lines(settings or TrainSettings())) + "\n"


def _unknown(given: Mapping[str, Any], kind: type, above: str) -> Iterator[tuple[str, list[str]]]:
    hints = get_type_hints(kind)
    for name, value in given.items():
        if name not in hints:
            yield above + name, [above + known for known in hints]
        elif _is_table(hints[name]) and isinstance(value, Mapping):
            yield from _unknown(value, hints[name], f"{above}{name}.")


def _meant(unknown: str, known: Sequence[str]) -> str:
    """What somebody meant who wrote a setting in the wrong table, or with another letter."""
    name = unknown.rpartition(".")[2]
    if elsewhere := [there for there in _names(TrainSettings, "") if there.rpartition(".")[2] == name]:
        top = " (above the first table)" if elsewhere == [name] else ""
        return f"did you mean {' or '.join(elsewhere)}{top}?"
    closest = difflib.get_close_matches(unknown, known, 1)
    return f"did you mean {closest[0]}?" if closest else f"expected one of {', '.join(known)}"


def _names(kind: type, above: str) -> Iterator[str]:
    for name, hint in get_type_hints(kind).items():
        if _is_table(hint):
            yield from _names(hint, f"{above}{name}.")
        else:
            yield above + name


def _impossible(given: Mapping[str, Any], kind: type, above: str) -> Iterator[tuple[str, Any, str]]:
    """Values that would be read as another one, or as a number that nothing can be done with; and what is expected."""
    hints = get_type_hints(kind)
    for name, value in given.items():
        if _is_table(hints[name]):
            yield from _impossible(value, hints[name], f"{above}{name}.") if isinstance(value, Mapping) else ()
        elif isinstance(value, float) and not math.isfinite(value):
            yield above + name, value, "a finite number"
        elif isinstance(value, bool) and bool not in (hints[name], *get_args(hints[name])):
            yield above + name, value, _kind(hints[name])


def _kind(hint: Any) -> str:
    if get_origin(hint) is tuple:
        return 'a list, such as ["title"]'
    kinds = (hint, *get_args(hint))
    return "a whole number" if int in kinds else "a number" if float in kinds else "text in quotation marks"


def _said(kind: str, message: str, name: str) -> str:
    """What pydantic says of a value, in the words of a TOML file."""
    if kind == "dataclass_type":
        return f"expected a table: [{name}] with its settings below it"
    return _EXPECTED.get(kind, message)


def _overlaid(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    laid = dict(base)
    for name, value in given.items():
        both = isinstance(value, Mapping) and isinstance(laid.get(name), Mapping)
        laid[name] = _overlaid(laid[name], value) if both else value
    return laid


def _is_table(hint: Any) -> bool:
    return isinstance(hint, type) and is_dataclass(hint)


def _lines(settings: Any) -> Iterator[str]:
    hints = get_type_hints(type(settings), include_extras=True)
    nested = []
    for one in fields(settings):
        value = getattr(settings, one.name)
        if is_dataclass(value):
            nested.append((one.name, value))
            continue
        info = next(part for part in get_args(hints[one.name]) if isinstance(part, FieldInfo))
        choices = [text for choice in _literals(hints[one.name]) for text in get_args(choice)]
        yield f"# {info.description}" + (f" One of {', '.join(choices)}." if choices else "")
        yield f"# {one.name} =" if value is None else f"{one.name} = {_toml(value)}"
    for name, value in nested:
        yield f"\n[{name}]"
        yield from _lines(value)


def _literals(hint: Any) -> Iterator[Any]:
    if get_origin(hint) is Literal:
        yield hint
    for part in get_args(hint):
        yield from _literals(part)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(part) for part in value)}]"
    # A string of JSON is one of TOML.
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
