# %% [markdown]
# # The root of a size, and its slope
#
# YOLOv1 compares the roots of sizes, so that a slip of some pixels weighs more on a small box. Where a net puts out the width
# $\hat w > 0$ itself, the term is
#
# $$ L(\hat w) = \lambda \left(\sqrt{\hat w} - \sqrt{w}\right)^2 . $$
#
# Write the loss, and its derivative with respect to $\hat w$ by hand: no autograd. What happens to it as $\hat w$ goes to 0?

# %%
import torch


def root_loss(predicted, truth, lam=5.0):
    """The term for tensors of predicted and true widths, all above 0, element by element."""
    # solution
    return lam * (predicted.sqrt() - truth.sqrt()) ** 2
    # end


def root_gradient(predicted, truth, lam=5.0):
    """d root_loss / d predicted, element by element."""
    # solution
    return lam * (1 - (truth / predicted).sqrt())
    # end


# %% [check]
from book.press.exercises import expect
from yolo_core.detector.loss import signed_root


def check():
    predicted = torch.tensor([1e-4, 0.01, 0.09, 0.25, 0.36, 1.0], dtype=torch.float64, requires_grad=True)
    truth = torch.tensor([0.25, 0.04, 0.25, 0.25, 0.01, 0.81], dtype=torch.float64)
    for lam in (5.0, 2.0):
        wanted = lam * (signed_root(predicted) - signed_root(truth)).square()
        (slope,) = torch.autograd.grad(wanted.sum(), predicted)
        expect(root_loss(predicted.detach(), truth, lam), wanted, f"the loss of the widths {predicted.tolist()}, lambda {lam}")
        expect(root_gradient(predicted.detach(), truth, lam), slope, f"the slope at the widths {predicted.tolist()}, lambda {lam}")
