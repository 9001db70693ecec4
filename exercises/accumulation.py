# %% [markdown]
# # A large batch in small pieces
#
# A batch that does not fit is cut into micro-batches whose gradients add up. `loss(outputs, target)` is a dict of terms, each a *mean* over
# the pictures it is given. Write `accumulate` so that afterwards every `parameter.grad` is what one pass over the whole batch leaves, also
# where the last micro-batch is a partial one. Only `micro_batch` pictures may pass through the net at once.

# %%
import torch


def accumulate(net, loss, inputs, target, micro_batch):
    """Leave the whole batch's gradient in `net`'s parameters."""
    # solution
    net.zero_grad()
    for part, part_target in zip(inputs.split(micro_batch), target.split(micro_batch), strict=True):
        mean = sum(loss(net(part), part_target).values())
        (mean * len(part) / len(inputs)).backward()
    # end


# %% [check]
from book.press.exercises import expect
from yolo_core.detector.grid import Grid
from yolo_core.detector.loss import YoloLoss


def check():
    grid, generator = Grid(S=2, C=3), torch.Generator().manual_seed(0)
    inputs = torch.rand(7, 3, 4, 4, generator=generator, dtype=torch.float64)
    corners = torch.rand(7, 2, 2, generator=generator).sort(1).values.flatten(1)
    target = grid.encode([{"boxes": box[None], "labels": torch.tensor([i % 3])} for i, box in enumerate(corners)]).double()
    linear = torch.nn.Linear(48, 4 * grid.depth, dtype=torch.float64)
    with torch.no_grad():
        linear.weight.copy_(torch.rand(linear.weight.shape, generator=generator, dtype=torch.float64) / 10)
    net = torch.nn.Sequential(torch.nn.Flatten(), linear, torch.nn.Unflatten(1, (2, 2, grid.depth)))
    largest = []
    net.register_forward_pre_hook(lambda _, given: largest.append(len(given[0])))
    loss = YoloLoss(grid=grid)
    sum(loss(net(inputs), target).values()).backward()
    wanted = linear.weight.grad.clone()
    for micro_batch in (1, 3, 4, 7):
        net.zero_grad()
        largest.clear()
        accumulate(net, loss, inputs, target, micro_batch)
        found = linear.weight.grad
        what = f"7 pictures in micro-batches of {micro_batch}"
        expect(max(largest, default=0), micro_batch, f"the most pictures in one pass, {what}")
        expect(None if found is None else found.norm(), wanted.norm(), f"the norm of the gradient, {what}")
        expect(found, wanted, f"the gradient, {what}")
