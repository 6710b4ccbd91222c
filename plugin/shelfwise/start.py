"""The start of the program, which an interruption may meet before any command is loaded."""

import os
import signal
import sys


def main() -> None:
    """Run the command line. SIGTERM, with which a scheduler ends a run, interrupts it as Ctrl-C does.

    Not one of several processes of `accelerate launch`, which may be waiting for the others where no handler is run.
    """
    if "RANK" not in os.environ:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        from shelfwise.cli import main as commands
    except KeyboardInterrupt:
        sys.stderr.write("shelfwise: interrupted\n")
        sys.exit(130)
    commands()
