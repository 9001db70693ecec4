# %% [markdown]
# # A box becomes a target
#
# A picture is cut into $S \times S$ cells. The cell that holds the centre of an object answers for it; a centre on the right or lower edge
# of the picture belongs to the last cell. The cell's target is 5 + C numbers: a flag of 1, the centre $x, y$ from the cell's own
# corner in cells, the width and height in pictures, and the one-hot class.
#
# Write `encode` for one box, given as xyxy in $[0, 1]$.

# %%
import torch


def encode(box, label, S=7, C=20):
    """(row, column, target): where the box's target goes, and its 5 + C numbers as a tensor."""
    # solution
    x1, y1, x2, y2 = (float(v) for v in box)
    x, y = S * (x1 + x2) / 2, S * (y1 + y2) / 2
    column, row = min(int(x), S - 1), min(int(y), S - 1)
    target = torch.zeros(5 + C)
    target[:5] = torch.tensor([1, x - column, y - row, x2 - x1, y2 - y1])
    target[5 + label] = 1
    return row, column, target
    # end


# %% [check]
from book.press.exercises import expect
from yolo_core.detector.grid import Grid


def check():
    corners = torch.rand(50, 2, 2, generator=torch.Generator().manual_seed(0)).sort(1).values.flatten(1)
    edge = torch.tensor([[0.9, 0.1, 1.1, 0.2], [0.2, 0.95, 0.4, 1.05]])  # centres on the right and on the lower edge
    for S, C in ((7, 20), (5, 3)):
        for i, box in enumerate([*corners, *edge]):
            wanted = Grid(S=S, C=C).encode([{"boxes": box[None], "labels": torch.tensor([i % C])}])[0]
            row, column = wanted[..., 0].nonzero()[0].tolist()
            found = encode(box, i % C, S=S, C=C)
            where = f"the box {[round(v, 3) for v in box.tolist()]} on a grid of {S} x {S}"
            expect(found[:2], (row, column), f"row and column of {where}")
            expect(found[2], wanted[row, column], f"the target of {where}, class {i % C} of {C}")
