"""How long training takes to do better than a constant. Reads the training loss only."""

from __future__ import annotations

import torch
from torch import Tensor

from suite.probes.views import Evaluation, Layout, Quiet


class Plateau(Quiet):
    """A network whose hidden units pass nothing on still learns the best constant, so leaving the plateau means more: a training
    loss of at most (1 - ``probes.escape_share``) times the best constant predictor's. ``left_plateau``: 1 once an evaluation found
    that, else 0. At the end ``steps_to_escape``: the step of the first such evaluation; where there was none, the run's length,
    which is then a lower bound and is told apart by ``left_plateau``.
    """

    def __init__(self, layout: Layout) -> None:
        self.target = (1 - layout.escape_share) * layout.constant_loss
        self.at: Tensor | None = None

    def columns(self) -> tuple[str, ...]:
        """Out yet."""
        return ("left_plateau",)

    def summaries(self) -> tuple[str, ...]:
        """When."""
        return ("steps_to_escape",)

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Compares with the target."""
        if self.at is None:
            self.at = torch.full(view.train_loss.shape, -1.0, dtype=torch.float64, device=view.train_loss.device)
        self.at = torch.where((view.train_loss <= self.target) & (self.at < 0), float(view.step), self.at)
        self.last = float(view.step)
        return {"left_plateau": (self.at >= 0).double()}

    def finish(self) -> dict[str, Tensor]:
        """The step, or the run's length."""
        assert self.at is not None
        return {"steps_to_escape": torch.where(self.at < 0, self.last, self.at)}
