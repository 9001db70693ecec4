"""`python -m yolo_core COMMAND ...`: the command line, which stands in command_line/ and is found by name: it imports all the others."""

import sys
from importlib import import_module


def main(args: list[str] | None = None) -> int:
    """Run a command; the exit status."""
    return import_module("command_line").main(args)


if __name__ == "__main__":
    sys.exit(main())
