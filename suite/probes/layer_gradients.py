"""Gradients layer by layer over every mini-batch: how far down the network an exactly zero gradient reaches."""

from __future__ import annotations

import torch
from torch import Tensor

from suite.probes.views import Evaluation, Layout, Quiet, Stretch, Watch


class LayerGradients(Quiet):
    """``layer_grad_max_abs.layerK`` and ``.output``: largest absolute element of the gradient of that layer's weights and biases
    over every mini-batch so far, which is 0 only if no step had a non-zero one; ``zero_gradient_layers``: how many hidden
    layers that is so of. Decay is not part of a gradient here.
    """

    def __init__(self, layout: Layout) -> None:
        self.parts = (*layout.layers, "output")
        self.peak: dict[str, Tensor] = {}

    def columns(self) -> tuple[str, ...]:
        """One for each layer, and the count."""
        return (*(f"layer_grad_max_abs.{part}" for part in self.parts), "zero_gradient_layers")

    def watches(self) -> frozenset[Watch]:
        """The largest gradient of every step."""
        return frozenset({"grad_peak"})

    def after_steps(self, stretch: Stretch) -> None:
        """Keeps a running maximum."""
        for part in self.parts:
            size = stretch.grad_peak[f"{part}.weight"]
            if f"{part}.bias" in stretch.grad_peak:
                size = torch.maximum(size, stretch.grad_peak[f"{part}.bias"])
            self.peak[part] = torch.maximum(self.peak[part], size) if part in self.peak else size

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Nothing before the first step."""
        if not self.peak:
            return {}
        silent = torch.stack([self.peak[part] == 0 for part in self.parts[:-1]])
        values = {f"layer_grad_max_abs.{part}": self.peak[part] for part in self.parts}
        return values | {"zero_gradient_layers": silent.sum(dim=0, dtype=torch.float64)}
