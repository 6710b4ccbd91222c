"""Folders that runs keep their work in, made where they are not there, and files that they will write."""

import os
from pathlib import Path

from shelfwise.errors import UsageError


def made(folder: Path, instead: str) -> Path:
    """The folder, which can be written.

    :param instead: what to do where that cannot be, as the end of the message.
    :raises UsageError: it is a file, or lies where nothing may be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UsageError(f"{folder} is there and is not a folder: {instead}") from None
    except OSError as error:
        raise UsageError(f"{folder} cannot be made ({error.strerror}): {instead}") from None
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder} cannot be written: {instead}")
    return folder


def check_writable(file: Path, instead: str) -> None:
    """Look before the work whether its result can be written in the end; nothing is changed.

    :param instead: what to do where it cannot, as the end of the message.
    :raises UsageError: it cannot.
    """
    there = file.exists()
    try:
        file.open("ab").close()
    except OSError as error:
        raise UsageError(f"{file} cannot be written ({error.strerror}): {instead}") from None
    if not there:
        file.resolve().unlink()  # not a link that leads there
