"""What training does in its last steps: stands still, repeats itself, still goes down, or moves irregularly.

Standing still and repeating are exact: the whole parameter vector, bit by bit. What does not repeat within the window is sorted
by its loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from suite.probes.views import Evaluation, Layout, Quiet, Stretch, Watch

#: Below this share of steps on which the loss rises, training is still going down.
DRIFT = 0.05
#: Frequencies of the 0-1 test.
FREQUENCIES = 100
_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def zero_one_test(series: NDArray[np.float64]) -> NDArray[np.float64]:
    """K of the 0-1 test for chaos (Gottwald and Melbourne 2009) for each series [series, time] → [series]: near 0 for regular, near 1 for
    chaotic (or random) motion; 0 for a constant. The series drives a rotation by an angle c; K is the correlation with
    time of its mean square displacement, less the oscillating term, the median over 100 angles in (π/5, 4π/5).
    """
    length = series.shape[1]
    if length < 8:  # too short to tell; a window of a real run is at least 64
        return np.zeros(len(series))
    lags = np.arange(1, max(length // 10, 2) + 1)
    spread = series.std(axis=1, keepdims=True)
    scaled = np.where(spread > 0, (series - series.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0), 0.0)
    # spread evenly without a period of their own: multiples of the golden ratio
    angles = math.pi / 5 + (np.arange(1, FREQUENCIES + 1) * (math.sqrt(5) - 1) / 2 % 1) * 3 * math.pi / 5
    found = np.empty((FREQUENCIES, len(series)))
    kept = length - len(lags)
    for row, angle in enumerate(angles):
        turn = np.cumsum(scaled * np.exp(1j * angle * np.arange(1, length + 1)), axis=1)
        moved = np.stack([(np.abs(turn[:, lag : lag + kept] - turn[:, :kept]) ** 2).mean(axis=1) for lag in lags], axis=1)
        moved = moved - scaled.mean(axis=1, keepdims=True) ** 2 * (1 - np.cos(lags * angle)) / (1 - math.cos(angle))
        aside = moved - moved.mean(axis=1, keepdims=True)
        time = lags - lags.mean()
        size = np.sqrt((aside**2).sum(axis=1) * (time**2).sum())
        found[row] = np.where(size > 0, aside @ time / np.where(size > 0, size, 1.0), 0.0)
    return np.asarray(np.median(found, axis=0), dtype=np.float64)


class Late(Quiet):
    """Of the last ``probes.late_steps`` steps (or all there are), at the end: ``late_period``, the smallest number of steps after
    which, and after every multiple of which, every parameter has the bits it had at the window's beginning (0: no such
    number); ``late_rises_share``, the share of steps on which the mini-batch loss rose; ``late_chaos``, K of the 0-1 test on its
    changes. And exactly one of these is 1, the others 0:

    - ``late_static``: period 1; ``late_periodic``: a period of 2 or more;
    - ``late_drifting``: no period and the loss rises on at most 5 % of the steps: training is still going down;
    - ``late_regular``: no period, rises, and K ≤ ½; ``late_chaotic``: no period, rises, and K > ½.

    With the full training set as batch and SGD without momentum the next step is a function of the parameters, so what has repeated
    once repeats for ever. With mini-batches or stochastic rounding a repetition is a coincidence and K near 1 may be noise.
    """

    def __init__(self, layout: Layout) -> None:
        self.first = max(layout.steps - layout.late_steps, 0)
        self.taken = 0
        self.origin: dict[str, Tensor] = {}
        self.period: Tensor | None = None
        self.losses: list[Tensor] = []

    def columns(self) -> tuple[str, ...]:
        """No curves."""
        return ()

    def summaries(self) -> tuple[str, ...]:
        """The class and what it rests on."""
        kinds = ("late_static", "late_periodic", "late_drifting", "late_regular", "late_chaotic")
        return ("late_period", "late_rises_share", "late_chaos", *kinds)

    def watches(self) -> frozenset[Watch]:
        """Every step with its loss and what it leaves behind."""
        return frozenset({"losses", "every_step"})

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """No curves; a window as long as the run begins here."""
        if self.taken == 0 and self.first == 0:
            self._begin(view.parameters)
        return {}

    def _begin(self, parameters: Mapping[str, Tensor]) -> None:
        self.origin = {name: value.detach().clone() for name, value in parameters.items()}

    def after_steps(self, stretch: Stretch) -> None:
        """Compares with the beginning of the window."""
        assert stretch.losses is not None and stretch.parameters is not None
        self.taken += 1
        if self.taken <= self.first:
            if self.taken == self.first:
                self._begin(stretch.parameters)
            return
        self.losses.append(stretch.losses[:, -1])
        bits = _BITS[stretch.parameters["output.bias"].element_size()]
        same = torch.stack(
            [(value.view(bits) == self.origin[name].view(bits)).flatten(1).all(dim=1) for name, value in stretch.parameters.items()]
        ).all(dim=0)
        if self.period is None:
            self.period = torch.zeros_like(same, dtype=torch.float64)
        at = float(self.taken - self.first)
        # what came back once must come back every time
        missed = (self.period > 0) & (at % self.period.clamp(min=1) == 0) & ~same
        self.period = torch.where(same & (self.period == 0), at, torch.where(missed, 0.0, self.period))

    def finish(self) -> dict[str, Tensor]:
        """Sorts every replicate into one class."""
        if self.period is None:
            return {}
        losses = torch.stack(self.losses, dim=1).double()
        rises = (losses[:, 1:] > losses[:, :-1]).double().mean(dim=1)
        finite = torch.where(torch.isfinite(losses), losses, 0.0).cpu().numpy()
        # the test is for a stationary series: the change of the loss, a function of the weights like the loss, has no trend
        chaos = torch.from_numpy(zero_one_test(np.diff(finite, axis=1))).to(rises.device)
        aperiodic = self.period == 0
        rising = aperiodic & (rises > DRIFT)
        kinds = {
            "late_static": self.period == 1,
            "late_periodic": self.period > 1,
            "late_drifting": aperiodic & ~rising,
            "late_regular": rising & (chaos <= 0.5),
            "late_chaotic": rising & (chaos > 0.5),
        }
        found = {"late_period": self.period, "late_rises_share": rises, "late_chaos": chaos}
        return found | {name: flags.double() for name, flags in kinds.items()}
