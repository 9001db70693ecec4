# %% [markdown]
# # The gradient that starves
#
# The write-up's focal loss of a background confidence $c$ is $\lambda\,|c|^{\gamma} c^2$; at $\gamma = 2$ that is $\lambda c^4$. Derive
# its gradient with respect to $c$, the factor not held constant, and write it without autograd, for every $c$ (a linear output may be
# negative) and every $\gamma \ge 0$.
#
# Then: below which $c > 0$ is it smaller than the squared error's $2 \lambda c$?

# %%
import torch


def focal_gradient(c, lam=0.5, gamma=2.0):
    """d/dc of lam |c|^gamma c^2 for a tensor c, element by element."""
    # solution
    return lam * (gamma + 2) * c.abs() ** gamma * c
    # end


def starves_below(gamma=2.0):
    """The confidence at which the focal gradient and the squared error's are equal, gamma > 0."""
    # solution
    return (2 / (gamma + 2)) ** (1 / gamma)
    # end


# %% [check]
from book.press.exercises import expect
from trial.instruments.theory import READINGS, focal_to_mse


def check():
    c = torch.tensor([-0.5, -0.1, 0.0, 0.1, 0.5, 1.2], dtype=torch.float64, requires_grad=True)
    for lam, gamma in ((0.5, 2.0), (0.5, 1.0), (1.0, 3.0), (2.0, 0.0)):
        at = f"at c = {c.tolist()}, lambda {lam}, gamma {gamma}"
        (slope,) = torch.autograd.grad((lam * c.abs() ** gamma * c**2).sum(), c)
        expect(focal_gradient(c.detach(), lam, gamma), slope, f"autograd's gradient {at}")
        closed = READINGS["focal"].gradient(c.detach().numpy(), gamma, lam)
        expect(focal_gradient(c.detach(), lam, gamma), closed, f"the closed form {at}")
    for gamma in (0.5, 1.0, 2.0, 5.0):
        expect(focal_to_mse(float(starves_below(gamma)), gamma), 1.0, f"focal over squared error at your confidence, gamma {gamma}")
