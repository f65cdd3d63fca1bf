"""The predicted bytes of a block against those of the tensors it holds and against what a process grew by."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from suite.config.numeric import Numeric
from suite.config.schema import Optimizer, Probes, Train
from suite.data import load
from suite.training.engine import network_of, train
from suite.training.memory import block_bytes, predictable
from tests.bench.engine import block_of
from tests.bench.memory import ENVIRONMENT
from tests.bench.workloads import WORKLOADS

BLOCK = block_of(WORKLOADS["digits"], 5, 3, path="eager")
NUMERIC = Numeric.of(BLOCK.condition.config)
DATA = load(NUMERIC.data, "data")
NET = network_of(NUMERIC, DATA)


def terms(count: int = 40, path: str = "eager", numeric: Numeric = NUMERIC) -> dict[str, int]:
    return block_bytes(numeric, NET, len(DATA.train_x), len(DATA.test_x), count, path)


def test_terms_are_those_of_the_tensors():
    _, state = train(BLOCK, DATA)
    tensors = DATA.tensors(torch.device("cpu"), torch.float32)
    found = terms(5)
    assert found["parameters"] == sum(value.nbytes for value in state.parameters.values())
    assert found["optimizer memory"] == sum(value.nbytes for value in state.stepper.memory.values())
    assert found["data"] == tensors.train_x.nbytes + tensors.test_x.nbytes
    # one epoch of digits has 22 batches of 64, so three steps need one permutation
    assert found["batch order"] == 5 * 8 * len(tensors.train_x)
    seen = NET.forward(state.parameters, {}, tensors.train_x.expand(5, -1, -1), training=False)
    held = sum(value.nbytes for value in (*seen.pre, *seen.post, seen.output))
    assert found["a pass's activations"] == held + seen.post[0].abs().nbytes


def test_what_grows_with_what():
    plain, adam = terms(), terms(numeric=replace(NUMERIC, optimizer=Optimizer(name="adam")))
    assert adam["optimizer memory"] == 2 * plain["optimizer memory"] == 2 * plain["parameters"]
    assert terms(numeric=replace(NUMERIC, optimizer=Optimizer()))["optimizer memory"] == 0
    assert terms(80)["parameters"] == 2 * plain["parameters"]
    whole = replace(NUMERIC, train=Train(3, None))
    assert terms(numeric=whole)["batch order"] == 0
    assert predictable(NUMERIC)
    assert not predictable(replace(NUMERIC, probes=Probes(extra=["zeros"])))
    assert not predictable(replace(NUMERIC, optimizer=Optimizer(name="newton")))


@pytest.mark.parametrize("path", ["native", "eager"])
def test_a_process_grows_by_about_as_much(path):
    """Within a third: how near it really comes is the benchmark's to say."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.memory", "digits", "64", path],
        env={**os.environ, **ENVIRONMENT, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["growth"] == pytest.approx(sum(found["terms"].values()), rel=1 / 3)
