"""Which way through the engine a condition takes: one rule, decided when the plan is made and written into it.

``eager`` is the general path and the reference. ``native`` is the fused step for plain ReLU networks on the CPU: the same
arithmetic, other rounding. ``compiled`` is the general path with its gradient compiled by torch, where it is asked for: it saves up
to half of a step and costs some seconds per network and width of a block. The choice never rests on what is measured, so that
measuring changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from suite.config.choices import HALVES
from suite.config.numeric import Numeric
from suite.nets.cnn import Cnn
from suite.nets.mlp import Mlp
from suite.probes.views import Stretch, UnitStatistics, Watch
from suite.training import native
from suite.training.augment import Augment
from suite.training.compiled import CompiledSteps
from suite.training.data_parallel import ParallelSteps
from suite.training.eager import EagerSteps, EveryStep, State
from suite.training.evaluate import Pass, Task
from suite.training.ranks import Ranks

DTYPES = {"float32": torch.float32, "float64": torch.float64, "float16": torch.float16, "bfloat16": torch.bfloat16}


#: What ``needs_eager`` finds, in words.
ONLY_EAGER = "no warm-up, clipping, changing tasks, scaled targets, augmentation, remedies, half precision, loss scaling or fixed layers"


class Steps(Protocol):
    """Runs training steps of a whole stack."""

    def permutations(self, keys: Sequence[int], examples: int) -> NDArray[np.int64]:
        """The numbers of ``suite.streams.permutations``, from wherever they come soonest."""
        ...

    def run(self, state: State, indices: NDArray[np.int64], first: int) -> Stretch:
        """Take the steps of ``indices`` [replicate, step, batch], the first of them being step ``first``."""
        ...

    def look(self, state: State) -> Pass:
        """The whole training and test sets through the stack as it stands."""
        ...

    def full_gradients(self, state: State) -> dict[str, Tensor]:
        """The gradient over the whole training set."""
        ...

    def differences(self, now: Mapping[str, Tensor], then: Mapping[str, Tensor] | None) -> Tensor:
        """As ``suite.probes.differences.differences``."""
        ...


def needs_eager(numeric: Numeric) -> bool:
    """Whether a condition has anything that only the general path knows: a schedule, clipping, changing tasks, scaled
    targets, augmented images or a remedy, a narrow precision or another way of updating.
    """
    train, data = numeric.train, numeric.data
    return (
        train.warmup > 0
        or train.clip is not None
        or (train.tasks > 1 and data.shift != "none")
        or data.target_scale != 1
        or data.crop > 0
        or data.flip
        or numeric.remedy.name != "none"
        or numeric.precision in HALVES
        or train.trainable != "all"
        or train.loss_scale != 1
        or train.rounding != "nearest"
        or train.master_weights
    )


def why_not_native(numeric: Numeric, net: Mlp, device: str) -> str | None:
    """None where the native path can serve a condition, else the reason, in a few words."""
    if device != "cpu":
        return f"it runs on the CPU, not on {device}"
    if isinstance(net, Cnn):
        return "it knows no convolutions"
    if needs_eager(numeric):
        return f"it knows {ONLY_EAGER}"
    if not native.supported(net, numeric.optimizer, numeric.train.loss, DTYPES[numeric.precision]):
        return "it serves plain ReLU and leaky ReLU networks under first-order optimizers only"
    return native.available()


def why_not_compiled(numeric: Numeric, net: Mlp) -> str | None:
    """None where the compiled path can serve a condition if torch.compile works, else the reason, in a few words."""
    if isinstance(net, Cnn):
        return "it knows no convolutions"
    if needs_eager(numeric):
        return f"it knows {ONLY_EAGER}"
    if numeric.optimizer.name not in ("sgd", "adam"):
        return "it serves first-order optimizers only"
    if not net.layers:
        return "it serves networks with a hidden layer only"
    return None


def path_of(numeric: Numeric, net: Mlp, device: str) -> str:
    """The path a condition takes: the one it names, or for ``auto`` the native one where it can serve. ``compiled`` is never chosen
    unasked: it pays on long runs only, and on GPUs it has not been timed.
    """
    if numeric.engine.path != "auto":
        return numeric.engine.path
    return "eager" if why_not_native(numeric, net, device) else "native"


def steps_of(
    numeric: Numeric,
    task: Task,
    watched: frozenset[Watch],
    every_step: EveryStep | None = None,
    augment: Augment | None = None,
    ranks: Ranks | None = None,
) -> Steps:
    """The steps of a condition's path; ``every_step`` is called after each update and ``augment`` changes the batches, on the eager
    path only. Between several ``ranks`` they are that path's.
    """
    if ranks is not None:
        return ParallelSteps(task, watched, ranks, numeric.train.clip, every_step, augment)
    path = path_of(numeric, task.net, task.data.train_x.device.type)
    if path == "native":
        return NativeSteps(numeric, task)
    if path == "compiled":
        return CompiledSteps(task, watched, numeric.train.loss)
    return EagerSteps(task, watched, numeric.train.clip, every_step, augment)


class NativeSteps:
    """Runs stretches in compiled code, which gathers everything probes may watch as it goes."""

    permutations = staticmethod(native.permutations)
    differences = staticmethod(native.differences)

    def __init__(self, numeric: Numeric, task: Task) -> None:
        self.optimizer, self.loss, self.task = numeric.optimizer, numeric.train.loss, task

    def run(self, state: State, indices: NDArray[np.int64], first: int) -> Stretch:
        """As ``EagerSteps.run``."""
        stepper, data = state.stepper, self.task.data
        seen = native.run_steps(
            self.task.net, self.optimizer, self.loss, state.parameters, stepper.memory, stepper.taken, data.train_x, data.train_y, indices
        )
        stepper.taken += indices.shape[1]
        state.note_losses(seen.losses, first)
        return Stretch(seen.grad_peak, seen.batch_dead, seen.gradients, seen.pre, (), {}, seen.losses, state.parameters, seen.tally)

    def look(self, state: State) -> Pass:
        """As ``EagerSteps.look``."""
        data, graded = self.task.data, self.task.classification
        train, test = (
            native.look(self.task.net, self.loss, state.parameters, x, y)
            for x, y in ((data.train_x, data.train_y), (data.test_x, data.test_y))
        )
        units = tuple(UnitStatistics(top, mean) for top, mean in zip(train.max_pre, train.mean_abs_post, strict=True))
        right = [seen.accuracies if graded else None for seen in (train, test)]
        return Pass(train.losses, test.losses, right[0], right[1], units, units, train.ranges)

    def full_gradients(self, state: State) -> dict[str, Tensor]:
        """As ``EagerSteps.full_gradients``."""
        data = self.task.data
        return native.gradients(self.task.net, self.loss, state.parameters, data.train_x, data.train_y)
