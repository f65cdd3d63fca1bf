"""Updates that rounding swallows: less than half the distance to the next representable weight, they change nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from suite.probes.views import Evaluation, Layout, Quiet, Stretch, Watch

_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def swallowed(weights: Tensor, updates: Tensor) -> Tensor:
    """True where ``weights`` + ``updates`` (float64) rounds to nearest, ties to even, back to the weight: the update is below half the
    distance to the neighbour it points to, or equal to it and the weight's last bit is 0. Any shape; ``weights`` finite.
    """
    weights = weights.cpu()  # nextafter does not know every type elsewhere
    updates = updates.to(torch.float64).cpu()
    far = torch.where(updates > 0, torch.inf, -torch.inf).to(weights.dtype)
    half = (torch.nextafter(weights, far).double() - weights.double()).abs() / 2
    even = weights.view(_BITS[weights.element_size()]) & 1 == 0
    return (updates.abs() < half) | ((updates.abs() == half) & even)


class Stalled(Quiet):
    """Over all elements with a non-zero gradient in the latest step: ``stalled_share``, the share that step left unchanged;
    ``stalled_predicted_share``, the share whose update lr·gradient is too small by ``swallowed``; ``stalled_agreement``, the share for
    which the two agree. All 1 where no gradient is left. The prediction is that of SGD without momentum or decay, rounded to nearest.
    """

    def __init__(self, layout: Layout) -> None:
        self.lr = layout.optimizer.lr
        self.previous: dict[str, Tensor] = {}
        self.before: dict[str, Tensor] = {}
        self.latest: Stretch | None = None

    def columns(self) -> tuple[str, ...]:
        """Measured, predicted, and how far they agree."""
        return ("stalled_share", "stalled_predicted_share", "stalled_agreement")

    def watches(self) -> frozenset[Watch]:
        """Every step with what it leaves behind."""
        return frozenset({"losses", "every_step"})

    def after_steps(self, stretch: Stretch) -> None:
        """Keeps the parameters before and after the step."""
        assert stretch.parameters is not None
        self.before, self.latest = self.previous, stretch
        self.previous = {name: value.detach().clone() for name, value in stretch.parameters.items()}

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Compares the latest step with its prediction; nothing before the first."""
        if self.latest is None:
            self.previous = {name: value.detach().clone() for name, value in view.parameters.items()}
            return {}
        names = tuple(self.previous)
        before, after, gradient = (
            torch.cat([values[name].flatten(1) for name in names], dim=1) for values in (self.before, self.previous, self.latest.gradients)
        )
        told = swallowed(torch.where(torch.isfinite(before), before, 0), -self.lr * gradient.double()).to(before.device)
        same, moving = before == after, gradient != 0
        count = moving.sum(dim=1, dtype=torch.float64)

        def share(flags: Tensor) -> Tensor:
            return ((flags & moving).sum(dim=1, dtype=torch.float64) / count).nan_to_num(1.0)

        return {"stalled_share": share(same), "stalled_predicted_share": share(told), "stalled_agreement": share(same == told)}
