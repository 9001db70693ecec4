"""A trained detector as an ONNX file, for machines without PyTorch.

Inside: `export`, `Deployed` (what is exported), `session` (onnxruntime on this processor), `compare`.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundwork.errors import InputError, writing
from groundwork.files import in_utf8, scratch
from voc_tree.annotation import CLASSES
from yolo_core.detector.model import Detector
from yolo_core.training.config import RunConfig

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

TOLERANCE = 1e-3  # of a box's side of 1 and of a score: far below what a threshold or a match of 0.5 could notice
INPUT, OUTPUTS = "images", ("boxes", "scores")


class Deployed(nn.Module):
    """Pictures to candidates: what is left to the runtime is a threshold and a non-maximum suppression a class."""

    def __init__(self, detector: Detector, config: RunConfig) -> None:
        super().__init__()
        self.detector, self.confidence = detector, config.confidence
        self.eval()

    def forward(self, images: Float[Tensor, "n 3 s s"]) -> tuple[Float[Tensor, "n a 4"], Float[Tensor, "n a c"]]:
        """images: RGB in [0, 1]. Boxes as xyxy in [0, 1] of the picture, and a score for each class."""
        return self.detector.grid.candidates(self.detector(images), self.confidence)


def export(detector: Detector, config: RunConfig, out: Path) -> dict[str, float]:
    """Write the detector as ONNX, for any number of pictures at a time; returns the greatest difference of each output from PyTorch's.

    The file says in its metadata which classes it knows, how large its pictures are and what its numbers mean. onnxruntime runs it on
    pictures of noise before it gets its name: InputError if an output is off by more than TOLERANCE, if `out` is there already, or if
    its folder is not.
    """
    import onnx

    if os.path.lexists(in_utf8(out)) or not out.parent.is_dir():
        raise InputError(f"{out}: {'already there' if os.path.lexists(out) else 'its folder does not exist'}; give another --out")
    deployed = Deployed(detector, config)
    pictures = torch.rand(3, 3, config.image_size, config.image_size, generator=torch.Generator().manual_seed(0))
    with writing(out), scratch(out.parent, f".{out.name}-") as folder:
        draft = folder / out.name
        shapes = ({0: torch.export.Dim("n")},)
        names = {"input_names": [INPUT], "output_names": list(OUTPUTS)}
        model = torch.onnx.export(deployed, (pictures[:2],), dynamic_shapes=shapes, verbose=False, **names).model_proto
        onnx.helper.set_model_props(
            model,
            {
                "classes": json.dumps(CLASSES),
                "image_size": str(config.image_size),
                "images": "RGB in [0, 1]",
                "boxes": "xyxy in [0, 1]",
            },
        )
        onnx.save(model, draft, format="protobuf")  # whatever its name ends in
        found = compare(deployed, session(draft), pictures)  # one picture more than it was traced with
        if not all(value <= TOLERANCE for value in found.values()):  # so that NaN is refused as well
            raise InputError(f"{out}: onnxruntime puts out {max(found.values()):.2g} more or less than PyTorch, so nothing was written")
        if os.path.lexists(out):
            raise InputError(f"{out}: already there by now; give another --out")
        draft.replace(out)
    return found


def session(path: Path, threads: int = 0) -> "InferenceSession":
    """An onnxruntime session on this machine's processor; `threads` 0 leaves their number to it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@torch.no_grad()
def compare(deployed: Deployed, runtime: "InferenceSession", pictures: Float[Tensor, "n 3 s s"]) -> dict[str, float]:
    """The greatest difference of each output between an exported file and PyTorch."""
    found, wanted = runtime.run(OUTPUTS, {INPUT: pictures.numpy()}), deployed(pictures)
    return {name: float(np.abs(a - b.numpy()).max()) for name, a, b in zip(OUTPUTS, found, wanted, strict=True)}
