"""What code a thing depends on, and a hash of it that comments do not disturb.

Inside: `PACKAGES` (the project's own), `modules` (the files of theirs that an entry point imports, found without running anything),
`code_hash` (sha256 over their syntax trees), `cells` and `code_cells` (of a notebook). Run keys and the book's notebook stamps are
built on them: rewording a docstring never voids hours of training, changing a line in `loss.py` does.

The hash is the same on every machine, folder and Python version that parses the code to the same tree.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from groundwork.errors import InputError, unreadable

ROOT = Path(__file__).resolve().parents[1]
NO_NOTEBOOK = (OSError, ValueError, KeyError, TypeError, RecursionError)  # what reading a file raises that is none
# From the ground up: a package imports those before it and none after.
PACKAGES = ("groundwork", "voc_tree", "emojivoc", "yolo_core", "anchor_free", "trial", "bench", "book.press", "command_line")


def modules(*entries: str | Path, root: Path = ROOT, packages: Sequence[str] = PACKAGES) -> set[Path]:
    """The packages' files that the entries import, directly or through one another, themselves included.

    An entry is a module's dotted name ("yolo_core.training.train") or the path of a `.py` or `.ipynb` file; a file
    outside the packages counts for what it imports, not for itself. Imports are read, not run: those inside
    functions and `if` branches count, those made by `importlib` do not. A package's `__init__.py` counts with
    every module inside it, because Python runs it first. Raises InputError for an entry that does not exist.
    """
    found: set[Path] = set()
    queue: list[str] = []
    packages = tuple(packages)  # hashed, for what is kept of a file
    for entry in entries:
        if isinstance(entry, str):
            if not _files(entry, root, packages):
                raise InputError(f"{entry}: expected the name of a module of {', '.join(packages)} under {root}; there is no such file.")
            queue.append(entry)
        else:
            queue += _imports(*_as_it_stands(entry.resolve()), root, packages)
            own = any((root / package.replace(".", "/")).resolve() in entry.resolve().parents for package in packages)
            found |= {entry.resolve()} if own else set()
    seen: set[str] = set()
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        for file in _files(name, root, packages):
            if file not in found:
                found.add(file)
                queue += _imports(*_as_it_stands(file), root, packages)
    return found


def code_hash(files: Iterable[Path], root: Path = ROOT) -> str:
    """sha256 (64 hex digits) over the files' syntax trees and their paths relative to `root`.

    Left out, since they change nothing that is computed: comments, layout, docstrings and `__version__`.
    """
    digest = hashlib.sha256()
    for name, file in sorted((f.resolve().relative_to(root.resolve()).as_posix(), f) for f in set(files)):
        digest.update(f"{name}\0{_tree_digest(*_as_it_stands(file))}\n".encode())
    return digest.hexdigest()


def source(path: Path) -> str:
    """The Python text of a `.py` file, or of a notebook's code cells, their magics as the calls of `get_ipython()` that they are."""
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    return "\n".join(map(_without_magics, code_cells(path)))


def cells(notebook: Path) -> list[tuple[str, str]]:
    """Kind and text of each cell. One of NO_NOTEBOOK for what is none."""
    if notebook.exists() and not notebook.is_file():  # of a pipe there would be no end
        raise OSError("it is no file")
    return [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]]


def code_cells(notebook: Path) -> list[str]:
    """The text of each code cell. InputError for what is no notebook."""
    try:
        return [text for kind, text in cells(notebook) if kind == "code"]
    except NO_NOTEBOOK as error:
        raise unreadable(notebook, error) or InputError(
            f"{notebook}: expected a notebook (JSON with cells), and it cannot be read: {error}."
        ) from error


def _without_magics(cell: str) -> str:
    try:
        ast.parse(cell)
        return cell
    except (SyntaxError, UnicodeEncodeError):  # a line that begins with % may be the rest of a sum: IPython knows
        from IPython.core.inputtransformer2 import TransformerManager

        return TransformerManager().transform_cell(cell)


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(source(path), filename=str(path))
    except SyntaxError as error:
        raise InputError(f"{path}, line {error.lineno}: expected Python, and it does not parse: {error.msg}.") from error
    except UnicodeEncodeError as error:
        raise InputError(f"{path}: expected Python, and it holds half a letter, {error.object[error.start]!r}; mend it.") from error


def _files(name: str, root: Path, packages: Sequence[str]) -> list[Path]:
    """The files Python runs to import `name`: each package's `__init__.py` on the way, then the module; [] if none."""
    parts = name.split(".")
    if not _inside(name, packages):
        return []
    folder, files = root.resolve(), []
    for depth, part in enumerate(parts):
        init, module = folder / part / "__init__.py", folder / f"{part}.py"
        if (folder / part).is_dir():
            files += [init] if init.exists() else []
            folder = folder / part
        elif module.exists() and depth == len(parts) - 1:
            return [*files, module]
        else:
            return []
    return files


def _inside(name: str, packages: Sequence[str]) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def _as_it_stands(file: Path) -> tuple[Path, int, int]:
    """A file with its time and size, so that what is kept of it is not taken for an edited one's."""
    stat = file.stat()
    return file, stat.st_mtime_ns, stat.st_size


@cache
def _imports(path: Path, mtime_ns: int, size: int, root: Path, packages: tuple[str, ...]) -> list[str]:
    """Dotted names that a file may import from the packages. `from a import b` gives a and a.b: b may be a module."""
    try:
        here = path.resolve().relative_to(root.resolve()).with_suffix("").parts
    except ValueError:
        here = ()
    found = []
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if _inside(alias.name, packages)]
        elif isinstance(node, ast.ImportFrom):
            # one dot is the module's own package, which for __init__.py and for a module alike is its folder
            base = [*here[: len(here) - node.level]] if node.level else []
            base += node.module.split(".") if node.module else []
            names = [".".join(base), *(".".join([*base, alias.name]) for alias in node.names)]
            found += [name for name in names if _inside(name, packages)]
    return found


@cache
def _tree_digest(path: Path, mtime_ns: int, size: int) -> str:
    """Digest of one file's bare tree."""
    return hashlib.sha256(_dump(_bare(_parse(path))).encode()).hexdigest()


def _bare(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                node.body = node.body[1:]
    tree.body = [n for n in tree.body if not (isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__version__")]
    return tree


def _dump(node: object) -> str:
    """Like ast.dump, with empty fields left out: Python versions differ in which empty fields a node has."""
    if isinstance(node, ast.AST):
        fields = ((name, _dump(value)) for name, value in ast.iter_fields(node) if value is not None and value != [])
        return f"{type(node).__name__}({', '.join(f'{name}={text}' for name, text in fields)})"
    if isinstance(node, list):
        return f"[{', '.join(map(_dump, node))}]"
    return repr(node)
