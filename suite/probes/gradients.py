"""Gradients per parameter group: size, and whether they are exactly zero."""

from __future__ import annotations

import torch
from torch import Tensor

from suite.probes.parts import Parts, layer_members
from suite.probes.views import Evaluation, Gathered, Layout, Stretch, Watch


class Gradients(Gathered):
    """Of the latest mini-batch: ``grad_norm.<group>`` (L2, summed in float64) and ``grad_zero_fraction.<group>`` (share of elements
    exactly 0); over every mini-batch so far: ``grad_max_abs.<group>``, which is 0 only if no step had a non-zero gradient.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.latest: Stretch | None = None
        self.peak: Tensor
        self.parts: Parts | None = None

    def columns(self) -> tuple[str, ...]:
        """Three metrics for each group."""
        return tuple(f"{metric}.{group}" for metric in ("grad_norm", "grad_zero_fraction", "grad_max_abs") for group in self.layout.groups)

    def watches(self) -> frozenset[Watch]:
        """The largest gradient of every step."""
        return frozenset({"grad_peak"})

    def after_steps(self, stretch: Stretch) -> None:
        """Keeps a running maximum per parameter; the rest is worked out only when an evaluation asks."""
        size = torch.stack([stretch.grad_peak[name] for name in stretch.gradients]) if stretch.tally is None else stretch.tally[:, 2]
        self.peak = size if self.latest is None else torch.maximum(self.peak, size)
        self.latest = stretch

    def note(self, view: Evaluation) -> tuple[Tensor, ...]:
        """Nothing before the first step."""
        if self.latest is None:
            return ()
        gradients, tally = self.latest.gradients, self.latest.tally
        if self.parts is None:
            self.parts = Parts(self.layout.groups, gradients)
        return view.differences(gradients, None) if tally is None else tally[:, :2], self.peak

    def work_out(self, *noted: Tensor) -> dict[str, Tensor]:
        """From parameters to groups."""
        assert self.parts is not None
        filled, squared = self.parts.total(noted[0].transpose(0, 1)).unbind(2)
        return {
            **self.parts.named("grad_norm", squared.sqrt()),
            **self.parts.named("grad_zero_fraction", (self.parts.elements - filled) / self.parts.elements),
            **self.parts.named("grad_max_abs", self.parts.largest(noted[1].transpose(0, 1))),
        }


class FullGradients(Gathered):
    """``full_grad_max_abs.<part>``: largest absolute element of the gradient over the whole training set, in training mode,
    the maximum over the evaluations so far. A part is a parameter group, or a layer (``layerK``, ``output``: weights and biases).
    """

    def __init__(self, layout: Layout) -> None:
        self.members = dict(layout.groups) | layer_members(layout)
        self.peak: Tensor | None = None

    def columns(self) -> tuple[str, ...]:
        """One metric for each part."""
        return tuple(f"full_grad_max_abs.{part}" for part in self.members)

    def note(self, view: Evaluation) -> tuple[Tensor, ...]:
        """One full-batch backward pass."""
        gradients = view.gradients()
        size = torch.stack([value.flatten(1).abs().amax(dim=1) for value in gradients.values()])
        if self.peak is None:
            self.parts = Parts(self.members, gradients)
        self.peak = size if self.peak is None else torch.maximum(self.peak, size)
        return (self.peak,)

    def work_out(self, *noted: Tensor) -> dict[str, Tensor]:
        """From parameters to parts."""
        return self.parts.named("full_grad_max_abs", self.parts.largest(noted[0].transpose(0, 1)))
