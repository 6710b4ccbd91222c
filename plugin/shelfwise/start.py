"""The start of the program, which an interruption may meet before any command is loaded."""

import signal
import sys


def main() -> None:
    """Run the command line. SIGTERM, with which a scheduler ends a run, interrupts it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        from shelfwise.cli import main as commands
    except KeyboardInterrupt:
        sys.stderr.write("shelfwise: interrupted\n")
        sys.exit(130)
    commands()
