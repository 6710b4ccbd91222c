"""Standard input, which whoever starts a program may have closed."""

import sys
from typing import BinaryIO

from shelfwise.errors import UsageError


def standard_input() -> BinaryIO:
    """Its bytes.

    :raises UsageError: it is closed.
    """
    if sys.stdin is None:
        raise UsageError("-: standard input is closed: name a file, or pipe one in")
    return sys.stdin.buffer
