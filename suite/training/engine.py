"""Trains one block: all its replicates in one stacked computation, observed on a schedule. Knows no study or disk."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from suite.config.choices import CONVOLUTIONAL, STARTS_LATER, STARTS_OF_BIASES
from suite.config.numeric import Numeric
from suite.data import Dataset
from suite.nets.cnn import Cnn
from suite.nets.initial import initial_parameters
from suite.nets.mlp import Mlp, groups_of
from suite.nets.resnet import ResNet
from suite.nets.starts import placed
from suite.probes import registry
from suite.probes.units import dead_units
from suite.probes.views import Evaluation, Gathered, Layout, Probe, Watch
from suite.streams import BatchOrder
from suite.training import updates
from suite.training.augment import Augment
from suite.training.clock import Clock
from suite.training.course import Course
from suite.training.curvature import full_hessian
from suite.training.eager import State
from suite.training.evaluate import Task, activations, outputs, pre_activations, sampled_pre_activations, training_loss
from suite.training.losses import LOSSES, Loss, constant_loss, with_target_scale
from suite.training.paths import DTYPES, Steps, steps_of
from suite.training.ranks import Ranks
from suite.vocabulary import Block, RequestError, Trace

#: Indices of batches held at once; bounds memory, never numbers.
STRETCH_INDICES = 2**22
#: Evaluations whose curves are worked out together; bounds memory, never numbers.
TOGETHER = 32

#: Told after every evaluation: replicate-steps since the last call, and the mean dead fraction (None if not measured).
Report = Callable[[int, float | None], None]


def layout_of(numeric: Numeric, dataset: Dataset) -> Layout:
    """The static facts probes need, known before anything is trained."""
    net = network_of(numeric, dataset)
    batch = numeric.train.batch_size
    examples = len(dataset.train_x)
    targets = torch.as_tensor(dataset.train_y)
    return Layout(
        layers=net.layers,
        widths=net.widths,
        groups=groups_of(net),
        classification=dataset.classes is not None,
        norm=net.norm,
        norm_position=net.norm_position,
        optimizer=numeric.optimizer,
        start=numeric.start,
        batch_size=examples if batch is None else min(batch, examples),
        dormant_tau=numeric.probes.dormant_tau,
        # a variance, so scaled targets scale it by the square
        constant_loss=constant_loss(numeric.train.loss, targets, dataset.classes) * numeric.data.target_scale**2,
        examples=examples,
        steps=numeric.train.steps,
        tasks=numeric.train.tasks,
        escape_loss=numeric.probes.escape_loss,
        critical_below=numeric.probes.critical_below,
        loss_scale=numeric.train.loss_scale,
        escape_share=numeric.probes.escape_share,
        late_steps=numeric.probes.late_steps,
        inputs=net.inputs,
        outputs=net.outputs,
        joined=net.joined,
    )


def loss_of(numeric: Numeric, dataset: Dataset) -> Loss:
    """The condition's loss, on targets of its scale."""
    loss = LOSSES[numeric.train.loss]
    if numeric.data.target_scale == 1:
        return loss
    return with_target_scale(loss, torch.as_tensor(dataset.train_y), dataset.classes, numeric.data.target_scale)


def network_of(numeric: Numeric, dataset: Dataset) -> Mlp:
    """The network for this data: one input per feature, one output per class or target. Raises RequestError for a
    convolutional network on data that are no images.
    """
    outputs = dataset.classes if dataset.classes is not None else int(dataset.train_y.shape[1])
    if numeric.model.name in CONVOLUTIONAL:
        if dataset.image is None:
            raise RequestError(f"model={numeric.model.name} needs images and data={dataset.name} has none; use data=digits, or model=mlp")
        if numeric.model.name == "resnet18":
            return ResNet.on(numeric.model, dataset.image, outputs, needs_biases(numeric))
        return Cnn.on(numeric.model, dataset.image, outputs)
    return Mlp.of(numeric.model, int(dataset.train_x.shape[1]), outputs)


def needs_biases(numeric: Numeric) -> bool:
    """Whether the convolutions of a residual network have biases. Behind BatchNorm they have none, as in torchvision, since it takes
    away any constant; unless a start or a remedy sets them, so that what it does can be seen to be undone.
    """
    behind = numeric.model.norm == "batch" and numeric.model.norm_position == "before"
    return not behind or numeric.start.name in STARTS_OF_BIASES or numeric.remedy.name == "bias_bump"


def train_block(block: Block, dataset: Dataset, report: Report | None = None, ranks: Ranks | None = None) -> Trace:
    """Train replicates ``first … first + count - 1`` of one condition and return what the probes saw. Among
    ``ranks`` each calls this alike, trains on its slice of every batch, and gets the same trace.
    """
    return train(block, dataset, report, ranks)[0]


def train(block: Block, dataset: Dataset, report: Report | None = None, ranks: Ranks | None = None) -> tuple[Trace, State]:
    """As ``train_block``, with the stack as it stands at the end.

    A replicate alone is trained with its successor beside it, which is then dropped: reductions to a single output
    take another path through the kernels, and its last bits would depend on the company it keeps.
    """
    if block.count > 1:
        return _train(block, dataset, report, ranks)
    halved = None if report is None else lambda steps, dead: report(steps // 2, dead)
    trace, state = _train(replace(block, count=2), dataset, halved, ranks)
    alone = replace(
        trace,
        curves={name: curve[:1] for name, curve in trace.curves.items()},
        finals={name: final[:1] for name, final in trace.finals.items()},
        diverged_at=trace.diverged_at[:1],
        timings={name: value / 2 if name.endswith("per_second") else value for name, value in trace.timings.items()},
        units={name: course[:1] for name, course in trace.units.items()},
    )
    state.parameters = {name: value[:1] for name, value in state.parameters.items()}
    state.buffers = {name: value[:1] for name, value in state.buffers.items()}
    return alone, state


def _train(block: Block, dataset: Dataset, report: Report | None, ranks: Ranks | None) -> tuple[Trace, State]:
    numeric = Numeric.of(block.condition.config)
    device = torch.device(block.device)
    dtype = DTYPES[numeric.precision]
    replicates = range(block.first, block.first + block.count)
    data = dataset.tensors(device, dtype, numeric.data.offset)
    net = network_of(numeric, dataset)
    task = Task(net, data, loss_of(numeric, dataset), dataset.classes is not None, None, numeric.train.loss_scale)
    layout = layout_of(numeric, dataset)
    probes = registry.build(numeric.probes, layout)
    watched = frozenset[Watch]().union(*(probe.watches() for probe in probes))
    # as of the batches before a later start, so of their crops: the recorded steps see those of every other condition
    steps_run = steps_of(numeric, task, watched, augment=Augment.of(numeric, dataset, block.seed, replicates, "prelude"), ranks=ranks)
    augment = Augment.of(numeric, dataset, block.seed, replicates)

    parameters, buffers = initial_parameters(net, numeric.model, block.seed, replicates, device, dtype)
    never = torch.full((block.count,), -1, dtype=torch.int64, device=device)
    state = State(parameters, buffers, updates.build(numeric, parameters, block.seed, replicates), never)
    begin(state, steps_run, task, numeric, block.seed, replicates)
    course = Course(numeric, block.seed, replicates)
    every_step = course.every_step(task, state)

    order = BatchOrder(block.seed, replicates, len(data.train_x), numeric.train.batch_size, permute=steps_run.permutations)
    followed = min(max(layout.followed - block.first, 0), block.count)
    observed = _Observed(probes, block.count, device, numeric.probes.hessian_examples, followed)
    longest = 1 if "every_step" in watched else max(1, STRETCH_INDICES // (block.count * layout.batch_size))
    clock = Clock(device)
    observed.evaluate(0, state, steps_run, task, clock)
    with clock("train"):
        task = course.turn(0, state, task)
        steps_run = steps_of(numeric, task, watched, every_step, augment, ranks)
    for first, steps, evaluated in stretches(numeric.train.steps, numeric.probes.every, longest, course.cuts):
        with clock("order"):
            indices = order.stretch(first, steps)
        with clock("train"):
            stretch = steps_run.run(state, indices, first)
        del indices  # an evaluation has its own use for the memory
        with clock("watch"):
            for probe in probes:
                probe.after_steps(stretch)
        if evaluated:
            observed.evaluate(first + steps, state, steps_run, task, clock)
            if report is not None:
                report((first + steps - observed.steps[-2]) * block.count, observed.mean_dead())
        if first + steps in course.cuts:
            with clock("train"):
                task = course.turn(first + steps, state, task)
                steps_run = steps_of(numeric, task, watched, every_step, augment, ranks)
    with clock("probe"):
        summaries = observed.summaries()
        observed.follow()
    return observed.trace(block, state, summaries, clock.timings(numeric.train.steps, block.count, layout.batch_size)), state


def stretches(steps: int, every: int, longest: int, cuts: Collection[int] = ()) -> Iterator[tuple[int, int, bool]]:
    """(first step, number of steps, whether an evaluation follows), cut at evaluations, at ``longest`` and at ``cuts``."""
    first, waiting = 0, sorted({cut for cut in cuts if 0 < cut < steps}, reverse=True)
    while first < steps:
        mark = min((first // every + 1) * every, steps)
        while waiting and waiting[-1] <= first:
            waiting.pop()
        taken = min(mark - first, longest, waiting[-1] - first if waiting else steps)
        first += taken
        yield first - taken, taken, first == mark


def begin(state: State, steps_run: Steps, task: Task, numeric: Numeric, seed: int, replicates: range) -> None:
    """Bring the freshly initialised stack to the condition's start."""
    start = numeric.start
    if start.name == "ordinary":
        return
    if start.name in STARTS_LATER and start.after:
        # a stream of its own, so that the recorded steps see the same batches as every other condition
        order = BatchOrder(seed, replicates, len(task.data.train_x), numeric.train.batch_size, purpose="prelude")
        steps_run.run(state, order.stretch(0, start.after), 0)
        # a loss that broke before the start has broken at the start
        state.diverged_at = state.diverged_at.clamp(max=0)
        if start.optimizer_state == "cleared":
            state.stepper.clear()
    placement = placed(task.net, state.parameters, state.buffers, task.data.train_x, start)
    for name, value in placement.items():
        state.parameters[name].copy_(value)


class _Observed:
    """Gathers what the probes return, on the device, until the block is done."""

    def __init__(self, probes: tuple[Probe, ...], count: int, device: torch.device, hessian_examples: int | None, followed: int) -> None:
        self.probes, self.followed = probes, followed
        self.missing = torch.full((count,), torch.nan, dtype=torch.float64, device=device)
        self.hessian_examples = hessian_examples
        self.steps: list[int] = []
        self.columns = [name for probe in probes for name in probe.columns()]
        #: Curves worked out so far: names, times (as positions in ``steps``), values [name, time, replicate].
        self.curves: list[tuple[list[str], list[int], Tensor]] = []
        self.noted: dict[Gathered, tuple[list[int], list[tuple[Tensor, ...]]]] = {p: ([], []) for p in probes if isinstance(p, Gathered)}
        self.diverged: list[Tensor] = []

    def evaluate(self, step: int, state: State, steps_run: Steps, task: Task, clock: Clock) -> None:
        """One evaluation; weights that are no longer finite are divergence too."""
        with clock("evaluate"):
            seen = steps_run.look(state)
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
            lambda: steps_run.full_gradients(state),
            cache(lambda: full_hessian(task, state.parameters, state.buffers, self.hessian_examples)),
            task.data.train_x,
            diverged,
            seen.output_range,
            lambda: pre_activations(task, state.parameters, state.buffers),
            lambda parameters: outputs(task, parameters, state.buffers),
            steps_run.differences,
            lambda: activations(task, state.parameters, state.buffers),
            clock.worked,
            self.followed,
            lambda: sampled_pre_activations(task, state.parameters, state.buffers, self.followed),
            lambda parameters: training_loss(task, parameters, state.buffers),
        )
        with clock("probe"):
            taken: dict[str, Tensor] = {}
            now = len(self.steps)
            self.steps.append(step)
            self.diverged.append(diverged)
            for probe in self.probes:
                if not isinstance(probe, Gathered):
                    taken |= probe.evaluate(view)
                elif noted := probe.note(view):
                    self.noted[probe][0].append(now)
                    self.noted[probe][1].append(noted)
            if taken:
                # stacked, so copied: what a probe returned may be its own, and change later
                self.curves.append((list(taken), [now], torch.stack(list(taken.values())).detach()[:, None]))
            if now % TOGETHER == TOGETHER - 1:
                self.work_out()
        self.units = view.units

    def work_out(self) -> None:
        """The curves of what has been noted since the last call."""
        for probe, (times, noted) in self.noted.items():
            if noted:
                found = probe.work_out(*[torch.stack(column) for column in zip(*noted, strict=True)])
                self.curves.append((list(found), list(times), torch.stack(list(found.values())).detach()))
                times.clear()
                noted.clear()

    def mean_dead(self) -> float | None:
        """Mean dead fraction at the latest evaluation over replicates still training."""
        if "dead_fraction" not in self.columns:
            return None
        return float(_masked(dead_units(self.units).double().mean(dim=1), self.diverged[-1]).nanmean())

    def summaries(self) -> dict[str, Tensor]:
        """What the probes have to say at the end."""
        self.work_out()
        found: dict[str, Tensor] = {}
        for probe in self.probes:
            summary = probe.finish()
            found |= {name: summary.get(name, self.missing) for name in probe.summaries()}
        return found

    def follow(self) -> None:
        """The courses of followed replicates; called after ``summaries``."""
        self.courses = {name: course for probe in self.probes for name, course in probe.units().items()} if self.followed else {}

    def trace(self, block: Block, state: State, summaries: Mapping[str, Tensor], timings: Mapping[str, float]) -> Trace:
        """Everything gathered, as float64 arrays on the CPU."""
        diverged = state.diverged_at >= 0
        rows = {name: row for row, name in enumerate(self.columns)}
        seen = np.full((len(rows), len(diverged), len(self.steps)), np.nan)
        for names, times, values in self.curves:
            seen[np.ix_([rows[name] for name in names], range(len(diverged)), times)] = values.transpose(1, 2).cpu().double().numpy()
        ended = torch.stack(self.diverged, dim=1).cpu().numpy()
        seen[:, ended] = np.nan
        courses = {name: course.to("cpu", torch.float64, copy=True).numpy() for name, course in self.courses.items()}
        for course in courses.values():
            course[ended[: self.followed]] = np.nan
        curves = dict(zip(self.columns, seen, strict=True))
        finals = {name: curve[:, -1].copy() for name, curve in curves.items()}
        finals |= {name: _masked(value, diverged).cpu().numpy() for name, value in summaries.items()}
        return Trace(
            block.condition.name,
            block.first,
            np.asarray(self.steps, dtype=np.int64),
            curves,
            finals,
            state.diverged_at.cpu().numpy(),
            timings,
            courses,
        )


def _masked(value: Tensor, diverged: Tensor) -> Tensor:
    return torch.where(diverged, torch.nan, value.detach().to(torch.float64))
