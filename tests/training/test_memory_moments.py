"""Which moment of a block takes most, term by term, against tensors made for the purpose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from suite.config.numeric import Numeric
from suite.config.schema import Model
from suite.data import load
from suite.nets.initial import initial_parameters
from suite.nets.passes import example_slices
from suite.training.engine import network_of
from suite.training.memory import block_bytes
from tests.bench.engine import block_of
from tests.bench.workloads import WORKLOADS

NUMERIC = Numeric.of(block_of(WORKLOADS["digits"], 4, 3, path="eager").condition.config)
DATA = load(NUMERIC.data, "data")


def terms(numeric: Numeric, count: int, path: str, train: int | None = None) -> dict[str, int]:
    net = network_of(numeric, DATA)
    return block_bytes(numeric, net, len(DATA.train_x) if train is None else train, len(DATA.test_x), count, path)


def test_a_small_block_holds_most_while_the_data_are_made():
    train = DATA.train_x
    found = terms(NUMERIC, 2, "native")
    wide = train.astype(np.float64)
    assert found["data in float64, twice"] == 2 * wide.nbytes
    assert found["data"] == wide.astype(np.float32).nbytes
    assert set(found) == {"data", "data in float64, twice"}


def test_a_wide_network_holds_most_while_it_is_asked_whether_it_diverged():
    numeric = replace(NUMERIC, model=Model(hidden=[512]))
    found = terms(numeric, 64, "native", train=500)
    parameters, _ = initial_parameters(network_of(numeric, DATA), numeric.model, 0, range(64), torch.device("cpu"), torch.float32)
    weight = parameters["layer1.weight"]
    same = weight == weight
    assert found["check for divergence"] == weight.abs().nbytes + 3 * same.nbytes


def test_a_convolutional_pass_holds_two_slices():
    numeric = replace(NUMERIC, model=Model(name="cnn", hidden=[32], channels=[64]))
    net = network_of(numeric, DATA)
    found = terms(numeric, 2, "eager", train=6000)
    parameters, _ = initial_parameters(net, numeric.model, 0, range(2), torch.device("cpu"), torch.float32)
    first = example_slices(net, 6000)[0]
    assert first.stop < 6000
    seen = net.forward(parameters, {}, torch.zeros(2, first.stop, 64), training=False)
    slice_ = sum(value.nbytes for value in (*seen.pre, *seen.post))
    magnitudes = max(value.nbytes for value in seen.post)
    assert found["a pass's activations"] == 2 * slice_ + magnitudes + 2 * 6000 * 10 * 4
