"""The book: built, printed, its links and exercises.

Inside: a dataclass a command. Heavy imports (torch, sphinx) wait inside the commands, so that `--help` answers at once.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Book:
    """Run the notebooks of a profile and render the book."""

    profile: str = "pocket"

    def __call__(self) -> int:
        from book.press import publish

        return publish.main(self.profile)


@dataclass(frozen=True)
class Pdf:
    """Print the built book of a profile as one PDF, by Chromium."""

    profile: str = "pocket"

    def __call__(self) -> int:
        from book.press import pdf

        print(pdf.write_pdf(self.profile))
        return 0


@dataclass(frozen=True)
class Links:
    """Ask every address that the book cites whether it still answers; exit status 1 if one does not."""

    def __call__(self) -> int:
        from book.press import links

        cited = links.addresses()
        faults = list(links.check(cited))
        print(
            "\n".join(f"{address}: {fault} ({', '.join(cited[address])})" for address, fault in faults) or f"{len(cited)} addresses answer"
        )
        return 1 if faults else 0


@dataclass(frozen=True)
class Read:
    """Render the pocket book from the committed records, without training."""

    def __call__(self) -> int:
        from book.press import publish

        return publish.main("pocket", reading=True)


@dataclass(frozen=True)
class Exercises:
    """Write the exercises as notebooks without their solutions, or grade those of a folder."""

    out: Path = Path("my-exercises")
    """Folder of the notebooks; those that are there are kept."""
    check: bool = False
    """Write nothing: grade the notebooks. Exit status 1 if one that is filled in is wrong; those not yet done do not count against."""

    def __call__(self) -> int:
        from book.press import exercises

        if not self.check:
            written = exercises.write(self.out)
            print(f"{self.out}: {sum(written.values())} notebooks written, {len(written) - sum(written.values())} kept as they were")
            return 0
        grades = exercises.grade_all(self.out)
        width = max(len(grade.name) for grade in grades)
        print("\n".join(f"{g.name:{width}}  {g.verdict}{': ' if g.said else ''}{g.said}" for g in grades))
        count = {verdict: sum(g.verdict == verdict for g in grades) for verdict in ("right", "wrong", "not yet done")}
        print(", ".join(f"{n} {verdict}" for verdict, n in count.items()))
        return int(count["wrong"] > 0)
