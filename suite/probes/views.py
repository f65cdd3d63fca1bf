"""What a probe gets to see, and what it must provide. Holds tensors, computes nothing.

A metric's name is ``family`` or ``family.part``; every value a probe returns is a tensor [replicate].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NoReturn, Protocol

from jaxtyping import Bool, Float
from torch import Tensor

from suite.config.schema import Optimizer, Start
from suite.probes.differences import differences

#: At most so many replicates, and of all of them together about so many units, are followed one by one; this bounds the record.
FOLLOWED, FOLLOWED_UNITS = 8, 2048


@dataclass(frozen=True)
class Layout:
    """The static facts of the block: hidden layers and their widths, parameter groups and their members,
    the task (classification or regression), the configuration a prediction needs, and the numbers of training ``examples``, of
    ``steps`` and of the equal ``tasks`` that divide them. ``joined`` are the layers to whose pre-activation a skip adds.
    """

    layers: tuple[str, ...]
    widths: tuple[int, ...]
    groups: Mapping[str, tuple[str, ...]]
    classification: bool
    norm: str
    norm_position: str
    optimizer: Optimizer
    start: Start
    batch_size: int
    dormant_tau: float
    constant_loss: float
    examples: int = 0
    steps: int = 0
    tasks: int = 1
    escape_loss: float = 0.0
    critical_below: float = 1e-8
    loss_scale: float = 1.0
    escape_share: float = 0.1
    late_steps: int = 512
    inputs: int = 0
    outputs: int = 0
    joined: frozenset[str] = frozenset()

    @property
    def followed(self) -> int:
        """Of so many replicates of a condition, the first ones, single units are followed: fewer where there are many units."""
        return min(FOLLOWED, max(1, FOLLOWED_UNITS // max(1, sum(self.widths))))


@dataclass(frozen=True)
class UnitStatistics:
    """One hidden layer over the whole training set: the largest pre-activation of each unit and its mean
    absolute activation.
    """

    max_pre: Float[Tensor, "replicate unit"]
    mean_abs_post: Float[Tensor, "replicate unit"]


def _absent(*unused: object) -> NoReturn:
    raise NotImplementedError("this view holds no network to run")


@dataclass(frozen=True)
class Evaluation:
    """The network at rest after ``step`` updates.

    ``units`` are whole-training-set statistics with BatchNorm using that set's own statistics (the way
    training sees a unit); ``units_eval`` uses the running statistics (the way inference does). Losses and accuracies are in
    inference mode. ``gradients`` computes the full-batch gradient when called, ``hessian`` the Hessian
    [replicate, parameter, parameter] over the first ``probes.hessian_examples`` training examples (once: a second call gets the
    same tensor); ``inputs`` is the training set; ``output_range`` the largest difference between any output unit's values
    over it, in inference mode; ``pre_activations`` yields those of every hidden layer over it [replicate, example, unit], for a
    few replicates at a time, and ``activations`` what these layers pass on; ``outputs`` runs the network with other parameters over
    the training and the test set [replicate, example, output]. ``differences`` is ``suite.probes.differences.differences``, by the path's
    own means. ``worked`` are the block's clocks by part, in seconds so far; the
    mapping moves with them. The first ``followed`` replicates of the block are among those whose units are followed one by one;
    ``sample`` yields their hidden layers' pre-activations [example, unit], replicate by replicate, on a few training examples, always
    the same. ``training_loss`` is the mean loss over the training set with other parameters, in inference mode.
    """

    step: int
    parameters: Mapping[str, Tensor]
    optimizer_state: Mapping[str, Tensor]
    units: tuple[UnitStatistics, ...]
    units_eval: tuple[UnitStatistics, ...]
    train_loss: Float[Tensor, " replicate"]
    test_loss: Float[Tensor, " replicate"]
    train_accuracy: Float[Tensor, " replicate"] | None
    test_accuracy: Float[Tensor, " replicate"] | None
    gradients: Callable[[], Mapping[str, Tensor]]
    hessian: Callable[[], Tensor]
    inputs: Float[Tensor, "example feature"]
    diverged: Bool[Tensor, " replicate"]
    output_range: Float[Tensor, " replicate"] | None = None
    pre_activations: Callable[[], Iterator[tuple[Tensor, ...]]] = _absent
    outputs: Callable[[Mapping[str, Tensor]], tuple[Tensor, Tensor]] = _absent
    differences: Callable[[Mapping[str, Tensor], Mapping[str, Tensor] | None], Tensor] = differences
    activations: Callable[[], Iterator[tuple[Tensor, ...]]] = _absent
    worked: Mapping[str, float] = field(default_factory=dict)
    followed: int = 0
    sample: Callable[[], Iterator[tuple[Tensor, ...]]] = _absent
    training_loss: Callable[[Mapping[str, Tensor]], Tensor] = _absent


@dataclass(frozen=True)
class Stretch:
    """Consecutive training steps between two evaluations, from what was at hand while they ran.

    ``grad_peak`` holds the largest absolute element [replicate] of each parameter's mini-batch gradient (decay not
    included) over all the steps; ``batch_dead`` the share of hidden units at or below zero on the whole mini-batch, per
    step. Both may be left empty where no probe watches them. The rest is of the latest step alone: its ``gradients``,
    the batch's pre-activations ``pre`` [replicate, batch, unit] per hidden layer, and for normalised layers the batch
    ``variance`` and the scale and shift (``affine``) the step was taken with. ``losses`` are the mini-batch losses of every step
    and ``parameters`` the network as the latest step leaves it (not a copy), where a probe watches them. ``tally``
    [parameter, 3, replicate] holds, where a path has them at hand, what ``differences`` finds in ``gradients``, and ``grad_peak``.
    """

    grad_peak: Mapping[str, Float[Tensor, " replicate"]]
    batch_dead: Float[Tensor, "replicate step"]
    gradients: Mapping[str, Tensor]
    pre: tuple[Tensor, ...]
    variance: tuple[Tensor, ...]
    affine: Mapping[str, Tensor]
    losses: Float[Tensor, "replicate step"] | None = None
    parameters: Mapping[str, Tensor] | None = None
    tally: Float[Tensor, "parameter 3 replicate"] | None = None


#: What a probe may ask to be gathered while steps run: fields of a stretch (``losses`` stands for losses and
#: parameters), or to be shown every step.
Watch = Literal["grad_peak", "batch_dead", "losses", "every_step"]


class Probe(Protocol):
    """A family of metrics. Built anew for every block; may keep tensors of its own between calls."""

    def columns(self) -> tuple[str, ...]:
        """Names of the curves it returns from ``evaluate``."""
        ...

    def summaries(self) -> tuple[str, ...]:
        """Names of the further final values it returns from ``finish``."""
        ...

    def watches(self) -> frozenset[Watch]:
        """What it needs gathered while steps run."""
        ...

    def after_steps(self, stretch: Stretch) -> None:
        """Called when the steps between two evaluations are done (after each single one for ``every_step``)."""
        ...

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Called at every evaluation, step 0 included. A metric that has no value yet is left out."""
        ...

    def finish(self) -> dict[str, Tensor]:
        """Called once after the last evaluation."""
        ...

    def units(self) -> dict[str, Tensor]:
        """Called after ``finish`` where the block holds followed replicates: their courses, ``column.layer`` →
        [followed, time] or [followed, time, unit].
        """
        ...


class Quiet:
    """The parts of a probe that most do not need."""

    def summaries(self) -> tuple[str, ...]:
        """No further final values."""
        return ()

    def watches(self) -> frozenset[Watch]:
        """Nothing."""
        return frozenset()

    def after_steps(self, stretch: Stretch) -> None:
        """Nothing to take from steps."""

    def finish(self) -> dict[str, Tensor]:
        """Nothing to add at the end."""
        return {}

    def units(self) -> dict[str, Tensor]:
        """No course of single units."""
        return {}


class Gathered(Quiet):
    """A probe whose curves are worked out for many evaluations at once: ``note`` keeps what an evaluation shows, and
    ``work_out`` gets it in the order of the evaluations, each tensor with a leading dimension of time. Many small operations per
    evaluation would cost more than what they compute.
    """

    def note(self, view: Evaluation) -> tuple[Tensor, ...]:
        """What to keep of this evaluation: tensors that nobody changes later; none where there is no value yet."""
        raise NotImplementedError

    def work_out(self, *noted: Tensor) -> dict[str, Tensor]:
        """The curves [time, replicate] of the evaluations since the last call."""
        raise NotImplementedError

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """The values of one evaluation by itself."""
        noted = self.note(view)
        return {name: values[0] for name, values in self.work_out(*(tensor[None] for tensor in noted)).items()} if noted else {}
