"""Which parameters a metric speaks of: the reporting groups, and each layer's weights and biases. Adds figures of single
parameters up to those of a part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
        self.sources = torch.tensor([row for members in rows for row in members], device=device)
        self.targets = torch.tensor([part for part, members in enumerate(rows) for _ in members], device=device)
        # shorter lists repeat their last row, which a maximum does not mind
        longest = max(map(len, rows))
        self.padded = torch.tensor([members + members[-1:] * (longest - len(members)) for members in rows], device=device)
        elements = [sum(values[name][0].numel() for name in members) for members in parts.values()]
        self.elements = torch.tensor(elements, dtype=torch.float64, device=device)[:, None]

    def total(self, figures: Tensor) -> Tensor:
        """[part, …] sums of [parameter, …], one parameter after the other: the bits do not depend on what stands beside them."""
        if self.identity:
            return figures
        summed = torch.zeros((len(self.names), *figures.shape[1:]), dtype=figures.dtype, device=figures.device)
        return summed.index_add_(0, self.targets, figures[self.sources])

    def largest(self, figures: Tensor) -> Tensor:
        """[part, …] maxima of [parameter, …]."""
        return figures if self.identity else figures[self.padded].amax(dim=1)

    def named(self, metric: str, figures: Iterable[Tensor]) -> dict[str, Tensor]:
        """``metric.<part>`` for every row of [part, replicate]."""
        return {f"{metric}.{name}": row for name, row in zip(self.names, figures, strict=True)}
