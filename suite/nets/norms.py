"""Normalisation of stacked activations with per-replicate statistics. Knows no layers and draws no numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

EPS = 1e-5
RUNNING_MOMENTUM = 0.1


def batch_norm(
    values: Float[Tensor, "replicate batch unit"],
    scale: Float[Tensor, "replicate unit"],
    shift: Float[Tensor, "replicate unit"],
    mean: Float[Tensor, "replicate unit"],
    var: Float[Tensor, "replicate unit"],
) -> Float[Tensor, "replicate batch unit"]:
    """Standardise each unit by the given statistics, then scale and shift (Ioffe & Szegedy 2015)."""
    inverse = torch.rsqrt(var + EPS)
    return (values - mean[:, None, :]) * (inverse * scale)[:, None, :] + shift[:, None, :]


def batch_norm_apart(
    values: Float[Tensor, "replicate row unit"], scale: Float[Tensor, "replicate unit"], shift: Float[Tensor, "replicate unit"]
) -> tuple[Float[Tensor, "replicate row unit"], Float[Tensor, "replicate unit"], Float[Tensor, "replicate unit"]]:
    """``batch_norm`` by the batch's own statistics, which come with it (mean and biased variance), by torch's fused kernel for one
    replicate after another: for large maps half the time that the formula takes, its gradient included, or less.
    """
    normal: list[Tensor] = []
    means: list[Tensor] = []
    inverses: list[Tensor] = []
    for rows, factor, constant in zip(values.unbind(), scale.unbind(), shift.unbind(), strict=True):
        # as one image in channels-last order, which no kernel needs to rearrange
        image = rows[None, :, None, :].permute(0, 3, 1, 2)
        found, mean, inverse = torch.native_batch_norm(image, factor, constant, None, None, True, 0.0, EPS)
        normal.append(found.permute(0, 2, 3, 1)[0, :, 0])
        means.append(mean.detach())
        inverses.append(inverse.detach())
    var = (torch.stack(inverses).pow(-2) - EPS).clamp(min=0)
    return torch.stack(normal), torch.stack(means), var


def batch_statistics(
    values: Float[Tensor, "replicate batch unit"],
) -> tuple[Float[Tensor, "replicate unit"], Float[Tensor, "replicate unit"]]:
    """Mean and biased variance of each unit over the batch."""
    var, mean = torch.var_mean(values, dim=1, correction=0)
    return mean, var


def shared_statistics(
    values: Float[Tensor, "replicate row unit"], total: Callable[[Tensor], Tensor]
) -> tuple[Float[Tensor, "replicate unit"], Float[Tensor, "replicate unit"], Float[Tensor, ""]]:
    """Mean and biased variance of each unit over the rows of all processes, and their number; ``total`` sums over the processes. In two
    passes, so that a mean far from zero costs no digits.
    """
    sums = torch.cat([values.sum(dim=1).flatten(), values.new_tensor([values.shape[1]])])
    summed = total(sums)
    count = summed[-1].detach()
    mean = summed[:-1].view(values.shape[0], values.shape[2]) / count
    var = total((values - mean[:, None, :]).square().sum(dim=1)) / count
    return mean, var, count


def updated_running(running: Float[Tensor, "replicate unit"], batch: Float[Tensor, "replicate unit"]) -> Float[Tensor, "replicate unit"]:
    """The exponential running statistic of torch.nn.BatchNorm1d, momentum 0.1."""
    return running.lerp(batch, RUNNING_MOMENTUM)


def layer_norm(
    values: Float[Tensor, "replicate batch unit"],
    scale: Float[Tensor, "replicate unit"],
    shift: Float[Tensor, "replicate unit"],
) -> Float[Tensor, "replicate batch unit"]:
    """Standardise each example over its units, then scale and shift (Ba et al. 2016)."""
    var, mean = torch.var_mean(values, dim=2, correction=0, keepdim=True)
    return (values - mean) * torch.rsqrt(var + EPS) * scale[:, None, :] + shift[:, None, :]


def group_norm(
    values: Float[Tensor, "replicate row channel"],
    positions: int,
    scale: Float[Tensor, "replicate channel"],
    shift: Float[Tensor, "replicate channel"],
) -> Float[Tensor, "replicate row channel"]:
    """Standardise each example over all its channels and positions together (``positions`` rows), then scale and shift each
    channel (Wu and He 2018, one group).
    """
    count, rows, channels = values.shape
    examples = values.reshape(count, rows // positions, positions * channels)
    var, mean = torch.var_mean(examples, dim=2, correction=0, keepdim=True)
    standard = ((examples - mean) * torch.rsqrt(var + EPS)).reshape(count, rows, channels)
    return standard * scale[:, None, :] + shift[:, None, :]
