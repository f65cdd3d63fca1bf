"""Which parameters a metric speaks of: the reporting groups, and each layer's weights and biases. Knows names only."""

from __future__ import annotations

from collections.abc import Mapping

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
