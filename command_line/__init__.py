"""The project's command line: `python -m yolo_core COMMAND ...`, also installed as `yolo-core`.

Inside: `main`. Errors that the reader can mend are one sentence and exit status 2. A command is a dataclass in one of the files beside
this one: data.py, runs.py, judging.py, book.py.
"""

import sys
from dataclasses import is_dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import tyro

from command_line.book import Book, Exercises, Links, Pdf, Read
from command_line.data import DataCommand
from command_line.judging import Bench, Claims, Established, Forest, Reference
from command_line.runs import Eval, Export, Plan, Predict, Train
from groundwork.answer import answer, mend_streams, words_of
from groundwork.errors import InputError
from groundwork.files import there_and_back
from groundwork.paths import checkout

Command = (
    Annotated[DataCommand, tyro.conf.subcommand("data")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Eval, tyro.conf.subcommand("eval")]
    | Annotated[Predict, tyro.conf.subcommand("predict")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Claims, tyro.conf.subcommand("claims")]
    | Annotated[Forest, tyro.conf.subcommand("forest")]
    | Annotated[Reference, tyro.conf.subcommand("reference")]
    | Annotated[Established, tyro.conf.subcommand("established")]
    | Annotated[Plan, tyro.conf.subcommand("plan")]
    | Annotated[Bench, tyro.conf.subcommand("bench")]
    | Annotated[Book, tyro.conf.subcommand("book")]
    | Annotated[Read, tyro.conf.subcommand("read")]
    | Annotated[Pdf, tyro.conf.subcommand("pdf")]
    | Annotated[Links, tyro.conf.subcommand("links")]
    | Annotated[Exercises, tyro.conf.subcommand("exercises")]
)

IN_A_CHECKOUT = (Claims, Forest, Reference, Established, Book, Read, Pdf, Links, Exercises)  # they work on the project's files


def main(args: list[str] | None = None) -> int:
    """Run a command; the exit status."""
    mend_streams()
    return answer(lambda: _run(words_of(args, of_many=["--arms"])))


def _run(words: list[str]) -> int:
    """Parse and run. InputError for a command whose project files are not here, or whose packages are not installed."""
    try:
        command = tyro.cli(Command, prog="yolo-core", args=words, description="YOLOv1 on trial.")
    finally:  # --help ends here: written out while `answer` still hears of a full disk
        sys.stdout.flush()
    _require_folders(command)
    if isinstance(command, IN_A_CHECKOUT):
        checkout()
    try:
        return command()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not package or find_spec(package):  # it lies there and lacks a module: a fault of the program
            raise
        brings = "pip install -c constraints.txt -e '.[book,test]'"
        raise InputError(f"{words[0]}: the package {package} is not installed; {brings}, in a clone of the project, brings it") from error


def _require_folders(command: Any) -> None:
    """InputError for an option's path that goes back from what is no folder, or round in a circle."""
    for value in vars(command).values():
        for one in value if isinstance(value, tuple) else (value,):
            if is_dataclass(one):
                _require_folders(one)
            elif isinstance(one, Path):
                there_and_back(one)
