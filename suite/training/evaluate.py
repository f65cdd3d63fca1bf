"""The whole-dataset pass: losses, accuracies and unit statistics of every replicate. Changes no weight, draws no number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from suite.data import Tensors
from suite.nets.mlp import Buffers, Forward, Mlp, Parameters
from suite.nets.starts import replicate_slices
from suite.probes.views import UnitStatistics
from suite.training.losses import Loss


@dataclass(frozen=True)
class Task:
    """What is being trained on what: the network, the data on the device, the loss."""

    net: Mlp
    data: Tensors
    loss: Loss
    classification: bool


@dataclass(frozen=True)
class Pass:
    """Per replicate: losses and accuracies in inference mode, unit statistics as training and as inference see them, and
    the largest difference between any output unit's values over the training set.
    """

    train_loss: Tensor
    test_loss: Tensor
    train_accuracy: Tensor | None
    test_accuracy: Tensor | None
    units: tuple[UnitStatistics, ...]
    units_eval: tuple[UnitStatistics, ...]
    output_range: Tensor


def _targets(targets: Tensor, count: int) -> Tensor:
    return targets.expand(count, *targets.shape)


def _fit(task: Task, forward: Forward, targets: Tensor) -> tuple[Tensor, Tensor]:
    wide = _targets(targets, forward.output.shape[0])
    loss = task.loss(forward.output, wide).mean(dim=1)
    if not task.classification:
        return loss, loss
    return loss, (forward.output.argmax(dim=2) == wide).to(torch.float64).mean(dim=1)


def _statistics(forward: Forward) -> list[UnitStatistics]:
    return [UnitStatistics(pre.amax(dim=1), post.abs().mean(dim=1)) for pre, post in zip(forward.pre, forward.post, strict=True)]


def _joined(pieces: list[list[UnitStatistics]]) -> tuple[UnitStatistics, ...]:
    return tuple(
        UnitStatistics(torch.cat([layer.max_pre for layer in layers]), torch.cat([layer.mean_abs_post for layer in layers]))
        for layers in zip(*pieces, strict=True)
    )


@torch.no_grad()
def evaluate(task: Task, parameters: Parameters, buffers: Buffers) -> Pass:
    """Run the training and test sets through every replicate.

    With BatchNorm the training set is passed twice: with its own statistics for ``units``, with the running
    statistics for everything else.
    """
    count = next(iter(parameters.values())).shape[0]
    widest = max((task.net.inputs, task.net.outputs, *task.net.hidden))
    fits: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    units: list[list[UnitStatistics]] = []
    units_eval: list[list[UnitStatistics]] = []
    ranges: list[Tensor] = []
    for part in replicate_slices(count, task.data.train_x.shape[0] * widest):
        piece = {name: value[part] for name, value in parameters.items()}
        running = {name: value[part] for name, value in buffers.items()}
        size = next(iter(piece.values())).shape[0]
        train = task.net.forward(piece, running, task.data.train_x.expand(size, -1, -1), training=False)
        test = task.net.forward(piece, running, task.data.test_x.expand(size, -1, -1), training=False)
        fits.append((*_fit(task, train, task.data.train_y), *_fit(task, test, task.data.test_y)))
        units_eval.append(_statistics(train))
        ranges.append((train.output.amax(dim=1) - train.output.amin(dim=1)).amax(dim=1))
        if task.net.norm == "batch":
            own = task.net.forward(piece, running, task.data.train_x.expand(size, -1, -1), training=True)
            units.append(_statistics(own))
    train_loss, train_accuracy, test_loss, test_accuracy = (torch.cat(column) for column in zip(*fits, strict=True))
    seen = _joined(units_eval)
    return Pass(
        train_loss,
        test_loss,
        train_accuracy if task.classification else None,
        test_accuracy if task.classification else None,
        _joined(units) if units else seen,
        seen,
        torch.cat(ranges),
    )


def full_gradients(task: Task, parameters: Mapping[str, Tensor], buffers: Buffers) -> dict[str, Tensor]:
    """Gradient of each replicate's mean loss over the whole training set, in training mode; running statistics stay."""
    count = next(iter(parameters.values())).shape[0]
    widest = max((task.net.inputs, task.net.outputs, *task.net.hidden))
    pieces: list[tuple[Tensor, ...]] = []
    for part in replicate_slices(count, task.data.train_x.shape[0] * widest):
        piece = {name: value[part].detach().requires_grad_() for name, value in parameters.items()}
        running = {name: value[part] for name, value in buffers.items()}
        size = next(iter(piece.values())).shape[0]
        forward = task.net.forward(piece, running, task.data.train_x.expand(size, -1, -1), training=True)
        loss = task.loss(forward.output, _targets(task.data.train_y, size)).mean(dim=1).sum()
        pieces.append(torch.autograd.grad(loss, list(piece.values()), allow_unused=True, materialize_grads=True))
    return {name: torch.cat(column) for name, column in zip(parameters, zip(*pieces, strict=True), strict=True)}
