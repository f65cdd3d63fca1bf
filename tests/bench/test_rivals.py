"""The rivals train the model that ours does: checked here for the loop, and for JAX at the start of every comparison."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.bench.agreement import TOLERANCE, deviation, loop_losses, write_problem
from tests.bench.measure import Worker, alternate
from tests.bench.rivals import torch_loop
from tests.bench.workloads import WORKLOADS


def test_loop_trains_the_same_model(tmp_path):
    workload = WORKLOADS["digits"]
    path = tmp_path / "problem.npz"
    before, after = write_problem(workload, path)
    with np.load(path) as file:
        problem = dict(file)
    assert deviation(before, after, loop_losses(workload, problem)) <= TOLERANCE
    # another order of batches is another training, and must not pass
    with pytest.raises(ValueError, match="another model"):
        deviation(before, after, loop_losses(workload, problem | {"order": problem["order"][::-1].copy()}))


def test_agreement_needs_losses_that_moved():
    with pytest.raises(ValueError, match="hardly moved"):
        deviation([2.3, 2.3], [2.3, 2.3], [2.3, 2.3])
    with pytest.raises(ValueError, match="another model"):
        deviation([2.3, 2.3], [1.0, 1.0], [1.0, float("nan")])
    assert deviation([2.3], [1.0], [1.000005]) == pytest.approx(5e-6)


def test_batches_of_the_loop_are_permutations():
    torch.manual_seed(0)
    batches = list(torch_loop.shuffled_batches(10, 3, 7))
    assert [len(batch) for batch in batches] == [3] * 7
    for epoch in (batches[:3], batches[3:6]):
        assert len(set(torch.cat(epoch).tolist())) == 9
    assert torch.cat(batches[:3]).tolist() != torch.cat(batches[3:6]).tolist()


class Recorder:
    """Stands for a contestant and notes when it is called."""

    def __init__(self, name, log):
        self.name, self.log = name, log

    def run(self, key):
        self.log.append((self.name, key))
        return {"seconds": float(len(self.log))}


def test_rounds_alternate():
    log = []
    a, b = Recorder("a", log), Recorder("b", log)
    timed = alternate([(a, "x"), (b, "x"), (a, "y")], 2)
    assert log == [("a", "x"), ("b", "x"), ("a", "y")] * 2
    assert timed["a", "y"]["seconds"] == [3.0, 6.0]


def test_a_worker_reports_what_went_wrong():
    worker = Worker("loop", {})
    try:
        with pytest.raises(RuntimeError, match="KeyError: 'nothing'"):
            worker.ask(run="nothing")
        with pytest.raises(RuntimeError, match="no_such_workload"):
            worker.ask(prepare="x", workload="no_such_workload")
    finally:
        worker.close()
    with pytest.raises((ValueError, BrokenPipeError)):
        worker.ask(run="nothing")
