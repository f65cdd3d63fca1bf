"""The arithmetic and the bytes of a workload, against what torch counts and holds."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.bench.rivals.torch_loop import mlp
from tests.bench.workloads import WORKLOADS


@pytest.mark.parametrize("name", WORKLOADS)
def test_flops_and_parameters_are_what_torch_counts(name):
    workload = WORKLOADS[name]
    model = mlp(workload.sizes)
    assert workload.parameters == sum(parameter.numel() for parameter in model.parameters())
    x, y = torch.zeros(workload.batch, workload.sizes[0]), torch.zeros(workload.batch, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        torch.nn.functional.cross_entropy(model(x), y).backward()
    assert workload.flops == counter.get_total_flops()
