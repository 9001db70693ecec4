"""`python -m yolo_core COMMAND ...`: the project's command line, which lives in command_line/ and is found by name, since its commands
import what stands on yolo_core."""

import sys
from importlib import import_module


def main(args: list[str] | None = None) -> int:
    """Run a command; the exit status."""
    return import_module("command_line").main(args)


if __name__ == "__main__":
    sys.exit(main())
