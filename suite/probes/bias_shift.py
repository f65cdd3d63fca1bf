"""The loss seen from a dead start: what raising the biases of the units made dead, all by as much, would do."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from suite.probes.views import Evaluation, Layout, Quiet

#: From half the margin downwards to two and a half margins upwards, in eighths: the margin itself, where units wake, is among them.
EIGHTHS = range(-4, 21)
METRIC = "shifted_loss"


def shifts(margin: float) -> tuple[float, ...]:
    """The amounts, in units of the pre-activation.

    >>> shifts(1.0)[:6]
    (-0.5, -0.375, -0.25, -0.125, 0.0, 0.125)
    """
    return tuple(margin * eighths / 8 for eighths in EIGHTHS)


class BiasShift(Quiet):
    """Before the first step: ``shifted_loss.<shift>``, the loss over the whole training set with this added to the bias of every unit
    that the start has made dead, and ``wake_shift``, the closed form of where that can first change anything: the smallest amount by
    which such a unit's largest pre-activation lies below zero. Shifts are set by ``start.margin``. Missing where the start makes no
    unit dead: units that happen to be dead from the beginning stay as they are.
    """

    def __init__(self, layout: Layout) -> None:
        start = layout.start
        makes = start.name in ("born_dead", "killed")
        self.chosen = [makes and start.layer in (None, number) for number in range(1, len(layout.layers) + 1)]
        self.layers, self.made = layout.layers, slice(start.units)
        self.shifts = shifts(start.margin)
        self.found: dict[str, Tensor] = {}

    def columns(self) -> tuple[str, ...]:
        """No curves."""
        return ()

    def summaries(self) -> tuple[str, ...]:
        """The loss at every shift, and the threshold."""
        return (*(f"{METRIC}.{shift:g}" for shift in self.shifts), "wake_shift")

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Once, at the start."""
        if self.found or not any(self.chosen):
            return {}
        tops = {layer: units.max_pre for layer, units, chosen in zip(self.layers, view.units, self.chosen, strict=True) if chosen}
        dead = {layer: torch.zeros_like(top, dtype=torch.bool) for layer, top in tops.items()}
        for layer, flags in dead.items():
            flags[:, self.made] = tops[layer][:, self.made] <= 0
        any_dead = torch.stack([flags.any(dim=1) for flags in dead.values()]).any(dim=0)
        depths = [torch.where(flags, -tops[layer].double(), math.inf).amin(dim=1) for layer, flags in dead.items()]
        for shift in self.shifts:
            moved = {
                f"{layer}.bias": view.parameters[f"{layer}.bias"] + flags.to(view.parameters[f"{layer}.bias"]) * shift
                for layer, flags in dead.items()
            }
            loss = view.training_loss({**view.parameters, **moved}).double()
            self.found[f"{METRIC}.{shift:g}"] = torch.where(any_dead, loss, math.nan)
        self.found["wake_shift"] = torch.where(any_dead, torch.stack(depths).amin(dim=0), math.nan)
        return {}

    def finish(self) -> dict[str, Tensor]:
        """As found at the start."""
        return self.found
