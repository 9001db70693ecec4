"""What a result came from besides its code: the machine, the versions, the commit.

Inside: `environment`, `versions`. What is only said of a result never costs the result.
"""

import os
import platform
import subprocess
from collections.abc import Iterable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from groundwork.paths import ROOT

PACKAGES = ("torch", "torchvision", "lightning-fabric", "numpy", "pandas")
PATIENCE = 30  # s that git has to say which commit this is


def environment(device: str) -> dict[str, Any]:
    """The machine and the versions, as far as they can change a result or a time."""
    import torch  # here: the other packages that stand on this one do without

    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": device,
        **({"card": torch.cuda.get_device_name(device)} if device.startswith("cuda") else {}),
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "packages": versions(PACKAGES),
        "commit": _commit(),
    }


def _commit() -> str | None:
    """HEAD of the checkout, "+" appended unless the tree is known to be the same; None outside a checkout, and where git cannot say."""
    # A hook's variables lead to another repository, and so does a search of the folders above for one that is sound.
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name.startswith(("GIT_CONFIG", "GIT_TEST"))}
    git = partial(subprocess.run, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False, env=own)
    try:
        own["GIT_CEILING_DIRECTORIES"] = str(ROOT.resolve().parent)
        if not (ROOT / ".git").exists():
            return None
        head = git(["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"])
        status = git(["git", "-C", str(ROOT), "status", "--porcelain", "-uno"])
    except (OSError, subprocess.SubprocessError):  # there is no git, or it does not answer
        return None
    if head.returncode:
        return None
    return head.stdout.strip() + ("+" if status.returncode or status.stdout.strip() else "")


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Each package's version; "not installed" for one without metadata."""
    return {package: _version(package) for package in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
