"""Losses per example for stacked outputs, and the best constant predictor's loss. Knows no network."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(output: Float[Tensor, "replicate batch class"], target: Tensor) -> Float[Tensor, "replicate batch"]:
    """-log softmax at the label, in nats. ``target`` holds labels [replicate, batch]."""
    return -F.log_softmax(output, dim=2).gather(2, target[:, :, None])[:, :, 0]


def squared_error(output: Float[Tensor, "replicate batch output"], target: Tensor) -> Float[Tensor, "replicate batch"]:
    """Mean over the outputs of (output - target)². Labels [replicate, batch] count as one-hot targets."""
    if target.ndim == 2:
        target = F.one_hot(target, output.shape[2]).to(output.dtype)
    return (output - target).square().mean(dim=2)


def binary_cross_entropy(
    output: Float[Tensor, "replicate batch output"], target: Float[Tensor, "replicate batch output"]
) -> Float[Tensor, "replicate batch"]:
    """Mean over the outputs of -t log σ(z) - (1-t) log(1-σ(z)), in nats; ``output`` holds the logits z of a sigmoid output
    unit, ``target`` the probabilities t.
    """
    return F.binary_cross_entropy_with_logits(output, target, reduction="none").mean(dim=2)


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "squared_error": squared_error,
    "binary_cross_entropy": binary_cross_entropy,
}


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
    variance of the (one-hot) targets for squared error, the mean entropy of each target's mean for binary cross-entropy. Float64.
    """
    if classes is not None:
        prior = torch.bincount(targets, minlength=classes).double() / targets.numel()
        if name == "cross_entropy":
            return float(-torch.xlogy(prior, prior).sum())
        return float((prior * (1 - prior)).mean())
    if name == "binary_cross_entropy":
        share = targets.double().mean(dim=0)
        return float(-(torch.xlogy(share, share) + torch.xlogy(1 - share, 1 - share)).mean())
    return float(targets.double().var(dim=0, correction=0).mean())
