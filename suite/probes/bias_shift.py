"""The loss seen from a dead start: what raising the biases of all dead units by the same amount would do to it."""

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
    that is dead there, and ``wake_shift``, the closed form of where that can first change anything: the smallest amount by which
    such a unit's largest pre-activation lies below zero. Missing where no unit is dead; shifts are set by ``start.margin``.
    """

    def __init__(self, layout: Layout) -> None:
        self.layers = layout.layers
        self.shifts = shifts(layout.start.margin)
        self.found: dict[str, Tensor] = {}

    def columns(self) -> tuple[str, ...]:
        """No curves."""
        return ()

    def summaries(self) -> tuple[str, ...]:
        """The loss at every shift, and the threshold."""
        return (*(f"{METRIC}.{shift:g}" for shift in self.shifts), "wake_shift")

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Once, at the start."""
        if self.found:
            return {}
        dead = {layer: units.max_pre <= 0 for layer, units in zip(self.layers, view.units, strict=True)}
        any_dead = torch.stack([flags.any(dim=1) for flags in dead.values()]).any(dim=0)
        depths = [
            torch.where(flags, -units.max_pre.double(), math.inf).amin(dim=1)
            for flags, units in zip(dead.values(), view.units, strict=True)
        ]
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
