"""The general path: stacked steps by autograd, for every network, loss, device and precision. Knows no probe, study or disk.

``backward`` and ``advance`` are the step; ``EagerSteps`` runs many and gathers what probes watch from what is at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from suite.data import Tensors
from suite.nets.mlp import HALVES, Buffers, Forward, Parameters
from suite.nets.rows import largest
from suite.probes.differences import differences
from suite.probes.views import Stretch, Watch
from suite.streams import permutations
from suite.training import optimizers
from suite.training.augment import Augment
from suite.training.clipping import clipped
from suite.training.curvature import Problem
from suite.training.evaluate import Pass, Task, evaluate, full_gradients
from suite.training.losses import reported, scaled_gradients
from suite.training.second_order import SecondOrder


@dataclass
class State:
    """The stack in motion; the only thing in the engine that changes. ``diverged_at`` [replicate] is the step of the first
    loss that was not finite, -1 where there was none.
    """

    parameters: Parameters
    buffers: Buffers
    stepper: optimizers.Stepper | SecondOrder
    diverged_at: Tensor

    def note_losses(self, losses: Tensor, first: int) -> None:
        """Losses [replicate, step] of the steps from ``first`` on: a replicate whose loss is not finite has ended there. What its
        slice of the stack holds from then on touches no other replicate and is never reported.
        """
        broken = ~torch.isfinite(losses)
        at = first + broken.to(torch.int64).argmax(dim=1)
        self.diverged_at = torch.where(broken.any(dim=1) & (self.diverged_at < 0), at, self.diverged_at)


#: Called after every update with the state, the pass the update came from, and how many updates there have been.
EveryStep = Callable[[State, Forward, int], None]


def batch_of(data: Tensors, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs [replicate, batch, feature] and targets of one step, gathered by each replicate's own indices."""
    return data.train_x[chosen], data.train_y[chosen]


def backward(state: State, task: Task, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor], Forward]:
    """Mean loss of every replicate [replicate], as it is recorded, and its gradient, without the factor of loss scaling."""
    inputs, targets = batch
    leaves = {name: value.detach().requires_grad_() for name, value in state.parameters.items()}
    forward = task.net.forward(leaves, state.buffers, inputs, training=True)
    examples = task.loss(forward.output, targets)
    losses = examples.mean(dim=1)
    gradients = scaled_gradients(losses, list(leaves.values()), task.loss_scale)
    noted = reported(examples.detach()) if examples.dtype in HALVES else losses.detach()
    return noted, dict(zip(leaves, gradients, strict=True)), forward


def advance(state: State, gradients: Mapping[str, Tensor], forward: Forward, task: Task, batch: tuple[Tensor, Tensor]) -> None:
    """Apply the update and take over the running statistics. A second-order stepper is given the batch's loss as well."""
    if isinstance(state.stepper, SecondOrder):
        state.stepper.step(state.parameters, gradients, Problem(task.net, task.loss, *batch, state.buffers))
    else:
        state.stepper.step(state.parameters, gradients)
    state.buffers = forward.buffers


class EagerSteps:
    """Runs stretches of steps; ``watched`` says what to gather on the way. Nothing in the loop waits for the device.

    ``clip`` limits the norm of the gradient that is applied; what probes see of gradients is before clipping.
    ``every_step`` is called after each update. ``augment`` changes the images of a batch, before a shift presents them.
    """

    def __init__(
        self,
        task: Task,
        watched: Collection[Watch],
        clip: float | None = None,
        every_step: EveryStep | None = None,
        augment: Augment | None = None,
    ) -> None:
        self.task, self.watched, self.clip, self.every_step, self.augment = task, watched, clip, every_step, augment

    permutations = staticmethod(permutations)
    differences = staticmethod(differences)

    def run(self, state: State, indices: NDArray[np.int64], first: int) -> Stretch:
        """Take the steps of ``indices`` [replicate, step, batch], the first of them being step ``first``."""
        chosen = torch.from_numpy(np.ascontiguousarray(indices)).to(self.task.data.train_x.device)
        losses: list[Tensor] = []
        dead: list[Tensor] = []
        peak: dict[str, Tensor] = {}
        for step in range(indices.shape[1]):
            batch = batch_of(self.task.data, chosen[:, step])
            if self.augment is not None:
                batch = self.augmented(self.augment, batch[0], first + step), batch[1]
            if self.task.shift is not None:
                batch = self.task.shift.inputs(batch[0]), self.task.shift.targets(batch[1])
            loss, gradients, forward = self.backward(state, batch)
            losses.append(loss)
            if "batch_dead" in self.watched:
                dead.append((self.tops(forward) <= 0).to(torch.float64).mean(dim=1))
            if "grad_peak" in self.watched:
                for name, gradient in gradients.items():
                    size = gradient.flatten(1).abs().amax(dim=1)
                    peak[name] = torch.maximum(peak[name], size) if step else size
            affine = _affine(state.parameters) if step == indices.shape[1] - 1 else {}
            advance(state, gradients if self.clip is None else clipped(wide(gradients), self.clip), forward, self.task, batch)
            if self.every_step is not None:
                self.every_step(state, forward, first + step + 1)
        state.note_losses(torch.stack(losses, dim=1), first)
        return Stretch(
            peak,
            torch.stack(dead, dim=1) if dead else torch.empty(len(loss), 0),
            gradients,
            self.pre(forward),
            forward.variance,
            affine,
            torch.stack(losses, dim=1),
            state.parameters,
        )

    def backward(self, state: State, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor], Forward]:
        """Loss and gradient of one step's batch, and the pass they came from."""
        return backward(state, self.task, batch)

    def augmented(self, augment: Augment, inputs: Tensor, step: int) -> Tensor:
        """The images of one step as they are shown."""
        return augment.inputs(inputs, step)

    def tops(self, forward: Forward) -> Tensor:
        """The largest pre-activation of every hidden unit over the batch [replicate, unit]."""
        return torch.cat([largest(pre.detach()) for pre in forward.pre], dim=1)

    def pre(self, forward: Forward) -> tuple[Tensor, ...]:
        """The batch's pre-activations [replicate, batch, unit] per hidden layer."""
        return tuple(pre.detach() for pre in forward.pre)

    def look(self, state: State) -> Pass:
        """The whole training and test sets through the stack as it stands."""
        return evaluate(self.task, state.parameters, state.buffers)

    def full_gradients(self, state: State) -> dict[str, Tensor]:
        """The gradient over the whole training set."""
        return full_gradients(self.task, state.parameters, state.buffers)


def wide(gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The gradients in float32 at least."""
    return {name: value.to(torch.promote_types(value.dtype, torch.float32)) for name, value in gradients.items()}


def _affine(parameters: Parameters) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in parameters.items() if name.endswith((".scale", ".shift"))}
