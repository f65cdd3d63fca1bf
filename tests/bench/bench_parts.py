"""Parts of the engine by themselves, timed by pytest-benchmark under ``make bench``; plain pytest does not collect this file."""

from __future__ import annotations

import itertools

import pytest
import torch

from suite.config.numeric import Numeric
from suite.nets.initial import initial_parameters
from suite.streams import BatchOrder
from suite.training.engine import network_of
from tests.bench.engine import SEED, block_of, dataset_of
from tests.bench.workloads import WORKLOADS

WORKLOAD, REPLICATES = WORKLOADS["digits"], 32


@pytest.fixture(scope="module")
def dataset():
    return dataset_of(WORKLOAD)


@pytest.fixture(scope="module")
def net(dataset):
    return network_of(numeric(), dataset)


def numeric() -> Numeric:
    return Numeric.of(block_of(WORKLOAD, 1, 1).condition.config)


def test_initial_parameters(benchmark, net):
    model = numeric().model
    parameters, _ = benchmark(initial_parameters, net, model, SEED, range(REPLICATES), torch.device("cpu"), torch.float32)
    assert all(len(value) == REPLICATES for value in parameters.values())


def test_batches_of_one_epoch(benchmark, dataset):
    seeds = itertools.count()  # an order drawn once is kept

    def drawn():
        return BatchOrder(next(seeds), range(REPLICATES), len(dataset.train_x), WORKLOAD.batch).epoch(0)

    assert benchmark(drawn).shape[0] == REPLICATES


@pytest.mark.parametrize("steps", [1, 100])
def test_block_of_steps(benchmark, dataset, steps):
    """The block of one step is what a block costs before it trains: data, start and two evaluations."""
    call = calls_of(block_of(WORKLOAD, REPLICATES, steps), dataset)
    call()  # the compiled step is loaded once
    assert benchmark(call)["seconds"] > 0
