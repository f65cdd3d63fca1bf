"""How far parameters have moved from the start, and which have not moved at all."""

from __future__ import annotations

import torch
from torch import Tensor

from suite.probes.views import Evaluation, Layout, Quiet


class Movement(Quiet):
    """``moved_fraction.<group>``: share of elements that differ from the start by any bit of their value;
    ``moved_norm.<group>``: L2 distance from the start.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.origin: dict[str, Tensor] | None = None

    def columns(self) -> tuple[str, ...]:
        """Two metrics for each group."""
        return tuple(f"{metric}.{group}" for metric in ("moved_fraction", "moved_norm") for group in self.layout.groups)

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Compares with a copy taken at step 0."""
        if self.origin is None:
            self.origin = {name: value.detach().clone() for name, value in view.parameters.items()}
        values = {}
        for group, members in self.layout.groups.items():
            now = torch.cat([view.parameters[name].detach().flatten(1) for name in members], dim=1)
            then = torch.cat([self.origin[name].flatten(1) for name in members], dim=1)
            values[f"moved_fraction.{group}"] = (now != then).to(torch.float64).mean(dim=1)
            values[f"moved_norm.{group}"] = torch.linalg.vector_norm(now - then, dim=1)
        return values
