"""The path through torch.compile against torch.nn and torch.optim, and bit for bit against itself in other company."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from test_against_torch import BASE, OPTIMIZERS, flat_module, flat_stack, trained_alone
from test_invariants import same_bits

from suite.config.choices import ACTIVATIONS
from suite.config.numeric import Numeric
from suite.config.schema import Data, Engine, Model, Optimizer, Probes, Train
from suite.data import load
from suite.nets.initial import initial_parameters
from suite.streams import BatchOrder
from suite.training import optimizers
from suite.training.compiled import CompiledSteps, available
from suite.training.eager import EagerSteps, State
from suite.training.engine import DTYPES, network_of, train
from suite.training.evaluate import Task
from suite.training.losses import LOSSES
from suite.training.paths import path_of, steps_of, why_not_compiled
from suite.vocabulary import Block, Condition

STEPS, COUNT = 12, 3
SHORT = replace(BASE, train=Train(STEPS, 32), engine=Engine("compiled"))


def stretch_of(numeric: Numeric, path: str = "compiled"):
    """A stretch of all the steps; and the network, the task, the state after it, the start and the batch order."""
    dataset = load(numeric.data, "data")
    dtype = DTYPES[numeric.precision]
    net = network_of(numeric, dataset)
    task = Task(net, dataset.tensors(torch.device("cpu"), dtype), LOSSES[numeric.train.loss], dataset.classes is not None)
    parameters, buffers = initial_parameters(net, numeric.model, 11, range(COUNT), torch.device("cpu"), dtype)
    first = {name: value.clone() for name, value in parameters.items()}
    state = State(parameters, buffers, optimizers.build(numeric.optimizer, parameters), torch.full((COUNT,), -1))
    order = BatchOrder(11, range(COUNT), len(task.data.train_x), numeric.train.batch_size)
    steps = steps_of(replace(numeric, engine=Engine(path)), task, frozenset({"batch_dead", "grad_peak"}))
    assert type(steps) is {"compiled": CompiledSteps, "eager": EagerSteps}[path]
    return steps.run(state, order.stretch(0, numeric.train.steps), 0), net, task, state, first, order


def compare(numeric: Numeric, rtol: float = 1e-8, atol: float = 1e-10) -> None:
    """Weights and running statistics after the steps by torch's own modules; what probes see on the way by the eager path."""
    seen, net, task, state, first, order = stretch_of(numeric)
    for replicate in range(COUNT):
        network, _ = trained_alone(numeric, net, task.data, first, order, replicate)
        np.testing.assert_allclose(flat_stack(net, state.parameters, replicate), flat_module(net, network), rtol=rtol, atol=atol)
        assert not np.array_equal(flat_stack(net, state.parameters, replicate), flat_stack(net, first, replicate))
        norms = [layer for layer in network if isinstance(layer, torch.nn.BatchNorm1d)]
        assert len(norms) == (len(net.layers) if net.norm == "batch" else 0)
        for layer, norm in zip(net.layers, norms, strict=False):
            np.testing.assert_allclose(state.buffers[f"{layer}.running_mean"][replicate], norm.running_mean, rtol=rtol, atol=atol)
            np.testing.assert_allclose(state.buffers[f"{layer}.running_var"][replicate], norm.running_var, rtol=rtol, atol=atol)
    general = stretch_of(numeric, "eager")[0]
    pairs = [(seen.losses, general.losses), (seen.batch_dead, general.batch_dead), *zip(seen.pre, general.pre, strict=True)]
    pairs += [*zip(seen.variance, general.variance, strict=True)]
    pairs += [
        (mine[name], theirs[name])
        for mine, theirs in ((seen.gradients, general.gradients), (seen.grad_peak, general.grad_peak))
        for name in theirs
    ]
    for mine, theirs in pairs:
        np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=atol)


def test_it_is_available_here():
    assert available("cpu") is None


#: Every norm in both places at least once.
NORMS = [("none", "before"), ("batch", "before"), ("layer", "after"), ("batch", "after"), ("layer", "before")]


@pytest.mark.parametrize(("activation", "norm"), [(name, NORMS[k % len(NORMS)]) for k, name in enumerate(ACTIVATIONS)])
def test_every_activation_and_norm_follows_torch(activation, norm):
    model = Model(hidden=[12, 7], activation=activation, negative_slope=0.1, norm=norm[0], norm_position=norm[1])
    compare(replace(SHORT, model=model))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_follows_torch_optim(name):
    compare(replace(SHORT, optimizer=OPTIMIZERS[name]))


@pytest.mark.parametrize("loss", ["squared_error", "hinge"])
def test_other_losses_and_skips(loss):
    compare(replace(SHORT, train=Train(STEPS, 32, loss), model=Model(hidden=[9, 9], skip=True)))


def test_float32_follows_within_its_rounding():
    compare(replace(SHORT, precision="float32"), rtol=2e-4, atol=2e-5)


ODD = replace(
    BASE,
    precision="float32",
    data=Data(subset=299),
    model=Model(hidden=[13, 7], activation="sigmoid"),
    train=Train(8, 5),
    probes=Probes("full", 4),
    engine=Engine("compiled"),
)
COMPANY = {
    "sigmoid": ODD,
    "relu": replace(ODD, model=Model(hidden=[32]), train=Train(8, 64), optimizer=Optimizer("adam", lr=0.01)),
    "gelu_batch": replace(ODD, model=Model(hidden=[13, 7], activation="gelu", norm="batch")),
    "tanh_layer_float64": replace(ODD, precision="float64", model=Model(hidden=[7], activation="tanh", norm="layer")),
}


@pytest.mark.parametrize("name", COMPANY)
def test_a_replicate_is_the_same_alone_or_together(name):
    """R = 8, 3 and 1: odd sizes leave a remainder of every vector, another one for every R."""

    def trained(first: int, count: int):
        return train(Block(Condition("c", {}, asdict(COMPANY[name])), first, count, 3, "cpu"), load(COMPANY[name].data, "data"))

    trace, whole = trained(0, 8)
    for first, count in ((5, 3), (2, 1)):
        part_trace, part = trained(first, count)
        rows = slice(first, first + count)
        for of, full in ((part.parameters, whole.parameters), (part.buffers, whole.buffers)):
            for key, value in of.items():
                assert same_bits(value, full[key][rows]), (key, first, count)
        for key, curve in part_trace.curves.items():
            np.testing.assert_array_equal(curve, trace.curves[key][rows], err_msg=key)
    assert not same_bits(whole.parameters["output.weight"][0], whole.parameters["output.weight"][1])


def test_it_is_taken_only_when_asked_for_and_only_where_it_serves():
    dataset = load(SHORT.data, "data")
    net = network_of(SHORT, dataset)
    assert path_of(SHORT, net, "cpu") == "compiled"
    assert path_of(replace(SHORT, engine=Engine("auto")), net, "cuda") == "eager"
    assert why_not_compiled(SHORT, net) is None
    for other in (
        replace(SHORT, precision="bfloat16"),
        replace(SHORT, optimizer=Optimizer("newton")),
        replace(SHORT, model=Model(hidden=[])),
        replace(SHORT, model=Model(name="cnn")),
        replace(SHORT, train=Train(STEPS, 32, clip=1.0)),
    ):
        assert why_not_compiled(other, network_of(other, dataset)) is not None


def test_without_a_compiler_there_is_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "from suite.training.compiled import available; print(available('cpu'))"],
        env={**os.environ, "CXX": "/nowhere/c++", "XDG_CACHE_HOME": str(tmp_path), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("torch.compile fails: ") and len(done.stdout.splitlines()) == 1
