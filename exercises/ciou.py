# %% [markdown]
# # Complete IoU
#
# Boxes that do not meet have an IoU of 0 and no slope to find each other by. Complete IoU adds two terms (Zheng et al., 2020):
#
# $$ L = 1 - \mathrm{IoU} + \frac{\rho^2}{c^2} + \alpha v, \qquad
# v = \frac{4}{\pi^2}\left(\arctan\frac{w_b}{h_b} - \arctan\frac{w_a}{h_a}\right)^2, \qquad
# \alpha = \frac{v}{1 - \mathrm{IoU} + v}, $$
#
# with $\rho$ the distance of the centres and $c$ the diagonal of the smallest box around both. Write it for two boxes that differ.

# %%
import math

import torch


def ciou_loss(a, b):
    """The loss of two xyxy boxes, tensors of 4 numbers with positive sides: a scalar tensor."""
    # solution
    meet = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).clamp(min=0).prod()
    size_a, size_b = a[2:] - a[:2], b[2:] - b[:2]
    iou = meet / (size_a.prod() + size_b.prod() - meet)
    apart = ((a[:2] + a[2:] - b[:2] - b[2:]) / 2).square().sum()
    around = (torch.maximum(a[2:], b[2:]) - torch.minimum(a[:2], b[:2])).square().sum()
    v = 4 / math.pi**2 * (torch.atan(size_b[0] / size_b[1]) - torch.atan(size_a[0] / size_a[1])) ** 2
    return 1 - iou + apart / around + v * v / (1 - iou + v)
    # end


# %% [check]
from torchvision.ops import complete_box_iou_loss

from book.press.exercises import expect
from yolo_core.detector.boxes import paired_iou


def check():
    apart = torch.tensor([[0.0, 0.0, 1.0, 1.0], [2.0, 0.0, 3.0, 1.0]], dtype=torch.float64)
    expect(ciou_loss(*apart), 1 + 4 / 10, "two unit squares, one apart by a side: 1 - 0 + 2^2 / (3^2 + 1^2)")
    nested = torch.tensor([[0.0, 0.0, 4.0, 4.0], [1.0, 1.0, 3.0, 3.0]], dtype=torch.float64)
    expect(ciou_loss(*nested), 1 - paired_iou(*nested), "a square in the middle of another: only the IoU is left")
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(20, 2, 2, 2, generator=generator, dtype=torch.float64).sort(2).values.flatten(2)
    boxes = 448 * corners  # in pixels, so large that torchvision's eps does not count
    for a, b in boxes:
        expect(ciou_loss(a, b), complete_box_iou_loss(a, b), f"the boxes {a.tolist()} and {b.tolist()}")
