"""Starts against the definition: who is dead on which inputs, worked out separately in NumPy float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from suite.config.schema import Model, Start
from suite.nets.initial import initial_parameters
from suite.nets.mlp import Mlp
from suite.nets.starts import make_dead, placed

INPUTS = np.random.default_rng(5).standard_normal((90, 6))
COUNT = 3


def network(hidden: list[int], **model):
    net = Mlp.of(Model(hidden=hidden, **model), 6, 4)
    parameters, buffers = initial_parameters(net, Model(hidden=hidden, **model), 1, range(COUNT), torch.device("cpu"), torch.float64)
    return net, parameters, buffers


def pre_activations(net: Mlp, parameters, replicate: int) -> list[np.ndarray]:
    """Every hidden layer's linear output on every input."""
    values, found = INPUTS, []
    for layer in net.layers:
        drive = values @ parameters[f"{layer}.weight"][replicate].numpy() + parameters[f"{layer}.bias"][replicate].numpy()
        found.append(drive)
        values = np.maximum(drive, 0)
    return found


@pytest.mark.parametrize("margin", [1e-3, 0.5, 20.0])
def test_born_dead_puts_every_unit_the_margin_below_zero(margin):
    net, parameters, buffers = network([8, 5])
    dead = make_dead(net, parameters, buffers, torch.from_numpy(INPUTS), Start("born_dead", margin=margin))
    for replicate in range(COUNT):
        for drive in pre_activations(net, dead, replicate):
            np.testing.assert_allclose(drive.max(axis=0), -margin, rtol=0, atol=1e-12 * (1 + margin))


@pytest.mark.parametrize("alive", [1, 7])
def test_alive_on_leaves_exactly_that_many_inputs(alive):
    net, parameters, buffers = network([8])
    dead = make_dead(net, parameters, buffers, torch.from_numpy(INPUTS), Start("born_dead", alive_on=alive))
    for replicate in range(COUNT):
        (drive,) = pre_activations(net, dead, replicate)
        assert ((drive > 0).sum(axis=0) == alive).all()


def test_only_the_chosen_layer_is_made_dead():
    net, parameters, buffers = network([8, 5])
    dead = make_dead(net, parameters, buffers, torch.from_numpy(INPUTS), Start("born_dead", layer=2, margin=0.3))
    for replicate in range(COUNT):
        first, second = pre_activations(net, dead, replicate)
        assert (first > 0).any(axis=0).sum() >= 7
        np.testing.assert_allclose(second.max(axis=0), -0.3, atol=1e-12)
    for name in ("layer1.weight", "layer1.bias", "layer2.weight", "output.weight", "output.bias"):
        assert torch.equal(dead[name], parameters[name])


def test_scale_multiplies_the_weights_and_keeps_the_margin():
    net, parameters, buffers = network([8])
    dead = make_dead(net, parameters, buffers, torch.from_numpy(INPUTS), Start("born_dead", scale=10.0, margin=0.1))
    assert torch.equal(dead["layer1.weight"], parameters["layer1.weight"] * 10.0)
    (drive,) = pre_activations(net, dead, 1)
    np.testing.assert_allclose(drive.max(axis=0), -0.1, atol=1e-11)


def test_batchnorm_before_the_activation_undoes_the_bias():
    net, parameters, buffers = network([8], norm="batch")
    inputs = torch.from_numpy(INPUTS)
    dead = make_dead(net, parameters, buffers, inputs, Start("born_dead", margin=5.0))
    seen = net.forward(dead, buffers, inputs.expand(COUNT, -1, -1), training=True)
    plain = net.forward(parameters, buffers, inputs.expand(COUNT, -1, -1), training=True)
    torch.testing.assert_close(seen.pre[0], plain.pre[0], rtol=0, atol=1e-12)
    assert (seen.pre[0].amax(dim=1) > 0).all()


def test_the_largest_standardised_value_keeps_its_bounds():
    """Closed form: in a batch of n the largest standardised value lies in [1/√(n-1), √(n-1)]; both ends are reached."""
    for n in (2, 4, 64):
        values = torch.from_numpy(np.random.default_rng(n).standard_normal((1, n, 500)))
        values[0, :, 0] = 0.0
        values[0, 0, 0] = 1.0
        values[0, :, 1] = 0.0
        values[0, 0, 1] = -1.0
        net = Mlp.of(Model(hidden=[500], norm="batch"), 500, 2)
        eye = {
            "layer1.weight": torch.eye(500, dtype=torch.float64)[None] * 1e7,  # against which ε is nothing
            "layer1.bias": torch.zeros(1, 500, dtype=torch.float64),
            "layer1.scale": torch.ones(1, 500, dtype=torch.float64),
            "layer1.shift": torch.zeros(1, 500, dtype=torch.float64),
            "output.weight": torch.zeros(1, 500, 2, dtype=torch.float64),
            "output.bias": torch.zeros(1, 2, dtype=torch.float64),
        }
        running = {"layer1.running_mean": torch.zeros(1, 500, dtype=torch.float64)}
        running["layer1.running_var"] = torch.ones(1, 500, dtype=torch.float64)
        largest = net.forward(eye, running, values, training=True).pre[0].amax(dim=1)[0].numpy()
        assert (largest <= np.sqrt(n - 1) + 1e-9).all()
        assert (largest >= 1 / np.sqrt(n - 1) - 1e-9).all()
        assert largest[0] == pytest.approx(np.sqrt(n - 1), rel=1e-6)
        assert largest[1] == pytest.approx(1 / np.sqrt(n - 1), rel=1e-6)


@pytest.mark.parametrize("units", [0, 1, 3])
def test_only_the_first_units_are_made_dead(units):
    net, parameters, buffers = network([8, 5])
    start = Start("born_dead", layer=2, units=units, margin=0.3, scale=2.0)
    dead = make_dead(net, parameters, buffers, torch.from_numpy(INPUTS), start)
    for replicate in range(COUNT):
        np.testing.assert_allclose(pre_activations(net, dead, replicate)[1].max(axis=0)[:units], -0.3, atol=1e-12)
    for name in ("layer2.weight", "layer2.bias"):
        assert torch.equal(dead[name][..., units:], parameters[name][..., units:])
        assert units == 0 or not torch.equal(dead[name], parameters[name])


def test_as_many_units_as_there_are_is_all_of_them():
    net, parameters, buffers = network([8])
    all_, eight = (make_dead(net, parameters, buffers, torch.from_numpy(INPUTS), Start("born_dead", units=k)) for k in (None, 8))
    assert all(torch.equal(all_[name], eight[name]) for name in all_)


@pytest.mark.parametrize("alive", [1, 4])
def test_units_and_alive_on_together(alive):
    net, parameters, buffers = network([8])
    start = Start("born_dead", units=3, alive_on=alive)
    (drive,) = pre_activations(net, make_dead(net, parameters, buffers, torch.from_numpy(INPUTS), start), 0)
    (before,) = pre_activations(net, parameters, 0)
    assert ((drive > 0).sum(axis=0)[:3] == alive).all()
    assert ((drive > 0) == (before > 0))[:, 3:].all()


def test_a_layer_behind_skips_is_made_dead_on_what_reaches_it():
    """Worked out by hand in NumPy: h2 = relu(h1 W2 + b2) + h1, since layers 1 and 2 are equally wide."""
    net, parameters, buffers = network([8, 8, 5], skip=True)
    dead = make_dead(net, parameters, buffers, torch.from_numpy(INPUTS), Start("born_dead", layer=3, margin=0.3))
    for replicate in range(COUNT):
        at = {name: value[replicate].numpy() for name, value in dead.items()}
        first = np.maximum(INPUTS @ at["layer1.weight"] + at["layer1.bias"], 0)
        second = np.maximum(first @ at["layer2.weight"] + at["layer2.bias"], 0) + first
        np.testing.assert_allclose((second @ at["layer3.weight"] + at["layer3.bias"]).max(axis=0), -0.3, atol=1e-12)


@pytest.mark.parametrize("saturation", [0.0, 4.0, 30.0, -4.0, -30.0])
def test_a_saturated_start_puts_the_nearest_pre_activation_at_the_saturation(saturation):
    net, parameters, buffers = network([8, 5])
    start = placed(net, parameters, buffers, torch.from_numpy(INPUTS), Start("saturated_hidden", saturation=saturation))
    for replicate in range(COUNT):
        for drive in pre_activations(net, start, replicate):
            edge = drive.min(axis=0) if saturation < 0 else drive.max(axis=0)
            np.testing.assert_allclose(edge, -saturation, rtol=0, atol=1e-11)


def test_a_steepest_stack_of_sigmoids_settles_where_its_slope_is_a_quarter():
    net, parameters, buffers = network([3] * 20, activation="sigmoid")
    start = placed(net, parameters, buffers, torch.from_numpy(INPUTS), Start("steepest"))
    assert torch.equal(start["layer1.weight"], parameters["layer1.weight"])
    assert torch.equal(start["output.weight"], parameters["output.weight"])
    pre = net.forward(start, buffers, torch.from_numpy(INPUTS).expand(COUNT, -1, -1), training=False).pre
    sizes = [layer.abs().max().item() for layer in pre]
    assert all(later <= earlier / 4 + 1e-15 for earlier, later in itertools.pairwise(sizes[1:]))
    assert sizes[-1] < 1e-9
    bias = start["layer1.bias"].clone().requires_grad_()
    output = net.forward({**start, "layer1.bias": bias}, buffers, torch.from_numpy(INPUTS).expand(COUNT, -1, -1), training=False).pre[-1]
    (gradient,) = torch.autograd.grad(output.sum(), bias)
    slopes = torch.sigmoid(pre[0]) * (1 - torch.sigmoid(pre[0]))
    assert (gradient <= (slopes.sum(dim=1) * 0.25**18 * (1 + 1e-6))).all() and (gradient > 0.8 * slopes.sum(dim=1) * 0.25**18).all()


def test_a_zero_loss_start_multiplies_every_margin():
    net, parameters, buffers = network([8])
    start = placed(net, parameters, buffers, torch.from_numpy(INPUTS), Start("zero_loss", scale=10.0))
    before, after = (
        net.forward(p, buffers, torch.from_numpy(INPUTS).expand(COUNT, -1, -1), training=False).output for p in (parameters, start)
    )
    torch.testing.assert_close(after, 10 * before, rtol=1e-12, atol=1e-12)
