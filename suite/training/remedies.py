"""What is done to units or weights while training runs: the remedies of the literature, on the stack. Knows no probe or study.

A timed remedy is applied after a given number of updates (``timed``); continual backprop acts after every one (``EachStep``). New weights
come from each replicate's own stream ``remedy/<step>``, so they depend neither on the company nor on earlier applications. Where a
weight is drawn anew or set to zero, it is new to the optimizer as well: its memory is cleared and Adam counts its steps afresh.

- ``reinit_dead``: the incoming weights and bias of every unit that is dead on the training set are drawn anew.
- ``bias_bump``: ``bump`` is added to the bias of every dead unit.
- ``leaky_swap``: ReLU becomes leaky ReLU with ``slope`` from here on.
- ``redo`` (Sokar et al. 2023, *The Dormant Neuron Phenomenon in Deep Reinforcement Learning*): of every τ-dormant unit the
  incoming weights are drawn anew, the bias and the outgoing weights set to zero. Where two neighbouring layers are
  recycled at once, zero wins, as in the authors' code. Dormancy is measured on the whole training set, theirs on a batch; their
  code keeps Adam's step count.
- ``shrink_perturb`` (Ash and Adams 2020, *On Warm-Starting Neural Network Training*): every weight and bias becomes
  shrink · θ + perturb · θ', θ' a freshly initialised network, and the optimizer begins anew, as it does with each of their rounds.
- ``continual_backprop`` (Dohare et al. 2024, *Loss of plasticity in deep continual learning*): see ``EachStep``.

In a residual network the outgoing weights of a unit are those of the next convolution on the main path, as in Dohare et al.'s code for
theirs; what a skip adds to the unit, and what it carries on, stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from suite.config.numeric import Numeric
from suite.nets.initial import initial_parameters
from suite.nets.mlp import Forward, Mlp, Parameters
from suite.probes.parts import over_inputs
from suite.training.eager import State
from suite.training.evaluate import Task, evaluate
from suite.training.second_order import SecondOrder


@dataclass(frozen=True)
class Remedies:
    """A condition's remedy and whose noise it draws."""

    numeric: Numeric
    seed: int
    replicates: range

    def times(self) -> frozenset[int]:
        """After how many updates it is applied; never after the last, when nothing would come of it."""
        r, steps = self.numeric.remedy, self.numeric.train.steps
        if r.every is not None:
            return frozenset(range(r.every, steps, r.every))
        return frozenset() if r.at is None else frozenset({r.at})

    @torch.no_grad()
    def timed(self, state: State, task: Task, step: int) -> Task:
        """Apply the remedy after ``step`` updates, in place; returns the task, with another network after a leaky_swap."""
        r, name = self.numeric.remedy, self.numeric.remedy.name
        if name == "leaky_swap":
            return replace(task, net=replace(task.net, activation="leaky_relu", negative_slope=r.slope))
        if name == "shrink_perturb":
            fresh = self.fresh(state, task.net, step)
            for key in _linear(task.net):
                state.parameters[key].mul_(r.shrink).add_(fresh[key], alpha=r.perturb)
            state.stepper.clear()
            return task
        units = evaluate(task, state.parameters, state.buffers).units
        if name == "redo":
            dormant = [layer.mean_abs_post <= r.tau * layer.mean_abs_post.mean(dim=1, keepdim=True) for layer in units]
            recycle(state, task.net, dormant, self.fresh(state, task.net, step))
            return task
        dead = [layer.max_pre <= 0 for layer in units]
        if name == "bias_bump":
            for layer, mask in zip(task.net.layers, dead, strict=True):
                state.parameters[f"{layer}.bias"].add_(mask, alpha=r.bump)
            return task
        assert name == "reinit_dead", name
        redraw(state, task.net, dead, self.fresh(state, task.net, step))
        return task

    def fresh(self, state: State, net: Mlp, step: int) -> Parameters:
        """A newly initialised network of the same law as the first, from the stream of this step."""
        like = state.parameters["output.weight"]
        return initial_parameters(net, self.numeric.model, self.seed, self.replicates, like.device, like.dtype, f"remedy/{step}")[0]


def _linear(net: Mlp) -> tuple[str, ...]:
    return tuple(name for name in net.parameter_shapes() if name.endswith((".weight", ".bias")))


def _replace(state: State, name: str, mask: Tensor, value: Tensor) -> None:
    """``value`` where ``mask`` holds (broadcast to the parameter's shape), and new to the optimizer there."""
    parameter = state.parameters[name]
    parameter.copy_(torch.where(mask, value, parameter))
    assert not isinstance(state.stepper, SecondOrder)  # validation lets remedies go with first-order optimizers only
    state.stepper.renew({name: mask.expand_as(parameter)})


def redraw(state: State, net: Mlp, units: list[Tensor], fresh: Parameters) -> None:
    """Incoming weights and biases of the marked units ([replicate, unit] per hidden layer) as in ``fresh``."""
    for layer, mask in zip(net.layers, units, strict=True):
        _replace(state, f"{layer}.weight", mask[:, None, :], fresh[f"{layer}.weight"])
        if f"{layer}.bias" in fresh:
            _replace(state, f"{layer}.bias", mask, fresh[f"{layer}.bias"])


def recycle(state: State, net: Mlp, units: list[Tensor], fresh: Parameters) -> None:
    """Incoming weights as in ``fresh``, biases and then outgoing weights zero, for the marked units."""
    following = (*net.layers[1:], "output")
    for layer, mask in zip(net.layers, units, strict=True):
        _replace(state, f"{layer}.weight", mask[:, None, :], fresh[f"{layer}.weight"])
        if f"{layer}.bias" in fresh:
            _replace(state, f"{layer}.bias", mask, torch.zeros_like(fresh[f"{layer}.bias"]))
    for layer, mask in zip(following, units, strict=True):
        weight = state.parameters[f"{layer}.weight"]
        _replace(state, f"{layer}.weight", over_inputs(mask, weight.shape[1])[:, :, None], torch.zeros_like(weight))


class EachStep:
    """Continual backprop: after every update the utility of each hidden unit is
    u ← η·u + (1-η)·mean|h|·mean|w_out|, h over the mini-batch, with Adam's bias correction by the unit's age. Of the units
    older than ``maturity`` a share ``rate`` is replaced per step: the share accumulates, and when it reaches one, the unit of least utility
    (of equals, the first) gets fresh incoming weights, a zero bias, zero outgoing weights, utility and age. As in the authors'
    code with the option ``accumulate``; the next layer's bias is not corrected for the removed unit.

    The number replaced depends on ages alone, which are the same in every replicate, so the host knows the moment without
    asking the device.
    """

    def __init__(self, remedies: Remedies, net: Mlp, like: Tensor) -> None:
        self.remedies, self.net = remedies, net
        self.config = remedies.numeric.remedy
        shapes = [(len(remedies.replicates), width) for width in net.widths]
        self.utility = [torch.zeros(shape, device=like.device, dtype=like.dtype) for shape in shapes]
        self.age = [torch.zeros(shape, device=like.device, dtype=torch.int64) for shape in shapes]
        self.owed = [0.0 for _ in shapes]
        # a table, because powers taken element by element may round differently from place to place
        steps = remedies.numeric.train.steps
        self.correction = torch.tensor([1 - self.config.decay**n for n in range(steps + 1)], dtype=like.dtype, device=like.device)
        self.replaced: list[list[int]] = [[] for _ in shapes]

    @torch.no_grad()
    def __call__(self, state: State, forward: Forward, step: int) -> None:
        """After update number ``step`` (from 1), ``forward`` being the pass it was computed from."""
        c = self.config
        following = (*self.net.layers[1:], "output")
        marked: list[Tensor] = []
        for index, (layer, post) in enumerate(zip(following, forward.post, strict=True)):
            self.age[index].add_(1)
            outgoing = state.parameters[f"{layer}.weight"].abs().mean(dim=2)
            if outgoing.shape[1] != post.shape[2]:  # several weights of every output belong to one channel
                outgoing = outgoing.reshape(*outgoing.shape[:1], post.shape[2], -1).mean(dim=2)
            contribution = post.detach().abs().mean(dim=1) * outgoing
            self.utility[index].mul_(c.decay).add_(contribution, alpha=1 - c.decay)
            marked.append(self._chosen(index) if self._due(index, step) else torch.zeros_like(self.age[index], dtype=torch.bool))
        if any(steps and steps[-1] == step for steps in self.replaced):
            recycle(state, self.net, marked, self.remedies.fresh(state, self.net, step))
            for index, mask in enumerate(marked):
                self.utility[index].masked_fill_(mask, 0.0)
                self.age[index].masked_fill_(mask, 0)

    def _due(self, index: int, step: int) -> bool:
        c = self.config
        recent = [at for at in self.replaced[index] if step - at <= c.maturity]
        eligible = self.net.widths[index] - len(recent) if step > c.maturity else 0
        self.owed[index] += c.rate * eligible
        if self.owed[index] < 1:
            return False
        self.owed[index] -= 1
        self.replaced[index] = [*recent, step]
        return True

    def _chosen(self, index: int) -> Tensor:
        """[replicate, unit] True for the one mature unit of least utility."""
        age = self.age[index]
        corrected = self.utility[index] / self.correction[age]
        corrected = corrected.masked_fill(age <= self.config.maturity, torch.inf)
        least = corrected <= corrected.amin(dim=1, keepdim=True)
        place = torch.arange(age.shape[1], device=age.device).expand_as(age)
        first = place.masked_fill(~least, age.shape[1]).amin(dim=1, keepdim=True)
        return place == first
