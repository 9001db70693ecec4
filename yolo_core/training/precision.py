"""The arithmetic that a training runs in, and the factor that keeps half precision's gradients from vanishing.

Inside: `arithmetic` (Lightning Fabric's plugin for a wanted precision on this machine), `scale`, `Mixed`.

In float16 a gradient below about 6e-8 is 0. The loss is therefore multiplied by a large power of two before the backward pass and the
gradients divided by it before anybody reads them; a step in which they overflow is left out and the factor halved (Micikevicius et al.,
"Mixed Precision Training", 2018, section 3.2; torch.amp.GradScaler).
"""

import torch

from groundwork.fabric import MixedPrecision, Precision


class Mixed(MixedPrecision):
    """Lightning's mixed precision, with gradients that can be clipped under a fused optimiser too.

    A fused optimiser divides by the factor itself unless that is done before it; Lightning refuses to do so, GradScaler does not.
    """

    def unscale_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)


def arithmetic(wanted: str) -> Precision:
    """`wanted` on a GPU. On a CPU half precision is bfloat16 where its vectors calculate in it (AVX-512), and float32 elsewhere, since
    bfloat16 that is emulated takes many times as long."""
    if wanted == "32-true":
        torch.backends.cudnn.allow_tf32 = False  # else a card from 2020 on keeps 10 of float32's 23 bits in convolutions
    device = torch.accelerator.current_accelerator(check_available=True)
    if wanted == "32-true" or (device is None and "AVX512" not in torch.backends.cpu.get_cpu_capability()):
        return Precision()
    return Mixed("bf16-mixed", "cpu") if device is None else Mixed(wanted, device.type)


def scale(precision: Precision) -> float:
    """What the loss is multiplied by at this moment; 1 where nothing is."""
    scaler = getattr(precision, "scaler", None)
    return 1.0 if scaler is None else scaler.get_scale()
