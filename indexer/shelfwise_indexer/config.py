"""The configuration: every choice of a training in one file, with its default and a line of help."""

import difflib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from shelfwise.bundle import Bundle
from shelfwise.errors import UsageError
from shelfwise_indexer.settings import TrainSettings


def read_config(path: str | os.PathLike[str]) -> TrainSettings:
    """The settings in a TOML file; what it does not name keeps its default.

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
        closest = difflib.get_close_matches(unknown, known, 1)
        meant = f": did you mean {closest[0]}?" if closest else f": expected one of {', '.join(known)}"
        raise UsageError(f"{path}: there is no setting {unknown}{meant}")
    try:
        return TypeAdapter(TrainSettings).validate_python(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path}: {name} = {first['input']!r}: {first['msg']}") from None


def settings_of(bundle: Bundle) -> TrainSettings:
    """The settings that a bundle was trained with.

    :raises UsageError: they are of a shelfwise that knew others.
    """
    try:
        return TypeAdapter(TrainSettings).validate_python(bundle.info["settings"])
    except (KeyError, ValidationError) as error:
        raise UsageError(f"{bundle.path}: its settings cannot be read ({error}): give them with --config") from None


def show_config(settings: TrainSettings | None = None) -> str:
    """The settings as a TOML file that `read_config` reads, each with its help."""
    return "\n".join(_lines(settings or TrainSettings())) + "\n"


def _unknown(given: Mapping[str, Any], kind: type, above: str) -> Iterator[tuple[str, list[str]]]:
    hints = get_type_hints(kind)
    for name, value in given.items():
        if name not in hints:
            yield above + name, [above + known for known in hints]
        elif is_dataclass(hints[name]) and isinstance(hints[name], type) and isinstance(value, Mapping):
            yield from _unknown(value, hints[name], f"{above}{name}.")


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
