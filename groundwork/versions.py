"""Which versions of its packages a result came from.

Inside: `versions`.
"""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Each package's version; "not installed" for one without metadata. What is only told of a result never costs the result."""
    return {package: _version(package) for package in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
