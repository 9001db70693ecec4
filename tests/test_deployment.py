"""The table of runtimes is measured, every row as often, and names what it measures."""

import torch

from bench import deployment
from trial.inference import export
from yolo_core.training.config import RunConfig


def test_each_detector_has_a_row_under_each_runtime_with_its_file_and_its_time(quick_onnx, monkeypatch):
    """What an exported file weighs and puts out is tested in tests/test_export.py."""
    monkeypatch.setattr(export, "compare", lambda *_: {"boxes": 2e-4, "scores": 3e-4})
    sizes = []
    whole = deployment.session  # opened once a file, when it is there
    monkeypatch.setattr(deployment, "session", lambda path, **given: sizes.append(path.stat().st_size) or whole(path, **given))
    configs = {"small": RunConfig(width=0.25, head="coupled"), "large": RunConfig(width=0.25, head="compressed")}
    threads = torch.get_num_threads()
    pictures = torch.zeros(1, 3, 224, 224, dtype=torch.uint8)
    table = deployment.compare_runtimes({name: (config.detector(), config) for name, config in configs.items()}, pictures, repeats=2)
    assert list(table.index) == [(name, runtime) for name in configs for runtime in ("PyTorch", "onnxruntime")]
    assert (table["least"] > 0).all() and table.attrs == {"repeats": 2}
    millions = table["parameters, M"].groupby("detector").first()
    assert millions["large"] > 4 * millions["small"]
    assert table["file, MiB"].tolist() == [size / 2**20 for size in sizes for _ in range(2)]
    assert (table["difference"] == "3e-04").all()
    assert torch.get_num_threads() == threads


def test_latency_times_every_contestant_as_often_and_not_the_first_call():
    calls = {"a": 0, "b": 0}

    def call(name: str) -> None:
        calls[name] += 1

    table = deployment.latency({name: lambda name=name: call(name) for name in calls}, repeats=3)
    assert calls == {"a": 4, "b": 4}
    assert list(table.index) == ["a", "b"] and (table["least"] <= table["median"]).all() and (table["median"] <= table["greatest"]).all()
