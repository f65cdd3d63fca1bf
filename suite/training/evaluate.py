"""The whole-dataset pass: losses, accuracies and unit statistics of every replicate. Changes no weight, draws no number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from suite.data import Tensors
from suite.nets.mlp import Buffers, Forward, Mlp, Parameters
from suite.nets.starts import replicate_slices
from suite.probes.views import UnitStatistics
from suite.training.losses import Loss, reported, scaled_gradients
from suite.training.shifts import Shift


@dataclass(frozen=True)
class Task:
    """What is being trained on what: the network, the data on the device, the loss, how each replicate's current task
    presents the data (None: as they are), and the factor the loss is scaled by in the backward pass.
    """

    net: Mlp
    data: Tensors
    loss: Loss
    classification: bool
    shift: Shift | None = None
    loss_scale: float = 1.0

    @property
    def pass_elements(self) -> int:
        """Elements of a whole-training-set pass that one replicate holds at once."""
        return self.data.train_x.shape[0] * max(self.net.inputs, self.net.outputs, sum(self.net.hidden))

    def inputs(self, raw: Tensor, part: slice, size: int) -> Tensor:
        """[replicate, example, feature]: the set as the ``size`` replicates of ``part`` see it."""
        wide = raw.expand(size, -1, -1)
        return wide if self.shift is None else self.shift.part(part).inputs(wide)

    def targets(self, raw: Tensor, part: slice, size: int) -> Tensor:
        """[replicate, example(, output)]: the targets as they see them."""
        wide = raw.expand(size, *raw.shape)
        return wide if self.shift is None else self.shift.part(part).targets(wide)


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


def _fit(task: Task, forward: Forward, wide: Tensor) -> tuple[Tensor, Tensor]:
    loss = reported(task.loss(forward.output, wide))
    if not task.classification:
        return loss, loss
    return loss, (forward.output.argmax(dim=2) == wide).to(torch.float64).mean(dim=1)


def _wide(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _statistics(forward: Forward) -> list[UnitStatistics]:
    return [UnitStatistics(pre.amax(dim=1), _wide(post.abs()).mean(dim=1)) for pre, post in zip(forward.pre, forward.post, strict=True)]


def _joined(pieces: Sequence[list[UnitStatistics]]) -> tuple[UnitStatistics, ...]:
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
    pieces = [_evaluate_part(task, parameters, buffers, part) for part in replicate_slices(count, task.pass_elements)]
    fits, units, units_eval, ranges = zip(*pieces, strict=True)
    train_loss, train_accuracy, test_loss, test_accuracy = (torch.cat(column) for column in zip(*fits, strict=True))
    return Pass(
        train_loss,
        test_loss,
        train_accuracy if task.classification else None,
        test_accuracy if task.classification else None,
        _joined(units),
        _joined(units_eval),
        torch.cat(ranges),
    )


#: Of some replicates: losses and accuracies, units as training and as inference sees them, the spread of the outputs.
_Part = tuple[tuple[Tensor, Tensor, Tensor, Tensor], list[UnitStatistics], list[UnitStatistics], Tensor]


def _evaluate_part(task: Task, parameters: Parameters, buffers: Buffers, part: slice) -> _Part:
    """By itself, so that one part's activations are gone before the next one's come."""
    piece = {name: value[part] for name, value in parameters.items()}
    running = {name: value[part] for name, value in buffers.items()}
    size = next(iter(piece.values())).shape[0]
    inputs = task.inputs(task.data.train_x, part, size)
    train = task.net.forward(piece, running, inputs, training=False)
    test = task.net.forward(piece, running, task.inputs(task.data.test_x, part, size), training=False)
    train_y, test_y = (task.targets(raw, part, size) for raw in (task.data.train_y, task.data.test_y))
    fit = (*_fit(task, train, train_y), *_fit(task, test, test_y))
    seen = _statistics(train)
    spread = (train.output.amax(dim=1) - train.output.amin(dim=1)).amax(dim=1)
    if task.net.norm != "batch":
        return fit, seen, seen, spread
    own = task.net.forward(piece, running, inputs, training=True)
    return fit, _statistics(own), seen, spread


def full_gradients(task: Task, parameters: Mapping[str, Tensor], buffers: Buffers) -> dict[str, Tensor]:
    """Gradient of each replicate's mean loss over the whole training set, in training mode; running statistics stay."""
    count = next(iter(parameters.values())).shape[0]
    pieces: list[tuple[Tensor, ...]] = []
    for part in replicate_slices(count, task.pass_elements):
        piece = {name: value[part].detach().requires_grad_() for name, value in parameters.items()}
        running = {name: value[part] for name, value in buffers.items()}
        size = next(iter(piece.values())).shape[0]
        forward = task.net.forward(piece, running, task.inputs(task.data.train_x, part, size), training=True)
        losses = task.loss(forward.output, task.targets(task.data.train_y, part, size)).mean(dim=1)
        pieces.append(scaled_gradients(losses, list(piece.values()), task.loss_scale))
    return {name: torch.cat(column) for name, column in zip(parameters, zip(*pieces, strict=True), strict=True)}


@torch.no_grad()
def pre_activations(task: Task, parameters: Parameters, buffers: Buffers) -> Iterator[tuple[Tensor, ...]]:
    """Every hidden layer's pre-activations [replicate, example, unit] over the training set as training sees it, for a few
    replicates at a time: all of them at once may not fit into memory.
    """
    yield from (forward.pre for forward in _passes(task, parameters, buffers))


@torch.no_grad()
def activations(task: Task, parameters: Parameters, buffers: Buffers) -> Iterator[tuple[Tensor, ...]]:
    """The same of what every hidden layer passes on."""
    yield from (forward.post for forward in _passes(task, parameters, buffers))


def _passes(task: Task, parameters: Parameters, buffers: Buffers) -> Iterator[Forward]:
    count = next(iter(parameters.values())).shape[0]
    for part in replicate_slices(count, task.pass_elements):
        piece = {name: value[part] for name, value in parameters.items()}
        running = {name: value[part] for name, value in buffers.items()}
        size = next(iter(piece.values())).shape[0]
        yield task.net.forward(piece, running, task.inputs(task.data.train_x, part, size), training=task.net.norm == "batch")


@torch.no_grad()
def outputs(task: Task, parameters: Mapping[str, Tensor], buffers: Buffers) -> tuple[Tensor, Tensor]:
    """The network's outputs in inference mode, with these parameters, over the training and the test set:
    [replicate, example, output].
    """
    count = next(iter(parameters.values())).shape[0]
    pieces: tuple[list[Tensor], list[Tensor]] = ([], [])
    for part in replicate_slices(count, task.pass_elements):
        piece = {name: value[part] for name, value in parameters.items()}
        running = {name: value[part] for name, value in buffers.items()}
        size = next(iter(piece.values())).shape[0]
        for kept, raw in zip(pieces, (task.data.train_x, task.data.test_x), strict=True):
            kept.append(task.net.forward(piece, running, task.inputs(raw, part, size), training=False).output)
    return torch.cat(pieces[0]), torch.cat(pieces[1])
