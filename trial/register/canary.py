"""Twenty steps that tell whether today's code still trains an arm as the code of its reference records did.

Inside: `canary`, `compare`.

A record outlives the code that made it for as long as the code computes the same. Rather than compare code, compare what it does: the
loss of twenty steps of every arm, on the smoke profile's scenes and one thread. Equal digests are equal bit for bit; another kind of
processor rounds otherwise, so the losses are stored beside the digest.
"""

import hashlib
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from yolo_core.experiments import profile_data, resolve
from yolo_core.training.train import train

STEPS = 20
TERMS = ("box", "object", "background", "class", "distribution")  # of either kind of detector's loss, in the order of the digest
ROUNDING, GROWTH, MOST = 1e-4, 10, 1.0  # relative, of the first loss; what a step may make of it; and where that ends


def canary(name: str, arm: str, profile: str) -> dict[str, Any]:
    """The first steps of an arm under the profile's configuration, seed 0: `losses` and the `digest` of all logged terms and norms.

    An arm that goes on from another run starts from fresh weights here: what is watched is the code. An arm that bursts has no losses,
    and the digest of its last words.
    """
    splits = profile_data("smoke", progress=False)
    config = resolve(name, arm, profile)
    epochs = math.ceil(STEPS * config.effective_batch / len(splits[0]))
    config = replace(config, epochs=epochs, score_epochs=epochs, probe_steps=0, train_images=None, start=None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            run = train(config, *splits, Path(folder) / "run", code="canary", max_steps=STEPS, progress=False, keep_weights=False)
            curves = run.table("curves")
    except ArithmeticError as error:  # an arm that bursts is watched for bursting in the same way
        return {"digest": hashlib.sha256(str(error).encode()).hexdigest(), "losses": []}
    finally:
        torch.set_num_threads(threads)
    terms = [name for name in TERMS if name in curves]
    digest = hashlib.sha256(np.ascontiguousarray(curves[[*terms, "gradient_norm"]].to_numpy(np.float64)).tobytes()).hexdigest()
    return {"digest": digest, "losses": curves[terms].sum(axis=1).tolist()}


def compare(stored: dict[str, Any], found: dict[str, Any]) -> Literal["same", "rounding", "changed"]:
    """ "same": bit for bit; "rounding": as far apart as another processor's arithmetic can carry it; else its records are out of date.

    The first steps of a training from scratch are chaotic: between two processors a loss was off by 1e-8 in the first step, 3e-3 in the
    fourth and a twelfth in the fifth. What may differ therefore grows from step to step: it is the first steps that tell.
    """
    if stored["digest"] == found["digest"]:
        return "same"
    before, now = np.array(stored["losses"]), np.array(found["losses"])
    limits = np.minimum(ROUNDING * float(GROWTH) ** np.arange(len(before)), MOST)
    close = before.shape == now.shape and bool((np.abs(now - before) <= limits * np.abs(before)).all())
    return "rounding" if close else "changed"
