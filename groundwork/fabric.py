"""Lightning's Fabric, without the seconds that it takes to ask torchmetrics for its version.

Inside: `Fabric`, `MixedPrecision`, `Precision`, `started` (for one process, or for this one of torchrun's).

Fabric imports torchmetrics, where there is one, and with it SciPy's signals, to learn a number that is not needed here.
"""

import os
import sys

from groundwork.errors import InputError

_hidden = sys.modules.setdefault("torchmetrics", None) is None  # Python then says that there is none
# Fabric takes these for numbers as it is imported, whoever has set them, and ends in a traceback where they are none.
_ranks = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
_odd = {name: os.environ.pop(name) for name in _ranks if not os.environ.get(name, "0").isdecimal()}
try:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import MixedPrecision, Precision
    from lightning_fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
finally:
    os.environ.update(_odd)
    if _hidden:
        del sys.modules["torchmetrics"]

__all__ = ["Fabric", "MixedPrecision", "Precision", "started"]


def started(precision: Precision) -> Fabric:
    """One device; or, where torchrun has started several processes, this one's share of them. What other launchers have set, SLURM in the
    shell of a job for instance, is passed over. InputError for variables as torchrun does not set them."""
    world = _number("WORLD_SIZE", 1)
    if world == 1:
        return Fabric(devices=1, plugins=[precision, LightningEnvironment()])
    for name in ("RANK", "LOCAL_RANK"):
        if name not in os.environ:  # left from another program: Fabric would start processes of its own
            raise InputError(f"WORLD_SIZE is {world}, and {name} is not set; start several processes by torchrun, or unset WORLD_SIZE")
        _number(name, 0, least=0)
    here = _number("LOCAL_WORLD_SIZE", world)
    if world % here:
        raise InputError(
            f"WORLD_SIZE, {world}, is no multiple of LOCAL_WORLD_SIZE, {here}; start several processes by torchrun, or unset both"
        )
    fabric = Fabric(devices=here, num_nodes=world // here, strategy="ddp", plugins=[precision, TorchElasticEnvironment()])
    fabric.launch()
    return fabric


def _number(name: str, otherwise: int, least: int = 1) -> int:
    """The number that torchrun has put into a variable. InputError for what is none."""
    text = os.environ.get(name, str(otherwise))
    if not text.isdecimal() or int(text) < least:
        raise InputError(f"{name} must be a whole number of at least {least}, as torchrun sets it; got {text!r}; unset it")
    return int(text)
