"""Single units of the first few replicates over time: dead or alive, and how the pre-activations of their layer are spread."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from suite.probes.units import REVIVED_ABOVE
from suite.probes.views import Evaluation, Layout, Quiet

#: States of a unit: dead as ``dead_fraction`` counts it, alive as a revival counts, or above zero by rounding alone.
DEAD, ALIVE, BARELY = 0.0, 1.0, 2.0
#: Columns and the ranks they show.
QUANTILES = {"pre_q05": 0.05, "pre_q25": 0.25, "pre_q50": 0.5, "pre_q75": 0.75, "pre_q95": 0.95}


def states(top: Tensor) -> Tensor:
    """DEAD, ALIVE or BARELY by a unit's largest pre-activation over the training set [..., unit], in int8.

    >>> states(torch.tensor([-1.0, 0.0, 1e-9, 1e-3])).tolist()
    [0, 0, 2, 1]
    """
    return torch.where(top <= 0, DEAD, torch.where(top > REVIVED_ABOVE, ALIVE, BARELY)).to(torch.int8)


def quantiles(values: Tensor) -> Tensor:
    """[replicate, …] → [rank, replicate] of all elements, by the nearest rank, so that each is a value that occurs; in float32.

    >>> quantiles(torch.arange(101.0)[None]).tolist()
    [[5.0], [25.0], [50.0], [75.0], [95.0]]
    """
    flat = values.flatten(1).float().cpu().numpy()
    ranks = [round(rank * (flat.shape[1] - 1)) for rank in QUANTILES.values()]
    # a few ranks of many values: a partition takes a third of a sort's time
    return torch.from_numpy(np.partition(flat, ranks, axis=1)[:, ranks].T.copy())


class UnitCourse(Quiet):
    """Per hidden layer and evaluation: ``state`` of every unit over the whole training set (DEAD, ALIVE, BARELY); the quantiles
    ``pre_q05`` … ``pre_q95`` of the pre-activations of all units of the layer on a sample of training examples; and ``pre_max``, the
    largest over the whole training set, not above zero exactly where the layer is dead. As training sees them, the sample with
    BatchNorm by its own statistics; of a channel the largest over its positions.
    """

    def __init__(self, layout: Layout) -> None:
        self.layers = layout.layers
        self.seen: dict[str, list[Tensor]] = {}

    def columns(self) -> tuple[str, ...]:
        """No curves."""
        return ()

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Notes the units as they are."""
        if not view.followed:
            return {}
        sampled = [torch.stack(rows) for rows in zip(*view.sample(), strict=True)]
        for index, (layer, units) in enumerate(zip(self.layers, view.units, strict=True)):
            top = units.max_pre[: view.followed]
            self._note(f"state.{layer}", states(top).cpu())
            for column, values in zip(QUANTILES, quantiles(sampled[index]), strict=True):
                self._note(f"{column}.{layer}", values)
            self._note(f"pre_max.{layer}", top.amax(dim=1).float().cpu())
        return {}

    def _note(self, name: str, values: Tensor) -> None:
        self.seen.setdefault(name, []).append(values)

    def units(self) -> dict[str, Tensor]:
        """Over the evaluations."""
        return {name: torch.stack(values, dim=1) for name, values in self.seen.items()}
