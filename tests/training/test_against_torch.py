"""The stacked engine against one network at a time: same numbers in, torch.nn and torch.optim, same numbers out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import reference
import torch

from suite.config.choices import ACTIVATIONS
from suite.config.numeric import Numeric
from suite.config.schema import Data, Model, Optimizer, Probes, Start, Train
from suite.data import load
from suite.nets.initial import initial_parameters
from suite.streams import BatchOrder
from suite.training import optimizers
from suite.training.eager import State, advance, backward, batch_of
from suite.training.engine import DTYPES, network_of
from suite.training.evaluate import Task, evaluate, full_gradients
from suite.training.losses import LOSSES

STEPS = 60
REPLICATES = range(2, 5)

OPTIMIZERS = {
    "sgd": Optimizer(lr=0.1),
    "momentum": Optimizer(lr=0.05, momentum=0.9),
    "nesterov": Optimizer(lr=0.05, momentum=0.9, nesterov=True),
    "sgd_l2": Optimizer(lr=0.1, weight_decay=0.02),
    "momentum_l2_biases": Optimizer(lr=0.05, momentum=0.9, weight_decay=0.1, decay_on="biases"),
    "sgd_decoupled": Optimizer(lr=0.1, weight_decay=0.05, decay="decoupled"),
    "momentum_decoupled_weights": Optimizer(lr=0.05, momentum=0.9, weight_decay=0.1, decay="decoupled", decay_on="weights"),
    "adam": Optimizer(name="adam", lr=0.01),
    "adam_l2": Optimizer(name="adam", lr=0.01, weight_decay=0.05),
    "adamw": Optimizer(name="adam", lr=0.01, weight_decay=0.05, decay="decoupled"),
    "adamw_biases": Optimizer(name="adam", lr=0.01, weight_decay=0.5, decay="decoupled", decay_on="biases"),
}

BASE = Numeric(
    "float64",
    Data(subset=200),
    Model(hidden=[12, 7]),
    Start(),
    OPTIMIZERS["momentum"],
    Train(steps=STEPS, batch_size=32),
    Probes(),
)


def trained_stack(numeric: Numeric):
    """Parameters after every step of the stacked engine, driven by its own public pieces."""
    dataset = load(numeric.data, "data")
    dtype = DTYPES[numeric.precision]
    net = network_of(numeric, dataset)
    data = dataset.tensors(torch.device("cpu"), dtype)
    task = Task(net, data, LOSSES[numeric.train.loss], dataset.classes is not None)
    parameters, buffers = initial_parameters(net, numeric.model, 11, REPLICATES, torch.device("cpu"), dtype)
    first = {name: value.clone() for name, value in parameters.items()}
    state = State(parameters, buffers, optimizers.build(numeric.optimizer, parameters), torch.full((3,), -1))
    order = BatchOrder(11, REPLICATES, len(data.train_x), numeric.train.batch_size)
    gradients = None
    for step in range(numeric.train.steps):
        batch = batch_of(data, torch.from_numpy(order.indices(step).copy()))
        _, taken, forward = backward(state, task, batch)
        gradients = gradients or taken
        advance(state, taken, forward, task, batch)
    return net, task, state, first, gradients, order


def trained_alone(numeric: Numeric, net, data, first, order, replicate: int):
    """One replicate through torch.nn and torch.optim."""
    network = reference.module(net, first, replicate, DTYPES[numeric.precision])
    optimizer = reference.optimizer_of(network, numeric)
    network.train()
    gradients = None
    for step in range(numeric.train.steps):
        chosen = torch.from_numpy(order.indices(step)[replicate].copy())
        optimizer.zero_grad(set_to_none=False)
        reference.loss_of(numeric.train.loss, network(data.train_x[chosen]), data.train_y[chosen]).backward()
        for parameter in network.parameters():
            # the suite's contract: an absent gradient is a zero gradient
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if gradients is None:
            gradients = [p.grad.clone() for p in network.parameters()]
        reference.shrink(network, numeric)
        optimizer.step()
    return network, gradients


def flat_stack(net, tensors, replicate: int) -> np.ndarray:
    """One replicate's tensors, each linear map in torch's orientation, sorted by name."""
    pieces = []
    for name in sorted(net.parameter_shapes()):
        value = tensors[name][replicate]
        pieces.append((value.T if name.endswith("weight") else value).reshape(-1))
    return torch.cat(pieces).numpy()


def flat_module(net, network, values=None) -> np.ndarray:
    """The module's parameters under the suite's names, in the same order."""
    named = {}
    taken = list(values) if values is not None else [p.detach() for p in network.parameters()]
    owners = [(layer, name) for layer in network for name, _ in layer.named_parameters(recurse=False)]
    hidden = iter((*net.layers, "output"))
    current = ""
    kinds = {"Linear": ("weight", "bias"), "BatchNorm1d": ("scale", "shift"), "LayerNorm": ("scale", "shift"), "PReLU": ("slope",) * 2}
    for (layer, name), value in zip(owners, taken, strict=True):
        kind = type(layer).__name__
        if kind == "Linear" and name == "weight":
            current = next(hidden)
        named[f"{current}.{kinds[kind][0 if name == 'weight' else 1]}"] = value.reshape(-1)
    return torch.cat([named[key] for key in sorted(named)]).numpy()


def compare(numeric: Numeric, rtol: float, atol: float) -> None:
    net, task, state, first, gradients, order = trained_stack(numeric)
    for replicate in range(len(REPLICATES)):
        network, alone = trained_alone(numeric, net, task.data, first, order, replicate)
        np.testing.assert_allclose(flat_stack(net, gradients, replicate), flat_module(net, network, alone), rtol=rtol, atol=atol)
        np.testing.assert_allclose(flat_stack(net, state.parameters, replicate), flat_module(net, network), rtol=rtol, atol=atol)
        assert not np.array_equal(flat_stack(net, state.parameters, replicate), flat_stack(net, first, replicate))
        network.eval()
        with torch.no_grad():
            expected = reference.loss_of(numeric.train.loss, network(task.data.train_x), task.data.train_y)
        seen = evaluate(task, state.parameters, state.buffers)
        np.testing.assert_allclose(seen.train_loss[replicate].item(), expected.item(), rtol=max(rtol, 1e-9), atol=atol)


FLOAT64 = {"rtol": 1e-9, "atol": 1e-11}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_follows_torch_optim(name):
    compare(replace(BASE, optimizer=OPTIMIZERS[name]), **FLOAT64)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_follows_its_torch_module(name):
    compare(replace(BASE, model=Model(hidden=[12, 7], activation=name, negative_slope=0.1)), **FLOAT64)


@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_every_norm_follows_its_torch_module(norm, position):
    model = Model(hidden=[12, 7], norm=norm, norm_position=position, norm_scale=0.7, norm_shift=-0.2)
    # where all of an example's activations are zero, LayerNorm multiplies the last bit by 1/√ε = 316 in every step: fewer steps
    compare(replace(BASE, model=model, train=Train(12, 32)), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("hidden", [[9, 9, 9], [64, 9, 9, 12]])
def test_skips_add_a_layers_input_where_the_widths_agree(hidden, norm):
    """In the second network the first layer is as wide as the data (64) and has a skip; the second and the last have none."""
    model = Model(hidden=hidden, skip=True, norm=norm)
    numeric = replace(BASE, model=model, train=Train(20, 32), optimizer=OPTIMIZERS["sgd"])
    compare(numeric, rtol=1e-8, atol=1e-10)
    compare(replace(numeric, model=replace(model, norm_position="after"), train=Train(5, 32)), rtol=1e-8, atol=1e-10)
    compare(replace(numeric, model=replace(model, skip_scale=0.3)), rtol=1e-8, atol=1e-10)


def test_the_output_range_is_that_of_the_reference():
    net, task, state, *_ = trained_stack(replace(BASE, train=Train(5, 32)))
    for replicate in range(len(REPLICATES)):
        with torch.no_grad():
            output = reference.module(net, state.parameters, replicate, torch.float64)(task.data.train_x).numpy()
        expected = np.ptp(output, axis=0).max()
        np.testing.assert_allclose(evaluate(task, state.parameters, state.buffers).output_range[replicate].item(), expected, rtol=1e-12)


@pytest.mark.parametrize("init", ["he", "glorot", "rai"])
def test_squared_error_full_batch_and_other_inits(init):
    numeric = replace(BASE, model=Model(width=9, depth=3, init=init), train=Train(STEPS, None, "squared_error"))
    compare(numeric, **FLOAT64)


def test_hinge_follows_multi_margin_loss():
    compare(replace(BASE, train=Train(STEPS, 32, "hinge")), **FLOAT64)


def test_regression_targets():
    numeric = replace(BASE, data=Data(name="teacher", examples=128), train=Train(STEPS, 16, "squared_error"))
    compare(numeric, **FLOAT64)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_float32_follows_within_its_rounding(name):
    """60 steps of float32: the orders of summation differ, so a relative 2e-4 (absolute 2e-5) is allowed."""
    compare(replace(BASE, precision="float32", optimizer=OPTIMIZERS[name]), rtol=2e-4, atol=2e-5)


def test_full_batch_gradient_matches_autograd_of_one_network():
    net, task, state, *_ = trained_stack(BASE)
    gradients = full_gradients(task, state.parameters, state.buffers)
    for replicate in range(len(REPLICATES)):
        network = reference.module(net, state.parameters, replicate, torch.float64)
        reference.loss_of("cross_entropy", network(task.data.train_x), task.data.train_y).backward()
        np.testing.assert_allclose(
            flat_stack(net, gradients, replicate),
            flat_module(net, network, [p.grad for p in network.parameters()]),
            rtol=1e-9,
            atol=1e-12,
        )
