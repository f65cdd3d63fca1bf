"""What mini-batches alone show of units: batch-dead fractions, and the BatchNorm bounds checked at every step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from suite.probes.views import Evaluation, Gathered, Layout, Quiet, Stretch, Watch


class BatchDead(Gathered):
    """``batch_dead_fraction``: share of hidden units at or below zero on the whole of the latest mini-batch; at the end
    also ``batch_dead_fraction_max`` and ``_min`` over every mini-batch of the run.
    """

    #: Stretches whose extremes are taken together; bounds memory, never numbers.
    TOGETHER = 64

    def __init__(self, layout: Layout) -> None:
        self.latest: Tensor | None = None
        self.seen: list[Tensor] = []

    def columns(self) -> tuple[str, ...]:
        """The latest batch's share."""
        return ("batch_dead_fraction",)

    def summaries(self) -> tuple[str, ...]:
        """The extremes over all batches."""
        return ("batch_dead_fraction_max", "batch_dead_fraction_min")

    def watches(self) -> frozenset[Watch]:
        """The share of every mini-batch."""
        return frozenset({"batch_dead"})

    def after_steps(self, stretch: Stretch) -> None:
        """Keeps them, in the end as their extremes."""
        self.seen.append(stretch.batch_dead)
        self.latest = stretch.batch_dead[:, -1]
        if len(self.seen) == self.TOGETHER:
            self.seen = [torch.stack(self._extremes(), dim=1)]

    def _extremes(self) -> tuple[Tensor, Tensor]:
        low, high = torch.aminmax(torch.cat(self.seen, dim=1), dim=1)
        return low, high

    def note(self, view: Evaluation) -> tuple[Tensor, ...]:
        """Nothing before the first step."""
        return () if self.latest is None else (self.latest,)

    def work_out(self, *noted: Tensor) -> dict[str, Tensor]:
        """The share as it is."""
        return {"batch_dead_fraction": noted[0]}

    def finish(self) -> dict[str, Tensor]:
        """Nothing where no step was taken."""
        if self.latest is None:
            return {}
        low, high = self._extremes()
        return {"batch_dead_fraction_max": high, "batch_dead_fraction_min": low}


class BatchNormBound(Quiet):
    """Checks the closed-form bounds at every step and unit. In a batch of n the largest standardised value lies in
    [1/√(n-1), √(n-1)], so a unit behind BatchNorm is alive on the batch for certain if β/γ > -1/√(n-1) and dead for certain if
    β/γ < -√(n-1). Summaries: ``bound_alive_share`` and ``bound_dead_share`` (how many unit-steps each bound decides),
    ``bound_alive_broken`` and ``bound_dead_broken`` (unit-steps, a count, that contradict it). Unit-steps whose batch variance is under
    1e-3, where BatchNorm's ε matters, are left out and counted in ``bound_skipped_share``. Where a skip is added between the norm and
    the activation the bounds say nothing, and such layers are not among the unit-steps.
    """

    MIN_VARIANCE = 1e-3

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.totals: dict[str, Tensor] = {}

    def columns(self) -> tuple[str, ...]:
        """No curves."""
        return ()

    def summaries(self) -> tuple[str, ...]:
        """Shares decided and counts broken."""
        return ("bound_alive_share", "bound_dead_share", "bound_alive_broken", "bound_dead_broken", "bound_skipped_share")

    def watches(self) -> frozenset[Watch]:
        """Every step with its pre-activations, where there is BatchNorm before the activation."""
        return frozenset({"every_step"}) if self._checked else frozenset()

    @property
    def _checked(self) -> bool:
        return self.layout.norm == "batch" and self.layout.norm_position == "before"

    def after_steps(self, stretch: Stretch) -> None:
        """Accumulates counts over layers; without BatchNorm before the activation there is nothing to check."""
        if not self._checked:
            return
        for layer, pre, variance in zip(self.layout.layers, stretch.pre, stretch.variance, strict=True):
            if layer in self.layout.joined:
                continue
            n = pre.shape[1]
            scale, shift = stretch.affine[f"{layer}.scale"].abs(), stretch.affine[f"{layer}.shift"]
            usable = (variance > self.MIN_VARIANCE) & (scale > 0)
            # ε shrinks the standardised values by √(var/(var+ε)); the bounds shrink and widen with it
            shrink = torch.sqrt(variance / (variance + 1e-5))
            certain_alive = usable & (shift > -scale * shrink / math.sqrt(n - 1) + 1e-6)
            certain_dead = usable & (shift < -scale * math.sqrt(n - 1) - 1e-6)
            dead = pre.amax(dim=1) <= 0
            counts = {
                "units": torch.ones_like(dead),
                "bound_alive_share": certain_alive,
                "bound_dead_share": certain_dead,
                "bound_alive_broken": certain_alive & dead,
                "bound_dead_broken": certain_dead & ~dead,
                "bound_skipped_share": ~usable,
            }
            for name, flags in counts.items():
                count = flags.sum(dim=1, dtype=torch.float64)
                self.totals[name] = self.totals[name] + count if name in self.totals else count

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """No curves."""
        return {}

    def finish(self) -> dict[str, Tensor]:
        """Shares over all unit-steps of the run."""
        if not self.totals:
            return {}
        total = self.totals["units"]
        return {name: count if name.endswith("broken") else count / total for name, count in self.totals.items() if name != "units"}
