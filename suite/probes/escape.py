"""Whether, and when, training got away from where it began. Reads the training loss only."""

from __future__ import annotations

import torch
from torch import Tensor

from suite.probes.views import Evaluation, Layout, Quiet


class Escape(Quiet):
    """``escaped``: 1 once the training loss has been at or below ``probes.escape_loss`` at an evaluation, else 0; ``loss_change``: the
    training loss less the first one. At the end ``escape_step``, the step of the first such evaluation, and ``escape_time`` =
    escape_step · lr, the time of the gradient flow. Evaluate at every step where the count matters. A network that never
    got out has the last step (it took at least that long): read these two beside ``escaped``.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.first: Tensor | None = None

    def columns(self) -> tuple[str, ...]:
        """Out yet, and how much better."""
        return ("escaped", "loss_change")

    def summaries(self) -> tuple[str, ...]:
        """When."""
        return ("escape_step", "escape_time")

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Compares with the threshold and with the first evaluation."""
        if self.first is None:
            self.first = view.train_loss
            self.at = torch.full_like(view.train_loss, -1, dtype=torch.float64)
        self.last = float(view.step)
        out = (view.train_loss <= self.layout.escape_loss) & (self.at < 0)
        self.at = torch.where(out, float(view.step), self.at)
        return {"escaped": (self.at >= 0).to(torch.float64), "loss_change": view.train_loss - self.first}

    def finish(self) -> dict[str, Tensor]:
        """The step, and the time it stands for."""
        steps = torch.where(self.at < 0, self.last, self.at)
        return {"escape_step": steps, "escape_time": steps * self.layout.optimizer.lr}
