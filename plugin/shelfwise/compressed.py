"""The compressed model: a bundle's model once more in eight-bit integers, and what its making measured of it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shelfwise.errors import InvalidBundle, UsageError

if TYPE_CHECKING:
    from shelfwise.bundle import Bundle

MODEL = "model-int8.xml"
FILES = (MODEL, "model-int8.bin")


def entry(bundle: "Bundle") -> Mapping[str, Any]:
    """What `bundle.json` says of it; empty where none was tried.

    :raises InvalidBundle: what it says is no object.
    """
    given = bundle.info.get("compressed", {})
    found = given.get("int8", {}) if isinstance(given, Mapping) else None
    if not isinstance(found, Mapping):
        raise InvalidBundle(f"{bundle.path}/bundle.json: compressed is no object with int8: copy the bundle again")
    return found


def has_int8(bundle: "Bundle") -> bool:
    """Whether the bundle has one: it was made, and lost no more than it may."""
    return bool(entry(bundle).get("kept"))


def is_spared(bundle: "Bundle") -> bool:
    """Whether a part of the trunk stayed in floats, as the whole in integers lost too much."""
    return bool(entry(bundle).get("spared"))


def checked_model(bundle: "Bundle") -> str:
    """The name of its file.

    :raises UsageError: the bundle has none.
    :raises InvalidBundle: its files are missing, cannot be read, or are not those that were measured.
    """
    from shelfwise.bundle import content_hash, unreadable

    if not has_int8(bundle):
        refused = f": {reason}" if (reason := entry(bundle).get("reason")) else ""
        raise UsageError(
            f"{bundle.path} has no int8 model{refused}. `shelfwise train` makes one where `int8` of [compress] in its "
            "--config is true, as by default, and it is as good as the exact one; use f32 or bf16 with this bundle"
        )
    try:
        found = content_hash(bundle.path, {}, FILES)
    except FileNotFoundError as error:
        missing = str(error.filename).rsplit("/", 1)[-1]
        raise InvalidBundle(f"{bundle.path} is incomplete: {missing} is missing; copy it again or use f32") from None
    except OSError as error:
        raise InvalidBundle(unreadable(bundle.path, error)) from None
    if found != (expected := entry(bundle).get("hash")):
        raise InvalidBundle(
            f"{bundle.path}: {MODEL} was changed since it was measured (it hashes to {found}, bundle.json says "
            f"{expected}): copy the bundle again or use f32"
        )
    return MODEL
