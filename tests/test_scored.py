"""`score` pinned figure by figure on fixed outputs: canaries watch the training alone, and a verdict hangs on these."""

import json
from pathlib import Path

import pytest
import torch

from trial.instruments.scored import score
from yolo_core.training.config import RunConfig

# What the code gave before its files were moved (2026-11-28); `python tests/test_scored.py` prints today's.
PINNED = Path(__file__).with_name("scored.json")
CONFIGS = {
    "cells": RunConfig(),
    "cells, released": RunConfig(centre="image", train_on_difficult=True),
    "cells, logits": RunConfig(background="qfl"),
    "points": RunConfig(head="coupled", finest_stride=16, score_loss="quality"),
}


def fixed(config: RunConfig, images: int = 6) -> tuple[torch.Tensor, list[dict[str, torch.Tensor]]]:
    """Outputs that half know where the objects are, and the objects."""
    g = torch.Generator().manual_seed(0)
    targets = []
    for _ in range(images):
        n = int(torch.randint(1, 5, (1,), generator=g))
        corner, side = 0.6 * torch.rand(n, 2, generator=g), 0.1 + 0.3 * torch.rand(n, 2, generator=g)
        boxes = torch.cat([corner, corner + side], 1)
        targets.append({"boxes": boxes, "labels": torch.randint(0, 4, (n,), generator=g), "difficult": torch.rand(n, generator=g) < 0.2})
    grid = config.grid()
    if config.anchor_free:
        return 0.4 * torch.randn(images, sum(s * s for s in grid.sides), grid.numbers + grid.C, generator=g), targets
    known = grid.perfect_outputs(grid.encode(targets))
    return known + 0.12 * torch.randn(known.shape, generator=g), targets


@pytest.mark.parametrize("name", CONFIGS)
def test_every_figure_of_a_score_is_as_it_was(name):
    found, wanted = flat(score(*fixed(CONFIGS[name]), CONFIGS[name])), json.loads(PINNED.read_text())[name]
    assert found.keys() == wanted.keys()
    assert {key: value for key, value in found.items() if value != pytest.approx(wanted[key], rel=1e-5, abs=1e-7, nan_ok=True)} == {}


def flat(figures: dict, inside: str = "") -> dict[str, float]:
    """Nested figures under one name each; NaN stays, which Python's own JSON keeps."""
    found = {}
    for key, value in figures.items():
        if isinstance(value, dict):
            found |= flat(value, f"{inside}{key}/")
        else:
            found |= {f"{inside}{key}/{i}": v for i, v in enumerate(value)} if isinstance(value, list) else {f"{inside}{key}": value}
    return found


if __name__ == "__main__":
    print(json.dumps({name: flat(score(*fixed(config), config)) for name, config in CONFIGS.items()}, indent=1))
