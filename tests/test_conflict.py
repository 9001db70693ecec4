"""The probe that compares what boxes and classes ask of the layers they share."""

import pytest
import torch
from torch import nn

from trial.instruments.probes import ConflictProbe


def observed(box: torch.Tensor, score: torch.Tensor) -> dict:
    """The probe's row where the two gradients on the shared weights are these."""
    shared = nn.Linear(2, 1, bias=False)
    probe = ConflictProbe(1)
    terms = {"box": (shared.weight * box).sum(), "object": (shared.weight * score).sum() / 4, "background": (shared.weight * score).sum()}
    probe.observe(0, shared, terms)
    sum(terms.values()).backward()  # the graph is still there
    assert shared.weight.grad.abs().sum() > 0
    return probe.table().iloc[0].to_dict()


@pytest.mark.equation("eq-conflict")
@pytest.mark.parametrize(("score", "cosine"), [([1.0, 0.0], 1.0), ([-3.0, 0.0], -1.0), ([0.0, 2.0], 0.0), ([1.0, 1.0], 0.5**0.5)])
def test_the_cosine_is_that_of_the_two_gradients_on_the_shared_weights(score, cosine):
    assert observed(torch.tensor([[1.0, 0.0]]), torch.tensor([score]))["cosine"] == pytest.approx(cosine, abs=1e-6)


def test_the_norms_are_those_of_the_terms_weights_included():
    row = observed(torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, 0.0]]))
    assert (row["box"], row["score"]) == (pytest.approx(5), pytest.approx(5))


def test_looking_writes_to_no_gradient_and_a_state_goes_on():
    shared, probe = nn.Linear(2, 1, bias=False), ConflictProbe(10)
    terms = {"box": shared.weight.sum(), "object": shared.weight.sum(), "background": 0 * shared.weight.sum()}
    probe.observe(0, shared, terms)
    assert shared.weight.grad is None
    assert (probe.wants(0), probe.wants(5), probe.wants(10), ConflictProbe(0).wants(0)) == (True, False, True, False)
    again = ConflictProbe(10)
    again.load(probe.state())
    assert again.summary() == probe.summary() == {"box_class_cosine": pytest.approx(1.0)}
