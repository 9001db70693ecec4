"""One effective batch: a detector with all that a step of its training needs.

Inside: `Training`, `Progress`, `make_optimiser`, `rate_factor`, `NonFiniteLoss`.

An effective batch comes whole and is cut into micro-batches whose gradients add up; the loss is divided by the effective batch, so a
partial last group, or a last micro-batch of another size, weighs what it should. Clipping and the schedule act once an effective batch.
"""

import math
import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import nn

from groundwork.errors import InputError
from groundwork.fabric import Fabric
from yolo_core.training.compilation import compiled, explained
from yolo_core.training.config import RunConfig
from yolo_core.training.observer import Observer
from yolo_core.training.precision import scale
from yolo_core.training.records import Run
from yolo_core.training.scoring import CUTS, predict, score, to_float

_NOTHING = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long), "difficult": torch.zeros(0, dtype=torch.bool)}
CALMER = "lower the learning rate, lengthen the warm-up, or clip gradients, by the arm's keys in yolo_core/experiments.py"
OPTIMISERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


class NonFiniteLoss(ArithmeticError):
    """A loss term, or what the detector puts out on val pictures, is NaN or infinite: the message says at which step, and which."""


def make_optimiser(model: nn.Module, config: RunConfig) -> torch.optim.Optimizer:
    """Backbone and head may learn at two rates. "adam" adds weight decay to the gradient (L2), "adamw" apart from it."""
    backbone = [p for p in model.backbone.parameters() if p.requires_grad]
    groups = [{"params": list(model.head.parameters()), "lr": config.lr}]
    if backbone:
        groups.append({"params": backbone, "lr": config.lr if config.backbone_lr is None else config.backbone_lr})
    # One kernel for the whole update: on a CPU five times faster than one a tensor.
    options = {"fused": True} | ({"momentum": 0.9} if config.optimiser == "sgd" else {})
    return OPTIMISERS[config.optimiser](groups, weight_decay=config.weight_decay, **options)


def rate_factor(step: int, steps: int, config: RunConfig) -> float:
    """What the learning rate is multiplied by at a step: a linear rise over the warm-up, then a half cosine to 0, or 1."""
    warmup = max(1, round(config.warmup * steps))
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def require_finite(terms: dict[str, torch.Tensor], step: int) -> None:
    """Raise NonFiniteLoss unless every term is a number."""
    values = {name: term.item() for name, term in terms.items()}
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        listed = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        raise NonFiniteLoss(f"step {step}: the {' and '.join(bad)} term of the loss is not finite ({listed}); {CALMER}")


@dataclass
class Progress:
    """Where a training stands between two steps, in plain numbers and lists."""

    epoch: int = 0
    batch: int = 0  # of the epoch: the next to be trained on
    step: int = 0
    micro_batch: int = 0
    seconds: float = 0.0
    scoring_seconds: float = 0.0
    resumed: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    halvings: list[dict[str, int]] = field(default_factory=list)  # of the micro-batch, where the device ran out of memory
    skipped: list[int] = field(default_factory=list)  # steps left out, because in half precision their gradients overflowed


class Training:
    """A detector with all that a step of its training needs; `state` and `load` say where it stands."""

    def __init__(self, config: RunConfig, fabric: Fabric, start: Run | None, observer: Observer | None = None) -> None:
        if config.compile and fabric.world_size > 1:
            raise InputError("--compile works in one process alone; leave it out, or torchrun")
        if (config.start is None) != (start is None):
            said = "a run to start from was given" if config.start is None else f"no run of {config.start} was given"
            raise InputError(f"{config.experiment}/{config.arm} starts from {config.start or 'fresh weights'}, and {said}")
        self.config, self.fabric, self.precision = config, fabric, fabric.strategy.precision
        self.detector = (replace(config, weights=None) if start else config).detector().to(memory_format=torch.channels_last)
        if start is not None:  # which brings all weights: none were fetched above
            try:
                self.detector.load_state_dict(start.weights())
            except RuntimeError as error:
                raise InputError(f"{start.folder}: its weights do not fit {config.experiment}/{config.arm}; start from another") from error
        self.loss, self.grid, self.observer = config.loss(), config.grid(), observer or Observer()
        self.progress, self.started = Progress(micro_batch=config.micro_batch), time.perf_counter()
        self.observer.begin(self)
        self.model, self.optimiser = fabric.setup(self.detector, make_optimiser(self.detector, config))
        self.net = compiled(self.detector) if config.compile else self.detector
        if fabric.world_size > 1:  # processes that drop the same units would be one
            torch.manual_seed(config.seed + fabric.global_rank * 1_000_003)

    def schedule(self, steps: int) -> None:
        """Fix the number of steps, and with it the learning rate of each."""
        self.rate = torch.optim.lr_scheduler.LambdaLR(self.optimiser, lambda step: rate_factor(step, steps, self.config))

    def state(self) -> dict[str, Any]:
        """All but the weights."""
        self.progress.seconds = time.perf_counter() - self.started
        rng = {"cpu": torch.get_rng_state()} | ({"cuda": torch.cuda.get_rng_state_all()} if torch.cuda.is_available() else {})
        held = {name: getattr(self, name).state_dict() for name in ("optimiser", "rate", "precision")}
        return {"progress": asdict(self.progress), **held, "observer": self.observer.state(), "rng": rng}

    def load(self, weights: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self.detector.load_state_dict(weights)
        self.optimiser.load_state_dict(state["optimiser"])
        self.rate.load_state_dict(state["rate"])
        if state["precision"]:  # half precision has a factor on a GPU alone
            self.precision.load_state_dict(state["precision"])
        self.observer.load(state["observer"])
        self.progress = Progress(**state["progress"])
        self.progress.resumed += 1
        self.started -= self.progress.seconds
        torch.set_rng_state(state["rng"]["cpu"])
        if "cuda" in state["rng"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["rng"]["cuda"][: torch.cuda.device_count()])

    def step(self, images: torch.Tensor, targets: list[dict], whole: int) -> dict[str, float]:
        """One effective batch of `whole` pictures over all processes; a device out of memory takes it again in micro-batches of half."""
        while True:
            try:
                with explained():
                    return self._accumulate(images, targets, whole)
            except torch.OutOfMemoryError as error:
                self.optimiser.zero_grad()
                torch.cuda.empty_cache()
                if self.progress.micro_batch == 1 or self.fabric.world_size > 1:
                    raise InputError(
                        f"step {self.progress.step}: the device ran out of memory at micro-batch {self.progress.micro_batch}; "
                        "ask `python -m yolo_core plan` what fits it"
                    ) from error
                self.progress.micro_batch //= 2
                self.progress.halvings.append({"step": self.progress.step, "micro_batch": self.progress.micro_batch})

    def _accumulate(self, images: torch.Tensor, targets: list[dict], whole: int) -> dict[str, float]:
        config, fabric, step = self.config, self.fabric, self.progress.step
        weight = 1.0
        if not len(images):  # the other processes have the last pictures; this one must still take part
            images, targets, weight = torch.zeros(1, *images.shape[1:], dtype=images.dtype), [_NOTHING], 0.0
        target = self.grid.encode(targets, config.train_on_difficult).to(fabric.device)
        divisor = whole if config.loss_reduction == "mean" else 1
        logged: dict[str, float] = {}
        micro = list(zip(images.split(self.progress.micro_batch), target.split(self.progress.micro_batch), strict=True))
        factor = scale(self.precision)
        self.observer.before_step(step, len(micro), factor)
        for i, (image_part, target_part) in enumerate(micro):
            with fabric.no_backward_sync(self.model, enabled=i < len(micro) - 1):
                outputs = self._forward(to_float(image_part, fabric.device))
                terms = self.loss(outputs, target_part, divisor)
                require_finite(terms, step)
                self.observer.after_forward(outputs, target_part, terms, divisor)
                # Processes average their gradients; what is wanted is the sum. Alone, this multiplies by 1.
                fabric.backward(sum(terms.values()) * (weight * fabric.world_size))
                self.observer.after_backward(len(image_part))
            for name, term in terms.items():
                logged[name] = logged.get(name, 0.0) + weight * term.item()
        self.observer.after_step()
        norm = fabric.clip_gradients(self.model, self.optimiser, max_norm=config.clip_norm or math.inf, error_if_nonfinite=False)
        if fabric.world_size > 1:
            logged = dict(zip(logged, fabric.all_reduce(torch.tensor(list(logged.values())), reduce_op="sum").tolist(), strict=True))
        self.optimiser.step()
        self.optimiser.zero_grad()
        if scale(self.precision) < factor:
            self._skip(step)
        return {**logged, "gradient_norm": norm.item()}

    def _skip(self, step: int) -> None:
        """Note that a step was left out, which made the factor smaller. Where one below 1 is needed, the gradients are too large."""
        self.progress.skipped.append(step)
        if scale(self.precision) < 1:
            raise NonFiniteLoss(
                f"step {step}: gradients overflow half precision however small the loss is made; "
                "lower the learning rate, lengthen the warm-up, or train in float32 (precision 32-true)"
            )

    def _forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs in float32. Alone, a process goes around Fabric's wrapper, which lets nothing but its own backward pass see a gradient
        under mixed precision; the probe asks for gradients too."""
        if self.fabric.world_size > 1:
            return self.model(inputs, features=self.config.cache_features).float()
        with self.fabric.autocast():
            return self.net(inputs, features=self.config.cache_features).float()

    def score(self, inputs: torch.Tensor, targets: list[dict]) -> tuple[torch.Tensor, dict[str, Any]]:
        """Outputs on a split, and `scoring.score` of what they decode to with what the observer adds."""
        with self.fabric.autocast():
            outputs = predict(self.detector, inputs, device=self.fabric.device)
        detections = self.grid.decode(outputs, CUTS[0], confidence=self.config.confidence)
        if not all(put_out.isfinite().all() for put_out in (outputs, *(found["scores"] for found in detections))):
            raise NonFiniteLoss(f"step {self.progress.step}: what the detector puts out is not finite; {CALMER}")
        return outputs, score(detections, targets) | self.observer.scored(outputs, detections, targets)
