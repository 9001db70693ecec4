"""Text is UTF-8 with line feeds wherever this runs: Windows reads and writes another encoding, and other line ends, unless told."""

import ast
from pathlib import Path

from emojivoc import emoji
from groundwork.code_hash import PACKAGES

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    file.relative_to(ROOT)
    for name in {*(p.partition(".")[0] for p in PACKAGES), "scripts", "exercises"}
    for file in (ROOT / name).rglob("*.py")
)


def unspecified(source: str) -> list[int]:
    """The lines that open a file as text in whatever encoding the machine has."""
    found = []
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        mode = call.args[1].value if name == "open" and len(call.args) > 1 and isinstance(call.args[1], ast.Constant) else "r"
        named = any(keyword.arg in ("encoding", None) for keyword in call.keywords)
        if name in ("read_text", "write_text") and not named:
            found.append(call.lineno)
        if isinstance(call.func, ast.Name) and name == "open" and "b" not in mode and not named:
            found.append(call.lineno)
    return found


def test_every_text_file_is_opened_as_utf_8():
    found = {str(module): unspecified((ROOT / module).read_text(encoding="utf-8")) for module in MODULES}
    assert len(found) > 80 and {module: lines for module, lines in found.items() if lines} == {}


def test_what_opens_a_text_without_its_encoding_is_found():
    assert unspecified("p.read_text()\np.write_text(t)\nopen(p)\nopen(p, 'w')\nopen(p, 'rb')\np.read_text(encoding='utf-8')") == [
        1,
        2,
        3,
        4,
    ]


UNIX = {"fork", "setsid", "getuid", "geteuid", "killpg", "getloadavg", "sched_getaffinity", "statvfs", "sysconf", "uname", "chown"}


def unix_only(source: str) -> set[str]:
    """What a module needs and only Unix has: modules, and functions of `os` that it does not ask for first."""
    names = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "posix", "syslog"}
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= names & {getattr(node, "module", None), *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Attribute) and node.attr in UNIX and getattr(node.value, "id", "") == "os":
            found |= set() if f'hasattr(os, "{node.attr}")' in source else {node.attr}
    return found


def test_no_package_needs_what_only_unix_has():
    packages = [module for module in MODULES if module.parts[0] not in ("scripts", "book")]
    found = {str(module): unix_only((ROOT / module).read_text(encoding="utf-8")) for module in packages}
    assert {module: needs for module, needs in found.items() if needs} == {}
    lines = ("import fcntl", "from resource import x", "os.fork()", 'if hasattr(os, "setsid"): os.setsid()')
    assert unix_only("\n".join(lines)) == {"fcntl", "resource", "fork"}


def test_scenes_have_the_same_bytes_where_lines_end_otherwise(tmp_path, monkeypatch):
    """As on Windows: the fingerprint of the data is over these bytes."""
    emoji.generate(tmp_path / "here", 1, 1, progress=False)
    write = Path.write_text

    def windows(self, data, encoding=None, errors=None, newline=None):
        assert encoding == "utf-8"
        return write(self, data, encoding, errors, "\r\n" if newline is None else newline)

    monkeypatch.setattr(Path, "write_text", windows)
    emoji.generate(tmp_path / "there", 1, 1, progress=False)
    files = sorted(file.relative_to(tmp_path / "here") for file in (tmp_path / "here" / "VOCdevkit").rglob("*") if file.is_file())
    assert len(files) == 7
    assert [str(file) for file in files if (tmp_path / "here" / file).read_bytes() != (tmp_path / "there" / file).read_bytes()] == []
