"""The whole-dataset pass: losses, accuracies and unit statistics of every replicate. Changes no weight, draws no number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from suite.data import Tensors
from suite.nets.cnn import Cnn
from suite.nets.mlp import Buffers, Forward, Mlp, Parameters
from suite.nets.passes import example_slices, over_positions, own_statistics, pass_elements, replicate_slices
from suite.nets.rows import largest
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
        return pass_elements(self.net, self.data.train_x.shape[0])

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


def _fit(task: Task, output: Tensor, wide: Tensor) -> tuple[Tensor, Tensor]:
    loss = reported(task.loss(output, wide))
    if not task.classification:
        return loss, loss
    return loss, (output.argmax(dim=2) == wide).to(torch.float64).mean(dim=1)


def _wide(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _statistics(forward: Forward) -> list[UnitStatistics]:
    return [UnitStatistics(largest(pre), _wide(post.abs()).mean(dim=1)) for pre, post in zip(forward.pre, forward.post, strict=True)]


def _together(pieces: list[list[UnitStatistics]], sizes: list[int]) -> list[UnitStatistics]:
    """Statistics of slices of the examples as those of all; means are summed in float64."""
    if len(pieces) == 1:
        return pieces[0]
    shares = [size / sum(sizes) for size in sizes]
    return [
        UnitStatistics(
            torch.stack([piece.max_pre for piece in layer]).amax(dim=0),
            sum(piece.mean_abs_post.double() * share for piece, share in zip(layer, shares, strict=True)).to(layer[0].mean_abs_post),
        )
        for layer in zip(*pieces, strict=True)
    ]


@dataclass(frozen=True)
class _Part:
    """A few replicates and one set of examples, which they take slice by slice."""

    task: Task
    replicates: slice
    parameters: Parameters
    buffers: Buffers
    raw: Tensor

    @property
    def size(self) -> int:
        return next(iter(self.parameters.values())).shape[0]

    @property
    def slices(self) -> tuple[slice, ...]:
        return example_slices(self.task.net, self.raw.shape[0])

    def inputs(self, chosen: slice) -> Tensor:
        return self.task.inputs(self.raw[chosen], self.replicates, self.size)

    def passes(self, training: bool) -> Iterator[Forward]:
        """The slices, in training mode as if they were one: with BatchNorm the set's own statistics are gathered first."""
        slices, buffers = self.slices, self.buffers
        if training and len(slices) > 1:
            training = False
            if self.task.net.norm == "batch":
                buffers = own_statistics(self.task.net, self.parameters, buffers, self.inputs, slices)
        for chosen in slices:
            yield self.task.net.forward(self.parameters, buffers, self.inputs(chosen), training)

    def outputs(self, raw: Tensor) -> Tensor:
        """[replicate, example, output] of another set of examples, in inference mode."""
        pieces = [forward.output for forward in replace(self, raw=raw).passes(training=False)]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)

    def seen(self, training: bool) -> tuple[Tensor, list[UnitStatistics]]:
        """Outputs [replicate, example, output] and what the units show."""
        outputs: list[Tensor] = []
        units: list[list[UnitStatistics]] = []
        for forward in self.passes(training):
            outputs.append(forward.output)
            units.append(_statistics(forward))
        whole = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)
        return whole, _together(units, [output.shape[1] for output in outputs])


def _parts(task: Task, parameters: Mapping[str, Tensor], buffers: Buffers, raw: Tensor) -> Iterator[_Part]:
    count = next(iter(parameters.values())).shape[0]
    for part in replicate_slices(count, task.pass_elements):
        piece = {name: value[part] for name, value in parameters.items()}
        yield _Part(task, part, piece, {name: value[part] for name, value in buffers.items()}, raw)


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
    pieces = [_evaluate_part(part) for part in _parts(task, parameters, buffers, task.data.train_x)]
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
_Shown = tuple[tuple[Tensor, Tensor, Tensor, Tensor], list[UnitStatistics], list[UnitStatistics], Tensor]


def _evaluate_part(part: _Part) -> _Shown:
    """By itself, so that one part's activations are gone before the next one's come."""
    task = part.task
    train, seen = part.seen(training=False)
    test = part.outputs(task.data.test_x)
    train_y, test_y = (task.targets(raw, part.replicates, part.size) for raw in (task.data.train_y, task.data.test_y))
    fit = (*_fit(task, train, train_y), *_fit(task, test, test_y))
    spread = (train.amax(dim=1) - train.amin(dim=1)).amax(dim=1)
    return fit, part.seen(training=True)[1] if task.net.norm == "batch" else seen, seen, spread


def full_gradients(task: Task, parameters: Mapping[str, Tensor], buffers: Buffers) -> dict[str, Tensor]:
    """Gradient of each replicate's mean loss over the whole training set, in training mode; running statistics stay.

    With BatchNorm every example's loss depends on all the others, so the examples are taken at once, however large their maps.
    """
    pieces: list[tuple[Tensor, ...]] = []
    for part in _parts(task, {name: value.detach() for name, value in parameters.items()}, buffers, task.data.train_x):
        examples = part.raw.shape[0]
        slices = (slice(0, examples),) if task.net.norm == "batch" else part.slices
        summed: tuple[Tensor, ...] = ()
        for chosen in slices:
            leaves = {name: value.detach().requires_grad_() for name, value in part.parameters.items()}
            forward = task.net.forward(leaves, part.buffers, part.inputs(chosen), training=True)
            losses = task.loss(forward.output, task.targets(task.data.train_y[chosen], part.replicates, part.size))
            share = losses.mean(dim=1) if len(slices) == 1 else losses.sum(dim=1) / examples
            taken = scaled_gradients(share, list(leaves.values()), task.loss_scale)
            summed = tuple(a + b for a, b in zip(summed, taken, strict=True)) if summed else taken
        pieces.append(summed)
    return {name: torch.cat(column) for name, column in zip(parameters, zip(*pieces, strict=True), strict=True)}


@torch.no_grad()
def pre_activations(task: Task, parameters: Parameters, buffers: Buffers) -> Iterator[tuple[Tensor, ...]]:
    """Every hidden layer's pre-activations [replicate, example, unit] over the training set as training sees it, for a few
    replicates at a time: all of them at once may not fit into memory. Of a convolution's channel the largest over the positions.
    """
    net = task.net
    positions = [net.positions(index) if isinstance(net, Cnn) else 1 for index in range(len(net.layers))]
    for part in _parts(task, parameters, buffers, task.data.train_x):
        pieces = [
            [over_positions(pre, size) for pre, size in zip(forward.pre, positions, strict=True)]
            for forward in part.passes(training=net.norm == "batch")
        ]
        yield tuple(layer[0] if len(layer) == 1 else torch.cat(layer, dim=1) for layer in zip(*pieces, strict=True))


#: Examples on which followed replicates show the pre-activations of their units.
SAMPLE = 64


@torch.no_grad()
def sampled_pre_activations(task: Task, parameters: Parameters, buffers: Buffers, count: int) -> Iterator[tuple[Tensor, ...]]:
    """Every hidden layer's pre-activations [example, unit] of each of the first ``count`` replicates on SAMPLE training examples, evenly
    spaced. One replicate at a time and from a copy, so that the bits depend on nothing that stands beside it.
    """
    examples = len(task.data.train_x)
    chosen = torch.linspace(0, examples - 1, min(SAMPLE, examples), dtype=torch.float64).round().long().to(task.data.train_x.device)
    data = replace(task.data, train_x=task.data.train_x[chosen], train_y=task.data.train_y[chosen])
    for at in (slice(row, row + 1) for row in range(count)):
        alone = replace(task, data=data, shift=None if task.shift is None else task.shift.part(at))
        own = [{name: value.detach()[at].clone() for name, value in values.items()} for values in (parameters, buffers)]
        yield from (tuple(layer[0] for layer in layers) for layers in pre_activations(alone, *own))


@torch.no_grad()
def training_loss(task: Task, parameters: Mapping[str, Tensor], buffers: Buffers) -> Tensor:
    """[replicate] mean loss over the training set with these parameters, in inference mode."""
    pieces = [
        reported(task.loss(part.outputs(part.raw), task.targets(task.data.train_y, part.replicates, part.size)))
        for part in _parts(task, parameters, buffers, task.data.train_x)
    ]
    return torch.cat(pieces)


@torch.no_grad()
def activations(task: Task, parameters: Parameters, buffers: Buffers) -> Iterator[tuple[Tensor, ...]]:
    """The same of what every hidden layer passes on, every position of a channel [replicate, example · position, unit]."""
    for part in _parts(task, parameters, buffers, task.data.train_x):
        pieces = [forward.post for forward in part.passes(training=task.net.norm == "batch")]
        yield pieces[0] if len(pieces) == 1 else tuple(torch.cat(layer, dim=1) for layer in zip(*pieces, strict=True))


@torch.no_grad()
def outputs(task: Task, parameters: Mapping[str, Tensor], buffers: Buffers) -> tuple[Tensor, Tensor]:
    """The network's outputs in inference mode, with these parameters, over the training and the test set:
    [replicate, example, output].
    """
    pieces: tuple[list[Tensor], list[Tensor]] = ([], [])
    for part in _parts(task, parameters, buffers, task.data.train_x):
        for kept, raw in zip(pieces, (task.data.train_x, task.data.test_x), strict=True):
            kept.append(part.outputs(raw))
    return torch.cat(pieces[0]), torch.cat(pieces[1])
