"""A run's whole configuration, flat and frozen.

Inside: `RunConfig`, `config_from_dict`.
"""

from dataclasses import asdict, dataclass, fields
from importlib import import_module
from math import inf, isfinite, ulp
from types import ModuleType, UnionType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from groundwork.errors import InputError
from yolo_core.detector.names import Background, Head, InputScale

if TYPE_CHECKING:
    from yolo_core.detector.model import Detector

# Of a YOLOv1, and of a detector at points. Found by name, since the second stands on yolo_core.
BUILDERS = ("yolo_core.training.build", "anchor_free.build")
COARSEST = 32  # px: the stride of a backbone's last map
LEVELS = (8, 16, 32)  # px: the strides that a detector at points may begin at
# What a value must be where its type does not say it. A None is let pass.
RANGES: tuple[tuple[str, float, float, tuple[str, ...]], ...] = (
    ("at least 1", 1, inf, ("epochs", "effective_batch", "micro_batch", "score_epochs", "train_images")),
    ("at least 1 and at most 4096", 1, 4096, ("image_size",)),
    ("at least 0", 0, inf, ("probe_steps", "bins", "calibrate_batchnorm", "lambda_coord", "lambda_noobj", "gamma", "weight_decay")),
    ("at least 0 and below 2^63", 0, 2**63 - 1, ("seed",)),
    ("above 0", ulp(0), inf, ("lr", "backbone_lr", "clip_norm", "width")),
    ("a share of the steps, 0 to 1", 0, 1, ("warmup", "close_mosaic")),
    ("a share of the units, 0 to 1", 0, 1, ("dropout",)),
)
RARE = 0.01  # the probability that a score which is a logit starts at, as RetinaNet's


@dataclass(frozen=True)
class RunConfig:
    """Everything a run depends on besides its data and its code. The defaults are YOLOv1 as the paper has it, on small pictures."""

    experiment: str = "custom"
    arm: str = "custom"
    seed: int = 0
    image_size: int = 224  # px, square: pictures are squashed
    # the net
    backbone: str = "efficientnet_lite0"
    weights: str | None = None  # None: random; "imagenet"; or the path of a state_dict
    width: float = 1.0  # of the scratch backbone
    input_scale: InputScale = "imagenet"  # mean and deviation of the pictures: ImageNet's, or those the weights were trained with
    head: Head = "compressed"
    dropout: float = 0.5
    start: str | None = None  # "experiment/arm" whose run of the same seed the weights are taken from; None: fresh ones
    freeze_weights: bool = False
    batchnorm: Literal["train", "frozen"] = "train"  # of the backbone
    calibrate_batchnorm: int = 0  # pictures over which BatchNorm's statistics are computed before the first step; 0: they stay as they are
    cache_features: bool = False  # run the backbone once: for one that stands still altogether
    confidence_bias: float | None = None  # what every confidence output starts at; None: near 0
    augment: bool = False  # flip, scale, shift and recolour pictures, as the paper does
    mosaic: bool = False  # train on mosaics of four pictures, as YOLOv4 does
    close_mosaic: float = 0.2  # share of the steps, the last ones, whose pictures come plain again
    train_images: int | None = None  # a fair sample of so many of the training split; None: all
    # the grid and the loss
    centre: Literal["cell", "image"] = "cell"
    size: Literal["root", "plain"] = "root"
    background: Background = "mse"
    lambda_coord: float = 5.0
    lambda_noobj: float = 0.5
    gamma: float = 2.0
    detach_iou: bool = True
    spare_noobj: bool = True
    train_on_difficult: bool = False
    # an anchor-free detector: head "coupled" or "decoupled"
    finest_stride: int = 32  # px; levels go from it to 32, doubling
    assign: Literal["cell", "aligned"] = "cell"
    box_loss: Literal["squared", "ciou"] = "squared"
    score_loss: Literal["squared", "quality"] = "squared"
    bins: int = 0  # of the distribution over each side's distance; 0: boxes are predicted as they are
    # the optimiser
    optimiser: Literal["adam", "adamw", "sgd"] = "adamw"
    lr: float = 1e-3
    backbone_lr: float | None = None  # None: as lr
    weight_decay: float = 5e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: float = 0.05  # share of the steps over which the rate rises from 0
    clip_norm: float | None = 10.0
    loss_reduction: Literal["mean", "sum"] = "mean"  # over the images of an effective batch
    epochs: int = 16
    effective_batch: int = 16
    micro_batch: int = 16
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    checkpoint_activations: bool = False  # the backward pass runs the backbone's blocks again instead of keeping what they held
    compile: bool = False  # the net of a training step, by torch.compile
    # what is looked at
    score_epochs: int = 1  # score the val split every so many epochs (and at the end)
    probe_steps: int = 0  # record gradients every so many steps; 0: never

    def __post_init__(self) -> None:
        for expected, lowest, highest, names in RANGES:
            for name in names:
                value = getattr(self, name)
                if value is not None and not lowest <= value <= highest:
                    raise InputError(f"{name} must be {expected}; got {value}")
        for name, value in vars(self).items():
            if isinstance(value, float) and not isfinite(value):
                raise InputError(f"{name} must be finite; got {value}")
        if self.finest_stride not in LEVELS:
            raise InputError(f"finest_stride must be one of {', '.join(map(str, LEVELS))}; got {self.finest_stride}")
        if self.start is not None and self.start.count("/") != 1:
            raise InputError(f"start must be an experiment and an arm of it, as in 'focal/mse'; got {self.start!r}")
        if self.micro_batch > self.effective_batch:
            raise InputError(
                f"micro_batch {self.micro_batch} is larger than effective_batch {self.effective_batch}; "
                "make it the same or smaller: gradients are accumulated up to the effective batch"
            )
        if self.cache_features and not (self.freeze_weights and self.batchnorm == "frozen"):
            raise InputError("cache_features needs a backbone that stands still; set freeze_weights and batchnorm='frozen' as well")
        if self.compile and self.checkpoint_activations:
            raise InputError("compile decides itself what to compute again, and refuses checkpoint_activations; set one of the two")
        for name in ("augment", "mosaic"):
            if self.cache_features and getattr(self, name):
                raise InputError(f"{name} changes the pictures of every epoch, and cache_features sees them once; set one of the two")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def anchor_free(self) -> bool:
        """Whether the detector predicts at points, with one score a class, and not in YOLOv1's cells."""
        return self.head in ("coupled", "decoupled")

    def _built(self) -> ModuleType:
        """Where the parts are made: imported here, so that a record is read without torch."""
        return import_module(BUILDERS[self.anchor_free])

    def grid(self) -> Any:
        """What reads the detector's outputs: a `Grid`, or `Points`."""
        return self._built().grid(self)

    def loss(self) -> Any:
        """A `YoloLoss`, or a `PointLoss`."""
        return self._built().loss(self)

    def detector(self) -> "Detector":
        """The net before any training, with what it holds still."""
        from yolo_core.detector.model import freeze

        detector = self._built().net(self)
        freeze(detector, weights=self.freeze_weights, statistics=self.batchnorm == "frozen")
        detector.backbone.recompute = self.checkpoint_activations
        return detector

    @property
    def confidence(self) -> Literal["linear", "sigmoid"]:
        """How an output confidence becomes a score."""
        logits = self.score_loss == "quality" if self.anchor_free else self.background == "qfl"
        return "sigmoid" if logits else "linear"


def config_from_dict(values: dict[str, Any], source: str = "the configuration") -> RunConfig:
    """A RunConfig from a stored or hand-written dict. InputError names `source` and the key that does not exist, or whose value is of
    another type, out of its range, or at odds with another key's."""
    known = {f.name: f.type for f in fields(RunConfig)}
    for name, value in values.items():
        if name not in known:
            raise InputError(f"{source}: unknown key {name!r}; the keys are {', '.join(sorted(known))}")
        if not _is(value, known[name]):
            raise InputError(f"{source}: {name} must be {_said(known[name])}; got {str(value)[:40]!r}")
    try:
        return RunConfig(**values)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def _is(value: object, kind: Any) -> bool:
    """Whether a plain value is of a field's type. A whole number may stand for a float; a bool is no number."""
    if isinstance(kind, UnionType):
        return any(_is(value, one) for one in get_args(kind))
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    return type(value) is kind or (kind is float and type(value) is int)


def _said(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    return str(kind).replace(" | ", " or ") if isinstance(kind, UnionType) else kind.__name__
