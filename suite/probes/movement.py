"""How far parameters have moved from the start, and which have not moved at all."""

from __future__ import annotations

import torch
from torch import Tensor

from suite.probes.gradients import norm
from suite.probes.parts import joined, layer_members
from suite.probes.views import Evaluation, Layout, Quiet


class Movement(Quiet):
    """``moved_fraction.<part>``: share of elements that differ from the start by any bit of their value;
    ``moved_norm.<part>``: L2 distance from the start. A part is a parameter group, or a layer: ``layerK`` and ``output`` hold
    the weights and biases of that layer together.
    """

    def __init__(self, layout: Layout) -> None:
        self.parts = dict(layout.groups) | layer_members(layout)
        self.origin: dict[str, Tensor] | None = None

    def columns(self) -> tuple[str, ...]:
        """Two metrics for each part."""
        return tuple(f"{metric}.{part}" for metric in ("moved_fraction", "moved_norm") for part in self.parts)

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Compares with a copy taken at step 0."""
        if self.origin is None:
            self.origin = {name: value.detach().clone() for name, value in view.parameters.items()}
        values = {}
        for part, members in self.parts.items():
            now, then = joined(view.parameters, members).detach(), joined(self.origin, members)
            values[f"moved_fraction.{part}"] = (now != then).to(torch.float64).mean(dim=1)
            values[f"moved_norm.{part}"] = norm(now - then)
        return values
