"""Configurations and command lines: `given` are keys of a configuration that differ from a sound one, or the words of a command.

Inside: `CASES` (configurations), `COMMANDS`.
"""

from hostile.case import Case

BASE = {"backbone": "scratch", "width": 0.05, "head": "conv"}
NAN, INF = float("nan"), float("inf")

UNKNOWN = {
    "a key of another framework": "learning_rate",
    "a key in capitals": "Epochs",
    "an empty key": "",
    "a key of Python's own": "__class__",
}
WRONG = {  # key: value, what was expected
    "epochs": ("3", "int"),
    "seed": (0.0, "int"),
    "image_size": ([224], "int"),
    "micro_batch": (True, "int"),
    "effective_batch": (None, "int"),
    "train_images": ("half", "int or None"),
    "lr": ("1e-3", "float"),
    "gamma": (False, "float"),
    "clip_norm": ("none", "float or None"),
    "backbone_lr": ({}, "float or None"),
    "dropout": (None, "float"),
    "augment": ("yes", "bool"),
    "freeze_weights": (1, "bool"),
    "compile": (None, "bool"),
    "experiment": (7, "str"),
    "weights": (["imagenet"], "str or None"),
    "start": (0, "str or None"),
    "head": ("huge", "one of full, compressed"),
    "background": ("mae", "one of mse, focal"),
    "optimiser": ("Adam", "one of adam, adamw, sgd"),
    "batchnorm": (None, "one of train, frozen"),
    "precision": ("8-true", "one of 32-true"),
    "schedule": (["cosine"], "one of cosine, constant"),
    "centre": ({}, "one of cell, image"),
}
OUTSIDE = {  # key: values, what was expected
    "epochs": ((0, -1, -(10**400)), "at least 1"),
    "effective_batch": ((0,), "at least 1"),
    "image_size": ((-224,), "at least 1"),
    "train_images": ((0,), "at least 1"),
    "seed": ((-1,), "at least 0"),
    "probe_steps": ((-1,), "at least 0"),
    "bins": ((-4,), "at least 0"),
    "lambda_coord": ((-5.0, NAN), "at least 0"),
    "weight_decay": ((-1e-4,), "at least 0"),
    "gamma": ((INF,), "finite"),
    "confidence_bias": ((NAN, -INF), "finite"),
    "lr": ((0.0, -1e-3, NAN), "above 0"),
    "backbone_lr": ((0.0,), "above 0"),
    "clip_norm": ((0.0,), "above 0"),
    "width": ((0.0, NAN), "above 0"),
    "dropout": ((-0.1, 1.5, NAN), "a share of the units, 0 to 1"),
    "warmup": ((-0.1, 2.0), "a share of the steps, 0 to 1"),
    "close_mosaic": ((1.01,), "a share of the steps, 0 to 1"),
    "finest_stride": ((0, 3, 64, -32), "one of 8, 16, 32"),
    "start": (("focal", "a/b/c", "../../x"), "an experiment and an arm"),
}
STILL = {"freeze_weights": True, "batchnorm": "frozen", "cache_features": True}
AT_ODDS = {
    "a micro-batch above the effective batch": ({"micro_batch": 32}, "micro_batch 32 is larger than effective_batch 16"),
    "features kept of a backbone that learns": ({"cache_features": True}, "needs a backbone that stands still"),
    "features kept of a BatchNorm that learns": ({**STILL, "batchnorm": "train"}, "needs a backbone that stands still"),
    "features kept of pictures that change": ({**STILL, "augment": True}, "augment changes the pictures"),
    "features kept of mosaics": ({**STILL, "mosaic": True}, "mosaic changes the pictures"),
    "compiled and computed again": ({"compile": True, "checkpoint_activations": True}, "set one of the two"),
    "weights for a net that has none": ({"weights": "imagenet"}, "trained from random weights"),
    "a backbone that nobody knows": ({"backbone": "vgg"}, "unknown backbone 'vgg'"),
    "a size that the backbone does not take": ({"image_size": 225}, "from 224 or 448 px"),
    "a size that the grid does not meet": ({"backbone": "resnet18", "image_size": 320}, "the grid needs 7 or 14"),
    "weights that are not there": ({"backbone": "resnet18", "weights": "nowhere.pth"}, "nowhere.pth: no such weights file"),
}

CASES = (
    *(Case(what, {key: 1}, f"unknown key '{key}'; the keys are ") for what, key in UNKNOWN.items()),
    *(Case(f"{key} {value!r}", {key: value}, f"{key} must be {expected}") for key, (value, expected) in WRONG.items()),
    *(
        Case(f"{key} of {str(value)[:20]}", {key: value}, f"{key} must be {expected}")
        for key, (values, expected) in OUTSIDE.items()
        for value in values
    ),
    *(Case(what, changes, says) for what, (changes, says) in AT_ODDS.items()),
    Case("no key at all: the defaults", {}, means={}),
    Case("a whole number for a float", {"lr": 1, "gamma": 2}, means={"lr": 1, "gamma": 2}),
    Case("what may be left out, left out", {"clip_norm": None, "start": None}, means={"clip_norm": None, "start": None}),
    Case("the ends of what may be", {"dropout": 1.0, "warmup": 0.0, "gamma": 0.0}, means={"dropout": 1.0, "warmup": 0.0, "gamma": 0.0}),
)

TRAIN = ["train", "baseline", "--arm", "conv", "--profile", "smoke", "--data", "tree", "--out", "run"]
EMOJI = ["data", "emoji", "--out", "run"]
COMMANDS = (
    # What the parser refuses, in its own frame: a status of 2, the option by name.
    Case("no command", [], "usage|subcommand|Expected one of"),
    Case("an unknown command", ["trian"], "trian"),
    Case("an unknown option", [*TRAIN, "--epochs", "3"], "--epochs"),
    Case("an option without its value", [*TRAIN, "--seed"], "--seed"),
    Case("words for a whole number", [*TRAIN, "--seed", "zero"], "--seed"),
    Case("a fraction for a whole number", [*TRAIN, "--max-steps", "1.5"], "--max-steps"),
    Case("an empty value", [*TRAIN, "--workers", ""], "--workers"),
    Case("nothing of what is needed", ["train"], "experiment"),
    Case("an unknown choice", ["plan", "--head", "huge"], "huge"),
    Case("data without an action", ["data"], "emoji, voc, photographs, check"),
    Case("words for a flag", ["claims", "--json", "yes"], "yes"),
    # What the commands refuse, in one sentence.
    Case("an unknown experiment", [*TRAIN[:1], "nope", *TRAIN[4:]], "unknown experiment 'nope'; choose one of baseline"),
    Case("an experiment that is a path", [*TRAIN[:1], "../../x", *TRAIN[4:]], "unknown experiment '../../x'; choose"),
    Case("an unknown arm", [*TRAIN[:3], "nope", *TRAIN[4:]], "has no arm 'nope'; choose one of compressed"),
    Case("an unknown profile", [*TRAIN, "--profile", "nope"], "unknown profile 'nope'; choose one of smoke"),
    Case("claims of an unknown profile", ["claims", "--profile", "../x"], "unknown profile '../x'; choose one of smoke"),
    Case("reference runs of an unknown profile", ["reference", "--check", "--profile", "x"], "unknown profile 'x'; choose one of smoke"),
    Case("a negative seed", [*TRAIN, "--seed", "-1"], "seed must be at least 0"),
    Case("no steps", [*TRAIN, "--max-steps", "0"], "--max-steps must be at least 1"),
    Case("negative workers", [*TRAIN, "--workers", "-1"], "cannot be negative"),
    Case("negative seconds", [*TRAIN, "--checkpoint-seconds", "-1"], "cannot be negative"),
    Case("seconds that are no number", [*TRAIN, "--checkpoint-seconds", "nan"], "cannot be negative"),
    Case("micro-batches of none", [*TRAIN, "--micro-batch", "0"], "--micro-batch must be a whole number"),
    Case("micro-batches of many", [*TRAIN, "--micro-batch", "many"], "--micro-batch must be a whole number"),
    Case("a micro-batch above the batch", [*TRAIN, "--micro-batch", "17"], "micro_batch 17 is larger than effective_batch 16"),
    Case("compiled and computed again", [*TRAIN, "--compile", "--checkpoint-activations"], "set one of the two"),
    Case("weights for a net from scratch", [*TRAIN, "--weights", "tree"], "trained from random weights"),
    Case("data that are not there", [*TRAIN, "--data", "nowhere"], "nowhere: expected a VOC tree"),
    Case("data that are a file", [*TRAIN, "--data", "file"], "file: expected a VOC tree"),
    Case("a run where there is a file", [*TRAIN, "--out", "file"], "file: already there"),
    Case("a run where there is something", [*TRAIN, "--out", "tree"], "tree: already there"),
    Case("a run below a file", [*TRAIN, "--out", "file/run"], "file/run: cannot be made"),
    Case("scenes of negative number", [*EMOJI, "--train", "-3"], "train: expected a whole number of 1 or more, got -3"),
    Case("scenes of negative seed", [*EMOJI, "--seed", "-1"], "seed: expected a whole number of 0 or more, got -1"),
    Case("scenes of 3 px", [*EMOJI, "--size", "3"], "size: expected"),
    Case("scenes where there is something", ["data", "emoji", "--out", "tree"], "tree: expected a new or empty folder"),
    Case("scenes where there is a file", ["data", "emoji", "--out", "file"], "file: "),
    Case("a score of what is no run", ["eval", "tree", "--data", "tree"], "tree: not a finished run"),
    Case("a score of what is a file", ["eval", "file", "--data", "tree"], "file: not a finished run"),
    Case("a score of what is not there", ["eval", "nowhere", "--data", "tree"], "nowhere: not a finished run"),
    Case("a look by what is no run", ["predict", "tree", "file", "--out", "run"], "tree: not a finished run"),
    Case("a look by what is a run, at nothing", ["predict", "tree", "--out", "run"], "images|picture"),
    Case("a card of no memory", ["plan", "--vram-gib", "0"], "--vram-gib must be above 0"),
    Case("a card of nan", ["plan", "--vram-gib", "nan"], "--vram-gib must be above 0"),
    Case("pictures of no size", ["plan", "--image-size", "0"], "image_size must be at least 1"),
    Case("pictures of a size that no grid takes", ["plan", "--image-size", "100"], "use 224 or 448 px"),
    Case("a backbone that nobody knows", ["plan", "--backbone", "vgg"], "unknown backbone 'vgg'; choose one of scratch"),
    Case("a batch of none", ["plan", "--effective-batch", "0"], "--effective-batch must be at least 1"),
    Case("no workers", ["reference", "--workers", "0"], "--workers must be at least 1"),
)
