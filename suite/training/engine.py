"""Trains one block: all its replicates in one stacked computation, observed on a schedule. Knows no study or disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from suite.config.numeric import Numeric
from suite.data import Dataset, Tensors
from suite.nets.initial import initial_parameters
from suite.nets.mlp import Buffers, Forward, Mlp, Parameters, groups_of
from suite.nets.starts import make_dead
from suite.probes import registry
from suite.probes.views import Evaluation, Layout, Probe, StepView
from suite.streams import BatchOrder
from suite.training import optimizers
from suite.training.evaluate import Task, evaluate, full_gradients
from suite.training.losses import LOSSES, constant_loss
from suite.vocabulary import Block, Trace

DTYPES = {"float32": torch.float32, "float64": torch.float64}

#: Told after every evaluation: replicate-steps since the last call, and the mean dead fraction (None if not measured).
Report = Callable[[int, float | None], None]


@dataclass
class State:
    """The stack in motion; the only thing in the engine that changes."""

    parameters: Parameters
    buffers: Buffers
    stepper: optimizers.Stepper
    diverged_at: Tensor


def layout_of(numeric: Numeric, dataset: Dataset) -> Layout:
    """The static facts probes need, known before anything is trained."""
    net = network_of(numeric, dataset)
    batch = numeric.train.batch_size
    examples = len(dataset.train_x)
    targets = torch.as_tensor(dataset.train_y)
    return Layout(
        layers=net.layers,
        widths=net.hidden,
        groups=groups_of(net),
        classification=dataset.classes is not None,
        norm=net.norm,
        norm_position=net.norm_position,
        optimizer=numeric.optimizer,
        start=numeric.start,
        batch_size=examples if batch is None else min(batch, examples),
        dormant_tau=numeric.probes.dormant_tau,
        constant_loss=constant_loss(numeric.train.loss, targets, dataset.classes),
    )


def network_of(numeric: Numeric, dataset: Dataset) -> Mlp:
    """The network for this data: one input per feature, one output per class or target."""
    outputs = dataset.classes if dataset.classes is not None else int(dataset.train_y.shape[1])
    return Mlp.of(numeric.model, int(dataset.train_x.shape[1]), outputs)


def train_block(block: Block, dataset: Dataset, report: Report | None = None) -> Trace:
    """Train replicates ``first … first + count - 1`` of one condition and return what the probes saw."""
    return train(block, dataset, report)[0]


def train(block: Block, dataset: Dataset, report: Report | None = None) -> tuple[Trace, State]:
    """As ``train_block``, with the stack as it stands at the end.

    A replicate alone is trained with its successor beside it, which is then dropped: reductions to a single output
    take another path through the kernels, and its last bits would depend on the company it keeps.
    """
    if block.count > 1:
        return _train(block, dataset, report)
    halved = None if report is None else lambda steps, dead: report(steps // 2, dead)
    trace, state = _train(replace(block, count=2), dataset, halved)
    alone = replace(
        trace,
        curves={name: curve[:1] for name, curve in trace.curves.items()},
        finals={name: final[:1] for name, final in trace.finals.items()},
        diverged_at=trace.diverged_at[:1],
        timings={name: value / 2 if name.endswith("per_second") else value for name, value in trace.timings.items()},
    )
    state.parameters = {name: value[:1] for name, value in state.parameters.items()}
    state.buffers = {name: value[:1] for name, value in state.buffers.items()}
    return alone, state


def _train(block: Block, dataset: Dataset, report: Report | None) -> tuple[Trace, State]:
    numeric = Numeric.of(block.condition.config)
    device = torch.device(block.device)
    dtype = DTYPES[numeric.precision]
    replicates = range(block.first, block.first + block.count)
    data = dataset.tensors(device, dtype)
    net = network_of(numeric, dataset)
    task = Task(net, data, LOSSES[numeric.train.loss], dataset.classes is not None)
    layout = layout_of(numeric, dataset)

    parameters, buffers = initial_parameters(net, numeric.model, block.seed, replicates, device, dtype)
    never = torch.full((block.count,), -1, dtype=torch.int64, device=device)
    state = State(parameters, buffers, optimizers.build(numeric.optimizer, parameters), never)
    begin(state, task, numeric, block.seed, replicates)

    probes = registry.build(numeric.probes, layout)
    order = BatchOrder(block.seed, replicates, len(data.train_x), numeric.train.batch_size)
    observed = _Observed(probes, block.count)
    steps, every = numeric.train.steps, numeric.probes.every
    train_seconds = probe_seconds = 0.0
    reported = 0
    for step in range(steps + 1):
        if step % every == 0 or step == steps:
            began = time.perf_counter()
            observed.evaluate(step, state, task)
            probe_seconds += time.perf_counter() - began
            if report is not None:
                report((step - reported) * block.count, observed.mean_dead())
                reported = step
        if step == steps:
            break
        began = time.perf_counter()
        losses, gradients, forward = backward(state, task, batch_of(data, order.indices(step)))
        middle = time.perf_counter()
        view = StepView(step, gradients, tuple(p.detach() for p in forward.pre), forward.variance, state.parameters)
        for probe in probes:
            probe.after_step(view)
        observed_at = time.perf_counter()
        advance(state, losses, gradients, forward, step)
        train_seconds += time.perf_counter() - observed_at + middle - began
        probe_seconds += observed_at - middle
    timings = _timings(train_seconds, probe_seconds, steps, block.count, layout.batch_size)
    return observed.trace(block, state, timings), state


def begin(state: State, task: Task, numeric: Numeric, seed: int, replicates: range) -> None:
    """Bring the freshly initialised stack to the condition's start."""
    start = numeric.start
    if start.name == "ordinary":
        return
    if start.name == "killed":
        # a stream of its own, so that the recorded steps see the same batches as every other condition
        order = BatchOrder(seed, replicates, len(task.data.train_x), numeric.train.batch_size, purpose="prelude")
        for step in range(start.after):
            losses, gradients, forward = backward(state, task, batch_of(task.data, order.indices(step)))
            advance(state, losses, gradients, forward, 0)
        if start.optimizer_state == "cleared":
            state.stepper.clear()
    dead = make_dead(task.net, state.parameters, state.buffers, task.data.train_x, start)
    for name, value in dead.items():
        state.parameters[name].copy_(value)


def batch_of(data: Tensors, indices: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> tuple[Tensor, Tensor]:
    """Inputs [replicate, batch, feature] and targets of one step, gathered by each replicate's own indices."""
    chosen = torch.from_numpy(np.ascontiguousarray(indices)).to(data.train_x.device)
    return data.train_x[chosen], data.train_y[chosen]


def backward(state: State, task: Task, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor], Forward]:
    """Mean loss of every replicate [replicate] and its gradient. Replicates share no term, so the gradient of the
    sum of their losses is each one's own.
    """
    inputs, targets = batch
    leaves = {name: value.detach().requires_grad_() for name, value in state.parameters.items()}
    forward = task.net.forward(leaves, state.buffers, inputs, training=True)
    losses = task.loss(forward.output, targets).mean(dim=1)
    gradients = torch.autograd.grad(losses.sum(), list(leaves.values()), allow_unused=True, materialize_grads=True)
    return losses.detach(), dict(zip(leaves, gradients, strict=True)), forward


def advance(state: State, losses: Tensor, gradients: Mapping[str, Tensor], forward: Forward, step: int) -> None:
    """Apply the update and note divergence: a replicate whose loss is not finite has ended at this step. What its
    slice of the stack holds from then on touches no other replicate and is never reported.
    """
    state.stepper.step(state.parameters, gradients)
    state.buffers = forward.buffers
    ended = ~torch.isfinite(losses) & (state.diverged_at < 0)
    state.diverged_at = torch.where(ended, step, state.diverged_at)


class _Observed:
    """Gathers what the probes return, on the device, until the block is done."""

    def __init__(self, probes: tuple[Probe, ...], count: int) -> None:
        self.probes = probes
        self.count = count
        self.steps: list[int] = []
        self.columns = [name for probe in probes for name in probe.columns()]
        self.values: list[dict[str, Tensor]] = []

    def evaluate(self, step: int, state: State, task: Task) -> None:
        """One evaluation; weights that are no longer finite are divergence too."""
        seen = evaluate(task, state.parameters, state.buffers)
        finite = torch.isfinite(seen.train_loss)
        for value in state.parameters.values():
            finite &= torch.isfinite(value).flatten(1).all(dim=1)
        state.diverged_at = torch.where(~finite & (state.diverged_at < 0), step, state.diverged_at)
        diverged = state.diverged_at >= 0
        view = Evaluation(
            step,
            state.parameters,
            state.stepper.state(),
            seen.units,
            seen.units_eval,
            seen.train_loss,
            seen.test_loss,
            seen.train_accuracy,
            seen.test_accuracy,
            lambda: full_gradients(task, state.parameters, state.buffers),
            task.data.train_x,
            diverged,
        )
        taken: dict[str, Tensor] = {}
        for probe in self.probes:
            taken |= probe.evaluate(view)
        self.steps.append(step)
        self.values.append({name: _masked(value, diverged) for name, value in taken.items()})

    def mean_dead(self) -> float | None:
        """Mean dead fraction at the latest evaluation over replicates still training."""
        dead = self.values[-1].get("dead_fraction")
        return None if dead is None else float(dead.nanmean())

    def trace(self, block: Block, state: State, timings: Mapping[str, float]) -> Trace:
        """Everything gathered, as float64 arrays on the CPU."""
        diverged = state.diverged_at >= 0
        missing = torch.full((self.count,), torch.nan, dtype=torch.float64, device=diverged.device)
        curves = {name: torch.stack([at.get(name, missing) for at in self.values], dim=1).cpu().numpy() for name in self.columns}
        finals = {name: curve[:, -1].copy() for name, curve in curves.items()}
        for probe in self.probes:
            summary = probe.finish()
            for name in probe.summaries():
                finals[name] = _masked(summary.get(name, missing), diverged).cpu().numpy()
        return Trace(
            block.condition.name,
            block.first,
            np.asarray(self.steps, dtype=np.int64),
            curves,
            finals,
            state.diverged_at.cpu().numpy(),
            timings,
        )


def _masked(value: Tensor, diverged: Tensor) -> Tensor:
    return torch.where(diverged, torch.nan, value.detach().to(torch.float64))


def _timings(train: float, probe: float, steps: int, count: int, batch: int) -> dict[str, float]:
    rate = steps * count / train if train else 0.0
    return {
        "train_seconds": train,
        "probe_seconds": probe,
        "replicate_steps_per_second": rate,
        "samples_per_second": rate * batch,
        "step_seconds": train / steps if steps else 0.0,
    }
