"""Where things lie.

Inside: `ROOT`, `BUILD`, `data_folder`, `runs_folder`.
"""

import os
from pathlib import Path

# The checkout, wherever the caller stands (nbval runs a notebook from its own folder, papermill from the root).
ROOT = Path(os.environ.get("YOLO_ROOT", Path(__file__).resolve().parents[2]))
BUILD = ROOT / "_build"


def data_folder(profile: str) -> Path:
    """The VOC tree a profile trains on."""
    return BUILD / "data" / profile


def runs_folder() -> Path:
    """Finished runs, one folder each, named by experiment, arm, seed and key."""
    return BUILD / "runs"
