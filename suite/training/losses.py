"""Losses per example for stacked outputs, and the best constant predictor's loss. Knows no network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from suite.nets.mlp import HALVES

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(output: Float[Tensor, "replicate batch class"], target: Tensor) -> Float[Tensor, "replicate batch"]:
    """-log softmax at the label, in nats. ``target`` holds labels [replicate, batch]."""
    return -F.log_softmax(output, dim=2).gather(2, target[:, :, None])[:, :, 0]


def squared_error(output: Float[Tensor, "replicate batch output"], target: Tensor) -> Float[Tensor, "replicate batch"]:
    """Mean over the outputs of (output - target)². Labels [replicate, batch] count as one-hot targets."""
    if target.ndim == 2:
        # as F.one_hot, which reads the labels to check them and so cannot be compiled
        target = (target[:, :, None] == torch.arange(output.shape[2], device=target.device)).to(output.dtype)
    return (output - target).square().mean(dim=2)


def binary_cross_entropy(
    output: Float[Tensor, "replicate batch output"], target: Float[Tensor, "replicate batch output"]
) -> Float[Tensor, "replicate batch"]:
    """Mean over the outputs of -t log σ(z) - (1-t) log(1-σ(z)), in nats; ``output`` holds the logits z of a sigmoid output
    unit, ``target`` the probabilities t.
    """
    return F.binary_cross_entropy_with_logits(output, target, reduction="none").mean(dim=2)


def hinge(output: Float[Tensor, "replicate batch class"], target: Tensor) -> Float[Tensor, "replicate batch"]:
    """Multi-class margin loss of Weston and Watkins (1999): the mean over the wrong classes j of max(0, 1 - f_y + f_j), which is
    exactly 0, with gradient exactly 0, once the right score leads every other by 1. torch.nn.MultiMarginLoss is (C - 1)/C of it.
    """
    own = target[:, :, None]
    margins = torch.relu(1 - output.gather(2, own) + output)  # derivative 0 at 0
    return margins.scatter(2, own, 0.0).sum(dim=2) / (output.shape[2] - 1)


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "squared_error": squared_error,
    "binary_cross_entropy": binary_cross_entropy,
    "hinge": hinge,
}


def reported(losses: Float[Tensor, "replicate batch"]) -> Float[Tensor, " replicate"]:
    """Mean loss as it is recorded: in float64 where the examples' losses are in float16 or bfloat16, so that the mean is zero
    only if every example's loss is.
    """
    return (losses.double() if losses.dtype in HALVES else losses).mean(dim=1)


def scaled_gradients(losses: Float[Tensor, " replicate"], leaves: list[Tensor], scale: float) -> tuple[Tensor, ...]:
    """Gradient of every replicate's loss. Replicates share no term, so the gradient of the sum of their losses is each one's own.

    With loss scaling (Micikevicius et al. 2018) the backward pass starts from ``scale`` instead of 1, and the gradients are
    divided by it in float32 at least.
    """
    seed = torch.full_like(losses, scale)
    gradients = torch.autograd.grad(losses, leaves, seed, allow_unused=True, materialize_grads=True)
    if scale == 1:
        return gradients
    return tuple(gradient.to(torch.promote_types(gradient.dtype, torch.float32)) / scale for gradient in gradients)


def with_target_scale(loss: Loss, targets: Tensor, classes: int | None, scale: float) -> Loss:
    """``loss`` on targets whose deviation from their mean over the training set is multiplied by ``scale``, output by output:
    t ← m + scale · (t - m). Labels count as one-hot targets, so their mean is the class prior. ``targets`` are the
    training set's, [example] or [example, output].
    """
    wide = targets if classes is None else F.one_hot(targets, classes).to(torch.float64)
    mean = wide.to(torch.float64).mean(dim=0)

    def scaled(output: Tensor, target: Tensor) -> Tensor:
        if target.ndim == 2:
            target = F.one_hot(target, output.shape[2])
        centre = mean.to(output)
        return loss(output, centre + scale * (target.to(output.dtype) - centre))

    return scaled


def constant_loss(name: str, targets: Tensor, classes: int | None) -> float:
    """Loss of the best predictor that ignores its input: the entropy of the class prior for cross-entropy, the mean
    variance of the (one-hot) targets for squared error, the mean entropy of each target's mean for binary cross-entropy, the
    solution of a linear program for hinge. Float64.
    """
    if classes is not None:
        prior = torch.bincount(targets, minlength=classes).double() / targets.numel()
        if name == "cross_entropy":
            return float(-torch.xlogy(prior, prior).sum())
        if name == "hinge":
            return _constant_hinge(prior.tolist())
        return float((prior * (1 - prior)).mean())
    if name == "binary_cross_entropy":
        share = targets.double().mean(dim=0)
        return float(-(torch.xlogy(share, share) + torch.xlogy(1 - share, 1 - share)).mean())
    return float(targets.double().var(dim=0, correction=0).mean())


def _constant_hinge(prior: list[float]) -> float:
    """Min over scores f of Σ_y prior_y Σ_{j≠y} max(0, 1 - f_y + f_j) / (C - 1), by linear programming over f and one slack per
    ordered pair; f of the first class is 0.
    """
    from scipy.optimize import linprog  # takes longer to import than a study that has no hinge loss would like

    classes = len(prior)
    pairs = [(y, j) for y in range(classes) for j in range(classes) if j != y]
    cost = np.concatenate([np.zeros(classes), [prior[y] / (classes - 1) for y, _ in pairs]])
    rows = np.zeros((len(pairs), classes + len(pairs)))
    for row, (y, j) in enumerate(pairs):  # 1 - f_y + f_j ≤ slack
        rows[row, [y, j, classes + row]] = -1.0, 1.0, -1.0
    bounds = [(0, 0)] + [(None, None)] * (classes - 1) + [(0, None)] * len(pairs)
    solved = linprog(cost, A_ub=rows, b_ub=np.full(len(pairs), -1.0), bounds=bounds)
    return float(np.asarray(solved.fun))
