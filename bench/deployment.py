"""What a detector costs where it is used: the size of its file, and the time it takes for a picture under PyTorch and under onnxruntime.

Inside: `compare_runtimes`, `latency`.
"""

import tempfile
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor

from bench.contest import contest
from trial.inference.export import INPUT, Deployed, export, session
from yolo_core.detector.model import Detector
from yolo_core.training.config import RunConfig
from yolo_core.training.scoring import to_float

REPEATS = 20


def compare_runtimes(
    detectors: Mapping[str, tuple[Detector, RunConfig]], picture: UInt8[Tensor, "1 3 s s"], repeats: int = REPEATS
) -> pd.DataFrame:
    """A row a detector and runtime, one thread each: `median`, `least` and `greatest` milliseconds from a picture to its boxes and scores,
    millions of `parameters`, `file` in MiB, and `difference`, the greatest of onnxruntime's from PyTorch's outputs. `attrs` says how many
    repeats. Leaves torch's number of threads as it was."""
    inputs, threads = to_float(picture, "cpu"), torch.get_num_threads()
    calls, about = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for i, (name, (detector, config)) in enumerate(detectors.items()):
            path = Path(folder) / f"{i}.onnx"
            difference = max(export(detector, config, path).values())
            deployed, runtime, fed = Deployed(detector, config), session(path, threads=1), {INPUT: inputs.numpy()}
            calls[name, "PyTorch"] = lambda deployed=deployed: deployed(inputs)
            calls[name, "onnxruntime"] = lambda runtime=runtime, fed=fed: runtime.run(None, fed)
            millions = sum(p.numel() for p in detector.parameters()) / 1e6
            about += [{"parameters, M": millions, "file, MiB": path.stat().st_size / 2**20, "difference": f"{difference:.0e}"}] * 2
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                times = latency(calls, repeats)
        finally:
            torch.set_num_threads(threads)
    table = times.join(pd.DataFrame(about, index=times.index))
    table.index.names = ["detector", "runtime"]
    table.attrs["repeats"] = repeats
    return table


def latency(contestants: Mapping[Hashable, Callable[[], object]], repeats: int = REPEATS) -> pd.DataFrame:
    """Milliseconds a call, a row a contestant: `median`, `least`, `greatest`, timed as contest.py does."""
    _, times = contest(contestants, repeats)
    rows = [{"median": 1e3 * np.median(spent), "least": 1e3 * min(spent), "greatest": 1e3 * max(spent)} for spent in times.values()]
    return pd.DataFrame(rows, index=pd.Index(list(times)))
