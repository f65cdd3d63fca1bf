"""The gradient over the whole training set before the first step: how large it is, and whether it is exactly zero."""

from __future__ import annotations

import torch
from torch import Tensor

from suite.probes.views import Evaluation, Layout, Quiet


class InitialGradients(Quiet):
    """At the end: ``initial_grad_max_abs.<group>``, the largest absolute element; ``initial_grad_log10.<group>``, the decimal
    logarithm of the L2 norm (NaN where the gradient is exactly zero: a size of zero has none); ``initial_grad_zero_fraction.<group>``.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.found: dict[str, Tensor] = {}

    def columns(self) -> tuple[str, ...]:
        """No curves."""
        return ()

    def summaries(self) -> tuple[str, ...]:
        """Three metrics for each group."""
        kinds = ("initial_grad_max_abs", "initial_grad_log10", "initial_grad_zero_fraction")
        return tuple(f"{kind}.{group}" for kind in kinds for group in self.layout.groups)

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """One full-batch backward pass, at step 0 only."""
        if self.found:
            return {}
        gradients = view.gradients()
        for group, members in self.layout.groups.items():
            flat = torch.cat([gradients[name].flatten(1) for name in members], dim=1).double()
            largest = flat.abs().amax(dim=1)
            # scaled first: the square of 1e-200 is zero
            unit = torch.linalg.vector_norm(flat / largest[:, None], dim=1)
            self.found[f"initial_grad_max_abs.{group}"] = largest
            self.found[f"initial_grad_log10.{group}"] = torch.log10(largest) + torch.log10(unit)
            self.found[f"initial_grad_zero_fraction.{group}"] = (flat == 0).double().mean(dim=1)
        return {}

    def finish(self) -> dict[str, Tensor]:
        """What was found at step 0."""
        return self.found
