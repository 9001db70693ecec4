"""Where things lie.

Inside: `ROOT`, `BUILD`, `data_folder`, `cache_folder`, `runs_folder`, `checkout`.
"""

import os
from pathlib import Path

from groundwork.errors import InputError

# The checkout, wherever the caller stands (nbval runs a notebook from its own folder, papermill from the root).
ROOT = Path(os.path.abspath(os.environ.get("YOLO_ROOT", Path(__file__).resolve().parents[1])))
BUILD = ROOT / "_build"


def data_folder(profile: str, root: Path | None = None) -> Path:
    """The VOC tree a profile trains on: the folder that $YOLO_DATA_PROFILE names ($YOLO_DATA_PHOTOGRAPHS, say); else the one made here;
    else a tree in a folder of the profile's name in `shared` beside the checkout, where there is one. root: another checkout than this."""
    if named := os.environ.get(f"YOLO_DATA_{profile.upper()}"):
        place = os.path.join(ROOT, os.path.expanduser(named))  # of the checkout: a page's kernel stands there, whoever builds it elsewhere
        return Path(os.path.abspath(place))  # without "..": what lies in BUILD is told by its path
    checkout, build = (ROOT, BUILD) if root is None else (root, root / "_build")
    made, shared = build / "data" / profile, checkout.parent / "shared" / profile
    return shared if (shared / "VOCdevkit").is_dir() and not made.exists() else made


def cache_folder(profile: str) -> Path:
    """Decoded pictures and kept features of a profile's data: here, since the data's own folder may be read-only."""
    return BUILD / "data" / f"{profile}-cache"


def runs_folder() -> Path:
    """Finished runs, one folder each, named by experiment, arm, seed and key."""
    return BUILD / "runs"


def checkout() -> Path:
    """The project's folder. InputError where the package was installed without it: records, notebooks and exercises are not there."""
    if not (ROOT / "_toc.yml").is_file():
        there = "clone the project and say there: python -m yolo_core ..."  # an installed yolo-core does not look where it is called
        raise InputError(f"this works in a checkout of the project, and {ROOT} is none; {there}")
    return ROOT
