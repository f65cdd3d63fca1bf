"""Which parameters a metric speaks of: the reporting groups, each layer's weights and biases, a unit's outgoing weights. Adds
figures of single parameters up to those of a part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

import torch
from torch import Tensor

from suite.probes.views import Layout


def layer_members(layout: Layout) -> dict[str, tuple[str, ...]]:
    """Weight and bias of every hidden layer (``layer1`` …) and of the output layer (``output``), in that order. A norm's and
    PReLU's parameters belong to no layer here.
    """
    names = [name for members in layout.groups.values() for name in members]
    found = {
        part: tuple(f"{part}.{kind}" for kind in ("weight", "bias") if f"{part}.{kind}" in names) for part in (*layout.layers, "output")
    }
    return {part: members for part, members in found.items() if members}


def joined(values: Mapping[str, Tensor], members: tuple[str, ...]) -> Tensor:
    """[replicate, every element of the members]."""
    return torch.cat([values[name].flatten(1) for name in members], dim=1)


def over_inputs(units: Tensor, rows: int) -> Tensor:
    """[replicate, unit] -> [replicate, input]: each unit's value for all those of the ``rows`` inputs of the next layer's weight
    that come from it. They stand together and are equally many for every unit (one, unless the unit is a channel).
    """
    return units if units.shape[1] == rows else units.repeat_interleave(rows // units.shape[1], dim=1)


class Parts:
    """Figures of parts from figures of parameters, so that no element is read once per part it belongs to.

    ``values`` gives the order of the parameters, their sizes and where they lie.
    """

    def __init__(self, parts: Mapping[str, tuple[str, ...]], values: Mapping[str, Tensor]) -> None:
        self.names = tuple(parts)
        order = {name: row for row, name in enumerate(values)}
        device = next(iter(values.values())).device
        rows = [[order[name] for name in members] for members in parts.values()]
        self.identity = rows == [[row] for row in range(len(values))]
        self.rows, self.device = rows, device
        elements = [sum(values[name][0].numel() for name in members) for members in parts.values()]
        self.elements = torch.tensor(elements, dtype=torch.float64, device=device)[:, None, None]

    @cached_property
    def _pairs(self) -> tuple[Tensor, Tensor]:
        """A part and a parameter in it, for each such pair."""
        pairs = [(part, row) for part, rows in enumerate(self.rows) for row in rows]
        part, row = torch.tensor(pairs, device=self.device).unbind(1)
        return part, row

    @cached_property
    def _padded(self) -> Tensor:
        """[part, member]; shorter lists repeat their last row, which a maximum does not mind."""
        longest = max(map(len, self.rows))
        return torch.tensor([rows + rows[-1:] * (longest - len(rows)) for rows in self.rows], device=self.device)

    def total(self, figures: Tensor) -> Tensor:
        """[part, …] sums of [parameter, …], one parameter after the other: the bits do not depend on what stands beside them."""
        if self.identity:
            return figures
        part, row = self._pairs
        summed = torch.zeros((len(self.names), *figures.shape[1:]), dtype=figures.dtype, device=figures.device)
        return summed.index_add_(0, part, figures[row])

    def largest(self, figures: Tensor) -> Tensor:
        """[part, …] maxima of [parameter, …]."""
        return figures if self.identity else figures[self._padded].amax(dim=1)

    def named(self, metric: str, figures: Iterable[Tensor]) -> dict[str, Tensor]:
        """``metric.<part>`` for every row of [part, …]."""
        return {f"{metric}.{name}": row for name, row in zip(self.names, figures, strict=True)}
