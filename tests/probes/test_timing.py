"""What clocks say, against a clock turned by hand; operations against torch's own counter; sparsity against NumPy."""

from __future__ import annotations

import time
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from test_units import LAYOUT, evaluation
from torch.utils.flop_counter import FlopCounterMode

from suite.config.schema import Data, Model, Optimizer, Probes, Remedy, Start, Train
from suite.data import load
from suite.nets.initial import initial_parameters
from suite.nets.mlp import Mlp
from suite.probes.operations import gradient_flops, parameters_of, step_flops
from suite.probes.timing import Timing
from suite.training.clock import Clock
from suite.training.curvature import Problem, count_parameters, flatten, gradient, hessian_vector
from suite.training.engine import train
from suite.training.losses import LOSSES
from suite.vocabulary import Block, Condition

SMALL = replace(LAYOUT, layers=("layer1",), widths=(5,), inputs=3, outputs=4, batch_size=7, escape_loss=0.5)


def seen(step: int, losses: list[float], **worked: float):
    view = evaluation([[1.0]] * len(losses), step=step)
    clocks = dict.fromkeys(("order", "train", "watch", "evaluate", "probe"), 0.0) | worked
    return replace(view, train_loss=torch.tensor(losses), worked=clocks, optimizer_state={"held": torch.tensor(64)})


def test_targets_and_the_least_of_the_stretches():
    probe = Timing(SMALL)
    assert probe.evaluate(seen(0, [2.0, 2.0], evaluate=0.5))["reached_target"].tolist() == [0, 0]
    # the second stretch of ten steps is quicker in training, the first in the pass
    assert probe.evaluate(seen(10, [0.4, 0.9], train=3.0, watch=0.1, evaluate=0.7, probe=0.1))["reached_target"].tolist() == [1, 0]
    probe.evaluate(seen(20, [0.9, 0.6], train=4.0, watch=0.3, evaluate=1.5, probe=0.2))
    found = {name: value.tolist() for name, value in probe.finish().items()}
    assert found["steps_to_target"] == [10, 20]
    assert found["time.seconds_to_target"] == [3.0, 4.0]
    expected = {
        "steps": 20,
        "parameters": 3 * 5 + 5 + 5 * 4 + 4,
        "held_bytes": 32,
        "time.train_seconds": 4.0,
        "time.step_seconds": 0.1,
        "time.watched_step_seconds": 0.12,
        "time.observed_step_seconds": (1.0 + 0.2 + 0.8 + 0.1) / 10,
        "time.evaluate_share": 0.02 / 0.1,
        "time.probe_share": 0.02 / 0.1,
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx([value, value]), name
    assert set(found) == set(probe.summaries())


def test_the_thread_clock_stands_still_while_the_thread_does():
    clock = Clock(torch.device("cpu"))
    with clock("evaluate"):
        time.sleep(0.05)
    with clock("train"):
        began = time.thread_time()
        while time.thread_time() - began < 0.02:
            pass
    assert clock.wall["evaluate"] >= 0.05
    assert clock.worked["evaluate"] < 0.02
    assert 0.02 <= clock.worked["train"] <= clock.wall["train"] + 0.005
    timings = clock.timings(4, 3, 2)
    assert timings["step_seconds"] == pytest.approx(clock.wall["train"] / 4)
    assert timings["samples_per_second"] == pytest.approx(6 * timings["step_seconds"] ** -1)


def problem(hidden: tuple[int, ...], examples: int = 7):
    net = Mlp.of(Model(hidden=list(hidden), activation="tanh"), 3, 4)
    parameters, buffers = initial_parameters(net, Model(hidden=list(hidden)), 0, range(2), torch.device("cpu"), torch.float64)
    x, y = torch.randn(2, examples, 3, dtype=torch.float64), torch.zeros(2, examples, dtype=torch.int64)
    return Problem(net, LOSSES["cross_entropy"], x, y, buffers), flatten(net, parameters)


@pytest.mark.parametrize("hidden", [(5,), (5, 6), ()])
def test_operations_are_those_torch_counts(hidden):
    """torch's counter sees every matrix product that is run: for two networks, a gradient and a Hessian-vector product."""
    at, flat = problem(hidden)
    sizes = (3, *hidden, 4)
    assert parameters_of(sizes) == count_parameters(at.net)
    with FlopCounterMode(display=False) as counted:
        gradient(at, flat)
    assert counted.get_total_flops() == 2 * gradient_flops(sizes, 7)
    with FlopCounterMode(display=False) as counted:
        hessian_vector(at, flat, flat)
    layout = replace(SMALL, widths=hidden, optimizer=Optimizer(name="cauchy"))
    along = step_flops(layout) - gradient_flops(sizes, 7)
    # the formula counts two products for one, also where the inputs have no derivative
    assert 0.6 * 2 * along <= counted.get_total_flops() <= 2 * along


def test_full_matrices_cost_parameters_cubed_in_the_end():
    def flops(name: str, width: int) -> int:
        return step_flops(replace(SMALL, widths=(width,), optimizer=Optimizer(name=name)))

    for name, power in (("sgd", 1), ("cauchy", 1), ("lbfgs", 1), ("kfac", 3), ("gauss_newton", 3), ("saddle_free_newton", 3)):
        assert np.log2(flops(name, 2**15) / flops(name, 2**14)) == pytest.approx(power, abs=0.01), name


def test_sparsity_is_the_share_of_exact_zeros():
    data = load(Data("blobs", examples=40, features=3), "data")
    config = {
        "precision": "float64",
        "data": asdict(Data("blobs", examples=40, features=3)),
        "model": asdict(Model(hidden=[6, 5])),
        "start": asdict(Start()),
        "optimizer": asdict(Optimizer()),
        "train": asdict(Train(steps=3, batch_size=8)),
        "remedy": asdict(Remedy()),
        "probes": asdict(Probes("bare", 2, ["sparsity"])),
        "engine": {"path": "eager"},
    }
    trace, state = train(Block(Condition("a", {}, config), 0, 3, 0, "cpu"), data)
    for replicate in range(3):
        x, zeros = data.train_x.astype(np.float64), []
        for layer in ("layer1", "layer2"):
            weight, bias = (state.parameters[f"{layer}.{part}"][replicate].numpy() for part in ("weight", "bias"))
            x = np.maximum(x @ weight + bias, 0)
            zeros.append((x == 0).mean())
            assert trace.finals[f"activation_sparsity.{layer}"][replicate] == pytest.approx(zeros[-1], abs=1e-12)
        assert trace.finals["activation_sparsity"][replicate] == pytest.approx((6 * zeros[0] + 5 * zeros[1]) / 11, abs=1e-12)
        assert 0.1 < trace.finals["activation_sparsity"][replicate] < 0.9
