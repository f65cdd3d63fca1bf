"""What happens on steps whose mini-batch loss is exactly zero: is the gradient zero as well, and does anything move?"""

from __future__ import annotations

import torch
from torch import Tensor

from suite.probes.views import Evaluation, Layout, Quiet, Stretch, Watch


class ZeroLoss(Quiet):
    """Over all steps, at the end: ``zero_loss_share``, the share of steps whose mini-batch loss is exactly 0 for every example; of these,
    ``zero_loss_grad_share``, the share with any gradient element other than exactly 0, and ``zero_loss_moved_share``, the share in which
    any parameter changed a bit; ``nonzero_loss_moved_share``, the same for the other steps. Shares among none are 0.
    """

    def __init__(self, layout: Layout) -> None:
        self.previous: dict[str, Tensor] = {}
        self.counts: dict[str, Tensor] = {}

    def columns(self) -> tuple[str, ...]:
        """No curves."""
        return ()

    def summaries(self) -> tuple[str, ...]:
        """Shares of steps."""
        return ("zero_loss_share", "zero_loss_grad_share", "zero_loss_moved_share", "nonzero_loss_moved_share")

    def watches(self) -> frozenset[Watch]:
        """Every step with its loss and what it leaves behind."""
        return frozenset({"losses", "every_step"})

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Keeps the parameters the next step begins with."""
        self.previous = {name: value.detach().clone() for name, value in view.parameters.items()}
        return {}

    def after_steps(self, stretch: Stretch) -> None:
        """Counts the step."""
        assert stretch.losses is not None and stretch.parameters is not None
        zero = stretch.losses[:, -1] == 0
        graded = torch.stack([(value != 0).flatten(1).any(dim=1) for value in stretch.gradients.values()]).any(dim=0)
        changed = [(value != self.previous[name]).flatten(1).any(dim=1) for name, value in stretch.parameters.items()]
        moved = torch.stack(changed).any(dim=0)
        for name, flags in {
            "all": torch.ones_like(zero),
            "zero": zero,
            "zero_graded": zero & graded,
            "zero_moved": zero & moved,
            "other_moved": ~zero & moved,
        }.items():
            self.counts[name] = self.counts.get(name, torch.zeros_like(flags, dtype=torch.float64)) + flags
        for name, value in stretch.parameters.items():
            self.previous[name].copy_(value)

    def finish(self) -> dict[str, Tensor]:
        """Shares."""
        if not self.counts:
            return {}
        counts = self.counts
        return {
            "zero_loss_share": counts["zero"] / counts["all"],
            "zero_loss_grad_share": (counts["zero_graded"] / counts["zero"]).nan_to_num(0.0),
            "zero_loss_moved_share": (counts["zero_moved"] / counts["zero"]).nan_to_num(0.0),
            "nonzero_loss_moved_share": (counts["other_moved"] / (counts["all"] - counts["zero"])).nan_to_num(0.0),
        }
