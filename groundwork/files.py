"""Files and folders that are whole under their own names, or not there: folders built aside, and what a path leads to.

Inside: `endless`, `visible`, `files_under`, `whole_array`, `filling` (a folder that goes if it stays empty), `in_place_of` (one built
aside), `scratch`, `elsewhere` (a result whose place is refused), `in_utf8` and `there_and_back` (what a path may not be) and `shared` (who
may read what was made).
"""

import os
import shutil
import signal
import stat
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from groundwork.errors import InputError
from groundwork.paths import BUILD

COPY = "work in a copy of the checkout that can be written to"  # no option names its _build
ANOTHER = "a folder that can be written to"  # to be named where one is refused
LONGEST = 255  # bytes of a file's name on most disks


def endless(path: Path) -> bool:
    """Whether a path is a pipe, a socket or a device, which is waited for without an end where it is read."""
    try:
        mode = path.stat().st_mode
    except OSError:  # whoever reads it says why it cannot be read
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def visible(folder: Path, *patterns: str) -> list[Path]:
    """What matches a pattern, in order; without what editors and systems keep beside a file, as Emacs .#iou.py and macOS ._iou.py."""
    with suppress(FileNotFoundError, NotADirectoryError):
        os.listdir(folder)  # PermissionError where it may not be listed: glob would find nothing there
    return sorted(path for pattern in patterns for path in folder.glob(pattern) if not path.name.startswith("."))


def files_under(folder: Path) -> list[Path]:
    """Every file under a folder, over links, in order; without what is hidden (what other processes are about to put there), and without
    folders that go meanwhile, of which Path.rglob raises."""
    found = []
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(found, key=str)


def whole_array(file: Path, length: int) -> bool:
    """Whether an array of so many rows lies in a .npy file, by its header and the file's size; a torn one is told of."""
    import numpy as np

    try:
        return len(np.load(file, mmap_mode="r")) == length
    except FileNotFoundError:
        return False
    except (EOFError, ValueError) as error:
        warnings.warn(f"{file}: torn ({error}); it is made anew", stacklevel=2)
        return False


@contextmanager
def filling(folder: Path, instead: str = ANOTHER) -> Iterator[None]:
    """A folder is made, with those around it, to be written into; what was made and holds nothing at the end is removed. InputError where
    it cannot be made, which says what to name `instead`."""
    if leads := next((place for place in (folder, *folder.parents) if place.is_symlink() and not place.exists()), None):
        raise InputError(f"{leads}: a link that leads nowhere today; bring back what it leads to ({leads.readlink()}), or remove it.")
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            mend = COPY if folder.is_relative_to(BUILD) else f"name {instead}"
            raise InputError(f"{folder}: cannot be made ({error.strerror}); {mend}.") from None
        yield
    finally:
        for place in missing:
            with suppress(OSError):  # it holds something
                place.rmdir()


@contextmanager
def in_place_of(out: Path, replaces: Callable[[Path], bool] = lambda _: False) -> Iterator[Path]:
    """A new folder, whose content lies in `out` at the end: all of it or, where something goes wrong, nothing.

    Where `out` is there, what has the same name in it by then is kept, and InputError: unless it is a file that `replaces` allows for.
    """
    named, out = out, Path(os.path.realpath(there_and_back(out)))  # where a link leads
    with ExitStack() as around:
        try:
            around.enter_context(filling(out.parent))
            folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out if out.is_dir() else out.parent))
            around.enter_context(_swept_by_a_signal(folder, around))
        except OSError as error:
            raise InputError(f"{named}: cannot be made ({error.strerror}); name {ANOTHER}.") from None
        try:
            yield folder
            if out.is_dir():
                entries = list(folder.iterdir())
                for lying in (out / entry.name for entry in entries if os.path.lexists(out / entry.name)):  # all, before the first moves
                    if lying.is_dir() or not replaces(lying):
                        raise InputError(f"{lying}: already there, and is not written over; move it away, or name another folder")
                _all_or_none(entries, out, folder / ".before")
            else:
                shared(folder)
                os.replace(folder, out)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def scratch(folder: Path, prefix: str, instead: str = ANOTHER) -> Iterator[Path]:
    """A new folder inside another, made where it is missing, for what is being written; it goes at the end, and where the process is told
    to end or its terminal is closed. instead: as for `filling`."""
    with ExitStack() as around:
        around.enter_context(filling(folder, instead))
        made = Path(around.enter_context(tempfile.TemporaryDirectory(prefix=prefix, dir=folder, ignore_cleanup_errors=True)))
        around.enter_context(_swept_by_a_signal(made, around))
        yield made


def _all_or_none(entries: list[Path], out: Path, before: Path) -> None:
    """Move files into a folder, in the place of earlier ones, kept in the folder `before`: where one cannot be moved, all is as it was."""
    before.mkdir()
    for name in (entry.name for entry in entries if os.path.lexists(out / entry.name)):
        try:
            os.link(out / name, before / name, follow_symlinks=False)
        except (
            OSError
        ):  # a disk that knows no second names, or a file of another user's: then perhaps there is no way back, and no harm yet
            with suppress(OSError):
                shutil.copy2(out / name, before / name, follow_symlinks=False)
    moved: list[Path] = []
    try:
        for entry in entries:
            os.replace(entry, out / entry.name)
            moved.append(entry)
    except OSError:
        for entry in moved:
            earlier = before / entry.name
            with suppress(OSError):
                os.replace(earlier, out / entry.name) if os.path.lexists(earlier) else os.replace(out / entry.name, entry)
        raise


@contextmanager
def _swept_by_a_signal(folder: Path, around: ExitStack) -> Iterator[None]:
    """A signal by which a process ends where it stands (told to end, or its terminal is closed) takes the folder away first, with what was
    made around it."""

    def sweep(number: int, _: object) -> None:
        for again in heard:  # a second one would end it half way
            signal.signal(again, signal.SIG_IGN)
        with suppress(OSError):  # by another name: a helper that still writes finds no folder
            shutil.rmtree(folder.rename(folder.with_name(f"{folder.name}.gone")), ignore_errors=True)
        around.close()
        os.kill(os.getpid(), number)

    asked = (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))  # Windows has no second one
    heard = [number for number in asked if signal.getsignal(number) == signal.SIG_DFL]  # a handler of the caller's stays
    if threading.current_thread() is not threading.main_thread():  # only the main thread may ask
        heard = []
    for number in heard:
        signal.signal(number, sweep)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, signal.SIG_DFL)


def shared(path: Path) -> None:
    """Give a folder or a file the rights that this process leaves to others: mkdtemp and safetensors make theirs for their owner alone."""
    withheld = os.umask(0o077)  # to set it is the only way to ask
    os.umask(withheld)
    with suppress(OSError):  # a disk that has one owner for all, who need not be this one: everybody's rights are what it was mounted with
        path.chmod((0o777 if path.is_dir() else 0o666) & ~withheld)


def elsewhere(write: Callable[[Path], Path]) -> Path | None:
    """Where a result lies among the system's temporary files, its own place having been refused: `write` writes it into the folder it is
    given and says where. None where it is refused there too."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="yolo-core-"))
    except OSError:
        return None
    try:
        return write(folder)
    except (OSError, SafetensorError, InputError):
        shutil.rmtree(folder, ignore_errors=True)
        return None


def there_and_back(path: Path) -> Path:
    """The path. InputError for one that goes back, by "..", from what is no folder: the system refuses it, Python would shorten it. And
    for one over a link that leads to itself."""
    with suppress(PermissionError):  # a link that may not be read: the system has its own word of it
        if circle := next((place for place in (path, *path.parents) if os.path.islink(os.path.realpath(place))), None):
            raise InputError(f"{circle}: a link that leads to itself; remove it, or name another place")
    for place, part in enumerate(path.parts):
        if part == ".." and not (before := Path(*path.parts[:place])).is_dir():
            raise InputError(f"{path}: there is no folder {before} to go back from; write the path without it")
    return path


def in_utf8(path: Path, instead: str = "another place") -> Path:
    """The path. InputError for one of bytes that are no UTF-8: the libraries of weights and tables open none."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with suppress(UnicodeDecodeError):
            name = os.fsencode(path).decode("utf-8")  # it is; the locale is not
            raise InputError(f"{name}: the locale reads no such path; set PYTHONUTF8=1, or a locale of UTF-8") from None
        raise InputError(f"{path}: expected a path in UTF-8, which weights and tables need; rename it, or name {instead}") from None
    return path
