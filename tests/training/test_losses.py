"""The margin loss against torch's own, at and around the point where it becomes exactly zero; the best constant by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from suite.training.losses import constant_loss, hinge, reported


def test_hinge_is_torchs_multi_margin_loss_per_wrong_class():
    generator = torch.Generator().manual_seed(3)
    output = torch.randn(4, 50, 7, dtype=torch.float64, generator=generator)
    target = torch.randint(0, 7, (4, 50), generator=generator)
    ours = output.clone().requires_grad_()
    theirs = output.clone().requires_grad_()
    mean = hinge(ours, target).mean(dim=1)
    for replicate in range(4):
        expected = nn.MultiMarginLoss()(theirs[replicate], target[replicate]) * 7 / 6
        assert mean[replicate].item() == pytest.approx(expected.item(), rel=1e-13)
        expected.backward()
    mean.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_lead_of_one_is_exactly_no_loss_and_no_gradient(dtype):
    output = torch.tensor([[[1.0, 0.0, -3.0], [2.0, 1.0, 0.0], [0.5, 0.0, 0.0]]], dtype=dtype, requires_grad=True)
    losses = hinge(output, torch.zeros(1, 3, dtype=torch.int64))
    assert losses.tolist() == [[0.0, 0.0, 0.5]]
    (gradient,) = torch.autograd.grad(losses.sum(), output)
    assert (gradient[0, :2] == 0).all()
    assert gradient[0, 2].tolist() == [-1.0, 0.5, 0.5]


def test_the_best_constant_under_hinge():
    """Two classes: the rarer class pays 2. Three: a grid of scores, fine enough to hold the integer optimum."""
    labels = torch.tensor([0] * 3 + [1] * 7)
    assert constant_loss("hinge", labels, 2) == pytest.approx(2 * 0.3, abs=1e-12)
    labels = torch.tensor([0] * 5 + [1] * 3 + [2] * 2)
    grid = np.arange(-3, 3.01, 0.25)
    best = min(
        float(reported(hinge(torch.tensor([0.0, a, b], dtype=torch.float64).expand(1, 10, 3), labels[None])).item())
        for a, b in itertools.product(grid, grid)
    )
    assert constant_loss("hinge", labels, 3) == pytest.approx(best, abs=1e-12)


def test_classes_in_equal_shares_pay_one():
    assert constant_loss("hinge", torch.arange(20) % 10, 10) == pytest.approx(1.0, abs=1e-12)


def test_the_recorded_loss_is_zero_only_if_every_examples_loss_is():
    """The mean of one smallest float16 number and 15 zeros rounds to 0 in float16; it is recorded as what it is."""
    losses = torch.zeros(1, 16, dtype=torch.float16)
    losses[0, 3] = 2.0**-24
    assert losses.mean(dim=1).item() == 0
    assert reported(losses).item() == 2.0**-28


@pytest.mark.parametrize(
    ("precision", "zero_from", "gone_from"),
    [("float16", 7.75, 17.5), ("bfloat16", 5.75, 92.75), ("float32", 16.75, 104.0), ("float64", 36.75, 745.5)],
)
def test_a_cross_entropy_of_zero_has_a_gradient(precision, zero_from, gone_from):
    """Two classes at margin m: the loss is about e^-m, lost beside a logit of the same format; the gradient e^-m is lost only
    below the smallest subnormal."""
    from suite.training.losses import cross_entropy

    def at(margin: float) -> tuple[float, float]:
        output = torch.tensor([[[margin, 0.0]]], dtype=getattr(torch, precision), requires_grad=True)
        loss = cross_entropy(output, torch.zeros(1, 1, dtype=torch.int64))
        (gradient,) = torch.autograd.grad(loss.sum(), output)
        return loss.item(), gradient.abs().max().item()

    assert at(zero_from - 1)[0] > 0
    loss, gradient = at(zero_from)
    assert loss == 0
    assert gradient > 0
    assert at(gone_from - 1)[1] > 0
    assert at(gone_from + 1)[1] == 0
