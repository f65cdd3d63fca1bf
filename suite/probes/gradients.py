"""Gradients per parameter group: size, and whether they are exactly zero."""

from __future__ import annotations

import torch
from torch import Tensor

from suite.probes.parts import joined, layer_members
from suite.probes.views import Evaluation, Layout, Quiet, Stretch, Watch


def norm(flat: Tensor) -> Tensor:
    """L2 norm of each replicate's row; in float64 for float16 and bfloat16, whose own squares underflow."""
    found: Tensor = torch.linalg.vector_norm(flat.double() if flat.element_size() < 4 else flat, dim=1)
    return found


def _grouped(gradients: dict[str, Tensor], members: tuple[str, ...]) -> Tensor:
    """[replicate, all elements of the group]."""
    return torch.cat([gradients[name].flatten(1) for name in members], dim=1)


class Gradients(Quiet):
    """Of the latest mini-batch: ``grad_norm.<group>`` (L2) and ``grad_zero_fraction.<group>`` (share of elements exactly 0);
    over every mini-batch so far: ``grad_max_abs.<group>``, which is 0 only if no step had a non-zero gradient.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.latest: dict[str, Tensor] | None = None
        self.peak: dict[str, Tensor] = {}

    def columns(self) -> tuple[str, ...]:
        """Three metrics for each group."""
        return tuple(f"{metric}.{group}" for metric in ("grad_norm", "grad_zero_fraction", "grad_max_abs") for group in self.layout.groups)

    def watches(self) -> frozenset[Watch]:
        """The largest gradient of every step."""
        return frozenset({"grad_peak"})

    def after_steps(self, stretch: Stretch) -> None:
        """Keeps a running maximum per group; the rest is worked out only when an evaluation asks."""
        self.latest = dict(stretch.gradients)
        for group, members in self.layout.groups.items():
            size = torch.stack([stretch.grad_peak[name] for name in members]).amax(dim=0)
            self.peak[group] = torch.maximum(self.peak[group], size) if group in self.peak else size

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Nothing before the first step."""
        if self.latest is None:
            return {}
        values = {}
        for group, members in self.layout.groups.items():
            flat = _grouped(self.latest, members)
            values[f"grad_norm.{group}"] = norm(flat)
            values[f"grad_zero_fraction.{group}"] = (flat == 0).to(torch.float64).mean(dim=1)
            values[f"grad_max_abs.{group}"] = self.peak[group]
        return values


class FullGradients(Quiet):
    """``full_grad_max_abs.<part>``: largest absolute element of the gradient over the whole training set, in training mode,
    the maximum over the evaluations so far. A part is a parameter group, or a layer (``layerK``, ``output``: weights and biases).
    """

    def __init__(self, layout: Layout) -> None:
        self.parts = dict(layout.groups) | layer_members(layout)
        self.peak: dict[str, Tensor] = {}

    def columns(self) -> tuple[str, ...]:
        """One metric for each part."""
        return tuple(f"full_grad_max_abs.{part}" for part in self.parts)

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """One full-batch backward pass."""
        gradients = dict(view.gradients())
        values = {}
        for part, members in self.parts.items():
            size = joined(gradients, members).abs().amax(dim=1)
            self.peak[part] = torch.maximum(self.peak[part], size) if part in self.peak else size
            values[f"full_grad_max_abs.{part}"] = self.peak[part]
        return values
