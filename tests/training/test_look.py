"""The compiled whole-set pass against torch.nn modules one network at a time, and against itself bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import torch

from suite.config.schema import Model, Start
from suite.nets.initial import initial_parameters
from suite.nets.mlp import Mlp
from suite.nets.starts import make_dead
from suite.training import native

CPU = torch.device("cpu")


def problem(hidden, examples, dtype=torch.float64, activation="relu", outputs=10, count=3):
    net = Mlp.of(Model(hidden=hidden, activation=activation, negative_slope=0.2), 13, outputs)
    parameters, _ = initial_parameters(net, Model(hidden=hidden), 5, range(count), CPU, dtype)
    draws = np.random.default_rng(examples)
    x = torch.from_numpy(draws.standard_normal((examples, 13))).to(dtype)
    return net, parameters, x, torch.from_numpy(draws.integers(0, outputs, examples))


def witness(net, parameters, replicate, x, y, loss):
    """One network through torch.nn: loss, accuracy, spread, and per layer the largest input and mean |output| of the activation."""
    network = reference.module(net, parameters, replicate, x.dtype)
    tops, means, values = [], [], x
    with torch.no_grad():
        for layer in network:
            before, values = values, layer(values)
            if not isinstance(layer, torch.nn.Linear):
                tops.append(before.amax(dim=0))
                means.append(values.abs().mean(dim=0))
        spread = (values.amax(dim=0) - values.amin(dim=0)).max()
        return reference.loss_of(loss, values, y), (values.argmax(dim=1) == y).double().mean(), spread, tops, means


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
@pytest.mark.parametrize(("hidden", "examples"), [([1], 1), ([3, 33], 127), ([16], 128), ([13, 7, 5], 129), ([40], 700)])
def test_a_look_sees_what_torch_modules_show(hidden, examples, activation, loss):
    net, parameters, x, y = problem(hidden, examples, activation=activation)
    seen = native.look(net, loss, parameters, x, y)
    for replicate in range(3):
        expected, right, spread, tops, means = witness(net, parameters, replicate, x, y, loss)
        np.testing.assert_allclose(seen.losses[replicate], expected, rtol=1e-12)
        assert seen.accuracies[replicate].item() == pytest.approx(right.item(), abs=1e-12)
        np.testing.assert_allclose(seen.ranges[replicate], spread, rtol=1e-11, atol=1e-15)
        for layer in range(len(hidden)):
            np.testing.assert_allclose(seen.max_pre[layer][replicate], tops[layer], rtol=1e-11, atol=1e-14)
            np.testing.assert_allclose(seen.mean_abs_post[layer][replicate], means[layer], rtol=1e-11, atol=1e-14)


def test_float32_agrees_within_its_rounding():
    net, parameters, x, y = problem([40, 20], 1000, torch.float32)
    seen = native.look(net, "cross_entropy", parameters, x, y)
    for replicate in range(3):
        expected, right, *_, means = witness(net, parameters, replicate, x, y, "cross_entropy")
        np.testing.assert_allclose(seen.losses[replicate], expected, rtol=1e-5)
        assert abs(seen.accuracies[replicate].item() - right.item()) <= 2 / 1000  # an example on the border may fall either way
        np.testing.assert_allclose(seen.mean_abs_post[1][replicate], means[1], rtol=1e-4, atol=1e-6)


def test_regression_targets_have_a_loss_and_no_accuracy():
    net, parameters, x, _ = problem([9], 200, outputs=4)
    y = torch.from_numpy(np.random.default_rng(0).standard_normal((200, 4)))
    seen = native.look(net, "squared_error", parameters, x, y)
    for replicate in range(3):
        output = reference.module(net, parameters, replicate, torch.float64)(x)
        np.testing.assert_allclose(seen.losses[replicate], torch.nn.functional.mse_loss(output, y).detach(), rtol=1e-12)
    assert (seen.accuracies == 0).all()


def test_dead_units_show_how_far_below_zero_they_lie():
    net, parameters, x, y = problem([8], 300)
    dead = make_dead(net, parameters, {}, x, Start(name="born_dead", margin=0.75))
    seen = native.look(net, "cross_entropy", dead, x, y)
    np.testing.assert_allclose(seen.max_pre[0], np.full((3, 8), -0.75), rtol=1e-12)
    assert (seen.mean_abs_post[0] == 0).all()
    assert (seen.ranges == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_replicate_shows_the_same_bits_in_any_company(dtype):
    net, parameters, x, y = problem([13, 7], 333, dtype, count=8)
    whole = native.look(net, "cross_entropy", parameters, x, y)
    for first, count in ((0, 1), (5, 3)):
        piece = {name: value[first : first + count].clone() for name, value in parameters.items()}
        part = native.look(net, "cross_entropy", piece, x, y)
        for a, b in ((part.losses, whole.losses), (part.ranges, whole.ranges), *zip(part.max_pre, whole.max_pre, strict=True)):
            assert torch.equal(a, b[first : first + count])
        for a, b in zip(part.mean_abs_post, whole.mean_abs_post, strict=True):
            assert torch.equal(a, b[first : first + count])


def test_looking_changes_nothing_and_the_gradient_is_autograds():
    net, parameters, x, y = problem([13, 7], 150)
    before = {name: value.clone() for name, value in parameters.items()}
    native.look(net, "cross_entropy", parameters, x, y)
    found = native.gradients(net, "cross_entropy", parameters, x, y)
    assert all(torch.equal(value, before[name]) for name, value in parameters.items())
    for replicate in range(3):
        network = reference.module(net, parameters, replicate, torch.float64)
        torch.nn.functional.cross_entropy(network(x), y).backward()
        linears = [layer for layer in network if isinstance(layer, torch.nn.Linear)]
        for (name, *_), layer in zip(net.linears, linears, strict=True):
            np.testing.assert_allclose(found[f"{name}.weight"][replicate].T, layer.weight.grad, rtol=1e-10, atol=1e-13)
            np.testing.assert_allclose(found[f"{name}.bias"][replicate], layer.bias.grad, rtol=1e-10, atol=1e-13)


def test_wrong_labels_and_shapes_are_refused():
    net, parameters, x, y = problem([8], 20)
    with pytest.raises(IndexError):
        native.look(net, "cross_entropy", parameters, x, y + 9)
    with pytest.raises(ValueError):
        native.look(net, "cross_entropy", parameters, x[:, :5], y)
    with pytest.raises(ValueError):
        native.look(net, "cross_entropy", parameters, x.float(), y)
