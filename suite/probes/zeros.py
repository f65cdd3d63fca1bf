"""What becomes of parameters whose gradient has been exactly zero, and of units that have been dead: do they stay so?"""

from __future__ import annotations

import torch
from torch import Tensor

from suite.probes.parts import joined, layer_members
from suite.probes.units import alive_units, dead_units
from suite.probes.views import Evaluation, Layout, Quiet, Stretch, Watch


def _share(flags: Tensor, among: Tensor) -> Tensor:
    """Share per replicate among some; 0 where there are none."""
    return ((flags & among).sum(dim=1, dtype=torch.float64) / among.sum(dim=1, dtype=torch.float64)).nan_to_num(0.0)


class Zeros(Quiet):
    """Over the weights and biases of the hidden layers, element by element. At the end,

    - ``batch_zero_fraction``: share whose gradient was exactly 0 on at least one mini-batch before the last evaluation;
      ``batch_zero_moved_fraction``: of these, the share that changed between two evaluations after that step;
    - ``full_zero_fraction``, ``full_zero_moved_fraction``: the same for the gradient over the whole training set, which is
      worked out at every evaluation;
    - ``dead_moved_fraction``: of the parameters that lead into a unit found dead on the whole training set, the share that
      changed between two later evaluations *while the unit was dead at both*;
    - ``came_back_fraction``: of the units found dead at any evaluation, the share alive at a later one.

    Shares among none are 0. A change counts from the first evaluation after the zero, so one that came and went between two
    evaluations is missed: the shares of changes are lower bounds.
    """

    def __init__(self, layout: Layout) -> None:
        self.parts = {part: members for part, members in layer_members(layout).items() if part != "output"}
        self.members = tuple(name for members in self.parts.values() for name in members)
        self.batch_now: Tensor | None = None
        self.previous: Tensor | None = None

    def columns(self) -> tuple[str, ...]:
        """No curves."""
        return ()

    def summaries(self) -> tuple[str, ...]:
        """Shares over the whole run."""
        return (
            "batch_zero_fraction",
            "batch_zero_moved_fraction",
            "full_zero_fraction",
            "full_zero_moved_fraction",
            "dead_moved_fraction",
            "came_back_fraction",
        )

    def watches(self) -> frozenset[Watch]:
        """Every step with its gradients."""
        return frozenset({"every_step"})

    def after_steps(self, stretch: Stretch) -> None:
        """Notes which gradients are exactly zero on this mini-batch."""
        zero = joined(stretch.gradients, self.members) == 0
        self.batch_now = zero if self.batch_now is None else self.batch_now | zero

    def _into_units(self, flags: tuple[Tensor, ...], parameters: dict[str, Tensor]) -> Tensor:
        """[replicate, element] the flag of the unit that each element leads into. A weight is [replicate, in, unit]."""
        wide = {}
        for members, flag in zip(self.parts.values(), flags, strict=True):
            for name in members:
                wide[name] = (flag[:, None, :] if parameters[name].ndim == 3 else flag).expand(parameters[name].shape)
        return joined(wide, self.members)

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Compares with the parameters at the previous evaluation."""
        parameters = {name: view.parameters[name].detach() for name in self.members}
        now = joined(parameters, self.members).clone()
        dead, alive = dead_units(view.units), alive_units(view.units)
        dead_into = self._into_units(tuple(layer.max_pre <= 0 for layer in view.units), parameters)
        full = joined(dict(view.gradients()), self.members) == 0
        if self.previous is None:
            none = torch.zeros_like(full)
            self.batch_zero, self.batch_moved, self.full_zero, self.full_moved = none, none, none, none
            self.dead_seen, self.dead_moved, self.dead_before = none, none, none
            self.unit_dead, self.unit_back = torch.zeros_like(dead), torch.zeros_like(dead)
        else:
            changed = now != self.previous
            self.batch_moved = self.batch_moved | self.batch_zero & changed
            self.full_moved = self.full_moved | self.full_zero & changed
            self.dead_moved = self.dead_moved | self.dead_before & dead_into & changed
            self.unit_back = self.unit_back | self.unit_dead & alive
        if self.batch_now is not None:
            self.batch_zero = self.batch_zero | self.batch_now
        self.full_zero = self.full_zero | full
        self.dead_seen, self.dead_before = self.dead_seen | dead_into, dead_into
        self.unit_dead = self.unit_dead | dead
        self.previous = now
        return {}

    def finish(self) -> dict[str, Tensor]:
        """Shares of everything, and among those concerned."""
        everything = torch.ones_like(self.full_zero)
        return {
            "batch_zero_fraction": _share(self.batch_zero, everything),
            "batch_zero_moved_fraction": _share(self.batch_moved, self.batch_zero),
            "full_zero_fraction": _share(self.full_zero, everything),
            "full_zero_moved_fraction": _share(self.full_moved, self.full_zero),
            "dead_moved_fraction": _share(self.dead_moved, self.dead_seen),
            "came_back_fraction": _share(self.unit_back, self.unit_dead),
        }
