"""Lightning's Fabric, without the seconds that it takes to ask torchmetrics for its version.

Inside: `Fabric`, `MixedPrecision`, `Precision`.

Fabric imports torchmetrics, where there is one, and with it SciPy's signals, to learn a number that is not needed here.
"""

import sys

_hidden = sys.modules.setdefault("torchmetrics", None) is None  # Python then says that there is none
try:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import MixedPrecision, Precision
finally:
    if _hidden:
        del sys.modules["torchmetrics"]

__all__ = ["Fabric", "MixedPrecision", "Precision"]
