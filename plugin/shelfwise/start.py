"""The start of the program, which an interruption may meet before any command is loaded."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from shelfwise.cli import main as commands
    except KeyboardInterrupt:
        sys.stderr.write("shelfwise: interrupted\n")
        sys.exit(130)
    commands()
