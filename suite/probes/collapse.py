"""Networks that have become constants: a wholly dead layer, and an output that no longer depends on the input."""

from __future__ import annotations

import torch
from torch import Tensor

from suite.probes.views import Evaluation, Layout, Quiet

#: An output whose values over the training set differ by no more than this is constant: far above what identical rows of a
#: matrix product can differ by through rounding, far below anything learned.
CONSTANT_WITHIN = 1e-6


class Collapse(Quiet):
    """``dead_layer``: 1 where some hidden layer has all its units dead on the training set, else 0; ``constant_output``: 1 where
    no output unit's values over the training set differ by more than CONSTANT_WITHIN, else 0; ``output_range``: the largest such
    difference. At the end also ``born_dead_network`` and ``born_constant``, the first two at step 0, and ``became_constant``: 1
    where the output is constant at the end and was not at the start.

    *Born dead* follows Lu, Shin, Su and Karniadakis (2020). Without skips a dead layer makes the output constant.
    """

    def __init__(self, layout: Layout) -> None:
        self.first: dict[str, Tensor] | None = None

    def columns(self) -> tuple[str, ...]:
        """The state at each evaluation."""
        return ("dead_layer", "constant_output", "output_range")

    def summaries(self) -> tuple[str, ...]:
        """The state at the start, and what training changed."""
        return ("born_dead_network", "born_constant", "became_constant")

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Flags as 0 and 1."""
        assert view.output_range is not None
        dead = torch.stack([(layer.max_pre <= 0).all(dim=1) for layer in view.units]).any(dim=0)
        self.latest = {
            "dead_layer": dead.to(torch.float64),
            "constant_output": (view.output_range <= CONSTANT_WITHIN).to(torch.float64),
            "output_range": view.output_range,
        }
        self.first = self.first or self.latest
        return self.latest

    def finish(self) -> dict[str, Tensor]:
        """From the first and the latest evaluation."""
        assert self.first is not None
        born, now = self.first["constant_output"], self.latest["constant_output"]
        return {"born_dead_network": self.first["dead_layer"], "born_constant": born, "became_constant": now * (1 - born)}
