"""Steps of one block in several processes: each takes its slice of every batch, all take the same update. Knows no probe or disk.

With B examples in a batch and slices S_r, the gradient of the mean loss is Σ_r Σ_{i∈S_r} ∇ℓ_i / B: every rank computes its own term,
and the terms are added (``suite.training.ranks``). BatchNorm takes its moments over all the slices, with their gradients (as
torch.nn.SyncBatchNorm). Every rank therefore holds the same weights, running statistics and optimizer memory, to the bit, and
everything between the steps (evaluations, remedies, starts) is done by each of them alike. Against one process only the order of
additions differs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from suite.config.choices import HALVES, SECOND_ORDER
from suite.config.numeric import Numeric
from suite.nets.mlp import Forward
from suite.nets.rows import largest
from suite.probes.views import Stretch, Watch
from suite.training.augment import Augment
from suite.training.eager import EagerSteps, EveryStep, State, backward
from suite.training.evaluate import Pass, Task
from suite.training.losses import Loss
from suite.training.ranks import Ranks
from suite.vocabulary import TIMING


def why_not_parallel(numeric: Numeric, examples: int, ranks: int) -> str | None:
    """None where ``ranks`` processes can train a condition on so many ``examples``, else the reason and what to take in its place."""
    batch = examples if numeric.train.batch_size is None else numeric.train.batch_size
    if numeric.optimizer.name in SECOND_ORDER:
        return f"optimizer.name={numeric.optimizer.name} needs the whole batch's curvature; take sgd or adam"
    if numeric.precision in HALVES:
        return f"sums over processes would be rounded to {numeric.precision}; take precision=float32"
    if numeric.engine.path not in ("auto", "eager"):
        return f"engine.path={numeric.engine.path} runs in one process; take engine.path=auto"
    if numeric.remedy.name == "continual_backprop":
        return "remedy=continual_backprop looks at the whole batch's activations after every step; take another remedy"
    if TIMING in numeric.probes.extra:
        return f"probes.extra={TIMING} reads the clock of one process"
    if batch < ranks:
        return f"a batch of {batch} does not divide among {ranks} processes; take executor.data_parallel={batch} at most"
    return None


class ParallelSteps(EagerSteps):
    """As ``EagerSteps``, each rank on its slice of the batches. Every rank makes the same calls in the same order."""

    def __init__(
        self,
        task: Task,
        watched: Collection[Watch],
        ranks: Ranks,
        clip: float | None = None,
        every_step: EveryStep | None = None,
        augment: Augment | None = None,
    ) -> None:
        super().__init__(task, watched, clip, every_step, augment)
        self.ranks = ranks
        self.sizes: tuple[int, ...] = ()

    def run(self, state: State, indices: NDArray[np.int64], first: int) -> Stretch:
        """As ``EagerSteps.run``; ``indices`` are the whole batches'."""
        batch = indices.shape[2]
        self.sizes = self.ranks.sizes(batch)
        net = replace(self.task.net, across=self.ranks.shared_total)
        self.own = replace(self.task, net=net, loss=_weighted(self.task.loss, self.sizes[self.ranks.rank] / batch))
        return super().run(state, indices[:, :, self.ranks.share(batch)], first)

    def backward(self, state: State, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor], Forward]:
        """Loss and gradient of the whole batch; the pass is of this rank's slice."""
        loss, gradients, forward = backward(state, self.own, batch)
        summed = self.ranks.total(torch.cat([loss, *(gradient.reshape(-1) for gradient in gradients.values())]))
        shapes = [loss.shape, *(gradient.shape for gradient in gradients.values())]
        parts = torch.split(summed, [shape.numel() for shape in shapes])
        loss, *terms = (part.view(shape) for part, shape in zip(parts, shapes, strict=True))
        return loss, dict(zip(gradients, terms, strict=True)), forward

    def augmented(self, augment: Augment, inputs: Tensor, step: int) -> Tensor:
        """This rank's images, by their draws among the whole batch's."""
        whole = sum(self.sizes)
        return augment.inputs(inputs, step, whole, self.ranks.share(whole))

    def tops(self, forward: Forward) -> Tensor:
        """The largest pre-activation of every hidden unit over the whole batch."""
        return self.ranks.gathered(torch.cat([largest(pre.detach()) for pre in forward.pre], dim=1)).amax(dim=0)

    def pre(self, forward: Forward) -> tuple[Tensor, ...]:
        """The pre-activations of the whole batch."""
        own = self.sizes[self.ranks.rank]
        return tuple(self.ranks.joined(pre, [size * (pre.shape[1] // own) for size in self.sizes]) for pre in forward.pre)

    def look(self, state: State) -> Pass:
        """As ``EagerSteps.look``. Raises RuntimeError where the ranks no longer hold the same network."""
        if not self.ranks.agree([*state.parameters.values(), *state.buffers.values()]):
            raise RuntimeError("the processes of a data-parallel block no longer hold the same weights")
        return super().look(state)


def _weighted(loss: Loss, share: float) -> Loss:
    """Σ over a slice / B is the slice's mean times its share of the batch."""
    return lambda output, target: loss(output, target) * share
