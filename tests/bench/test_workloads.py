"""The arithmetic and the bytes of a workload, against what torch counts and holds."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from suite.config.numeric import Numeric
from suite.data import load
from suite.training.engine import network_of, train
from tests.bench.engine import block_of
from tests.bench.rivals.torch_loop import mlp
from tests.bench.workloads import WORKLOADS, memory


@pytest.mark.parametrize("name", WORKLOADS)
def test_flops_and_parameters_are_what_torch_counts(name):
    workload = WORKLOADS[name]
    model = mlp(workload.sizes)
    assert workload.parameters == sum(parameter.numel() for parameter in model.parameters())
    x, y = torch.zeros(workload.batch, workload.sizes[0]), torch.zeros(workload.batch, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        torch.nn.functional.cross_entropy(model(x), y).backward()
    assert workload.flops == counter.get_total_flops()


def test_predicted_bytes_are_those_of_the_tensors():
    """Parameters, velocity and the activations of an evaluation as the engine holds them, for five replicates."""
    workload = WORKLOADS["digits"]
    block = block_of(workload, 5, 3)
    numeric = Numeric.of(block.condition.config)
    dataset = load(numeric.data, "data")
    _, state = train(block, dataset)
    data = dataset.tensors(torch.device("cpu"), torch.float32)
    terms = memory(workload, 5, 5, len(data.train_x), len(data.test_x), 3)

    assert terms["parameters"] == terms["gradients"] == sum(value.nbytes for value in state.parameters.values())
    assert terms["optimizer memory"] == sum(value.nbytes for value in state.stepper.memory.values())
    passes = [
        network_of(numeric, dataset).forward(state.parameters, {}, inputs.expand(5, -1, -1), training=False)
        for inputs in (data.train_x, data.test_x)
    ]
    held = sum(value.nbytes for seen in passes for value in (*seen.pre, *seen.post, seen.output))
    assert terms["evaluation activations"] == held + passes[0].post[0].abs().nbytes
    chosen = torch.zeros(5, workload.batch, dtype=torch.int64)
    assert terms["batch"] == data.train_x[chosen].nbytes + data.train_y[chosen].nbytes
    # one epoch of digits has 22 batches of 64, so three steps need one permutation
    assert terms["batch order"] == 5 * 8 * (len(data.train_x) + 3 * 64)
    twice = memory(workload, 10, 5, len(data.train_x), len(data.test_x), 3)
    assert twice["parameters"] == 2 * terms["parameters"]
    assert twice["evaluation activations"] == terms["evaluation activations"]
