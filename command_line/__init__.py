"""The project's command line: `python -m yolo_core COMMAND ...`, also installed as `yolo-core`.

Inside: `main`. Errors that the reader can mend are one sentence and exit status 2. A command is a dataclass in one of the files beside
this one: data.py, runs.py, judging.py, book.py.
"""

import sys
from typing import Annotated

import tyro

from command_line.book import Book, Exercises, Links, Pdf, Read
from command_line.data import DataCommand
from command_line.judging import Bench, Claims, Established, Forest, Reference
from command_line.runs import Eval, Export, Plan, Predict, Train
from groundwork.answer import answer, at_home, mend_streams
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
    words = at_home(sys.argv[1:] if args is None else args)
    command = tyro.cli(Command, prog="yolo-core", args=words, description="YOLOv1 on trial.")
    return answer(lambda: (checkout() if isinstance(command, IN_A_CHECKOUT) else None, command())[1])
