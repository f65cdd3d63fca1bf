"""What sets two stacks of parameters apart, parameter by parameter. Knows no network; the compiled form is in training."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


@torch.no_grad()
def differences(now: Mapping[str, Tensor], then: Mapping[str, Tensor] | None = None) -> Tensor:
    """[parameter, 2, replicate], in float64 and in the order of ``now``: how many elements differ from those of ``then`` (from zero,
    where there is none), and the sum of their squared differences. NaN differs from everything.
    """
    rows = []
    for name, value in now.items():
        here = value.detach().flatten(1)
        there = torch.zeros_like(here) if then is None else then[name].detach().flatten(1)
        apart = here.double() - there.double()
        rows.append(torch.stack([(here != there).sum(dim=1, dtype=torch.float64), (apart * apart).sum(dim=1)]))
    return torch.stack(rows)
