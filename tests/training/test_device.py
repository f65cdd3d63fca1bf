"""The device path where there is no GPU: torch's meta device stands in, whose tensors know shapes and types and hold no
numbers. A step that looked at a number (``.item()``, ``if tensor``) or brought in a tensor from the CPU would raise.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from suite.config.choices import ACTIVATIONS
from suite.config.numeric import Numeric
from suite.config.schema import Data, Model, Optimizer, Probes, Start, Train
from suite.data import Tensors, load
from suite.streams import BatchOrder
from suite.training import optimizers
from suite.training.eager import EagerSteps, State
from suite.training.engine import network_of
from suite.training.evaluate import Task, evaluate
from suite.training.losses import LOSSES

BASE = Numeric("float32", Data(subset=100), Model(hidden=[8, 8]), Start(), Optimizer(momentum=0.9), Train(10, 16), Probes())
VARIANTS = {
    "momentum": BASE,
    "adam": replace(BASE, optimizer=Optimizer(name="adam", weight_decay=0.1)),
    "batchnorm": replace(BASE, model=Model(hidden=[8, 8], norm="batch")),
    "layernorm": replace(BASE, model=Model(hidden=[8, 8], norm="layer")),
    "squared": replace(BASE, train=Train(10, 16, "squared_error")),
    **{name: replace(BASE, model=Model(hidden=[8], activation=name)) for name in ACTIVATIONS},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_steps_stay_on_the_device_and_never_wait_for_it(name):
    numeric = VARIANTS[name]
    dataset = load(numeric.data, "data")
    net = network_of(numeric, dataset)
    indices = BatchOrder(0, range(3), 100, 16).stretch(0, 10)
    meta = torch.device("meta")

    def empty(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device=meta)

    data = Tensors(empty(100, 64), empty(100, dtype=torch.int64), empty(40, 64), empty(40, dtype=torch.int64))
    task = Task(net, data, LOSSES[numeric.train.loss], True)
    parameters = {key: empty(3, *shape) for key, shape in net.parameter_shapes().items()}
    buffers = {key: empty(3, *shape) for key, shape in net.buffer_shapes().items()}
    state = State(parameters, buffers, optimizers.build(numeric.optimizer, parameters), empty(3, dtype=torch.int64))
    stretch = EagerSteps(task, {"grad_peak", "batch_dead"}).run(state, indices, 0)
    seen = evaluate(task, state.parameters, state.buffers)
    kept = [*state.parameters.values(), *stretch.grad_peak.values(), stretch.batch_dead, state.diverged_at, seen.train_loss]
    assert {value.device.type for value in kept} == {"meta"}
    # the stand-in does notice: a look at a number is refused, and so is a tensor from elsewhere
    with pytest.raises(RuntimeError):
        float(seen.train_loss.sum())
    with pytest.raises(RuntimeError):
        seen.train_loss + torch.ones(3)
