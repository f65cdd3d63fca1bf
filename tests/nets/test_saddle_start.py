"""Starts at the origin and in saturation: where the network stands, exactly."""

from __future__ import annotations

import numpy as np
import torch

from suite.config.schema import Model, Start
from suite.nets.initial import initial_parameters
from suite.nets.mlp import Mlp
from suite.nets.starts import placed

INPUTS = torch.from_numpy(np.random.default_rng(0).standard_normal((9, 4)))


def begin(start: Start, model: Model):
    net = Mlp.of(model, 4, 2)
    parameters, buffers = initial_parameters(net, model, 1, range(3), torch.device("cpu"), torch.float64)
    return net, parameters, buffers, placed(net, parameters, buffers, INPUTS, start)


def test_a_saturated_start_puts_every_output_at_minus_k_on_every_input():
    net, parameters, buffers, after = begin(Start("saturated", margin=7.0), Model(hidden=[5]))
    output = net.forward(after, buffers, INPUTS.expand(3, -1, -1), training=True).output
    assert (output == -7.0).all()
    assert torch.equal(after["layer1.weight"], parameters["layer1.weight"])
    assert (parameters["output.bias"] != -7.0).all()


def test_a_saddle_start_is_the_initialisation_shrunk_to_the_origin():
    model = Model(hidden=[5, 3], norm="layer", activation="prelu")
    _, parameters, _, near = begin(Start("saddle", distance=0.25), model)
    _, _, _, at = begin(Start("saddle"), model)
    for name, value in parameters.items():
        if name.endswith((".scale", ".slope")):
            assert torch.equal(near[name], value)
            assert torch.equal(at[name], value)
        else:
            assert torch.equal(near[name], 0.25 * value)
            assert torch.count_nonzero(at[name]) == 0


def test_a_sigmoid_output_unit_is_the_sigmoid_of_the_linear_one():
    net, parameters, buffers, _ = begin(Start(), Model(hidden=[5]))
    squashed = Mlp.of(Model(hidden=[5], output_unit="sigmoid"), 4, 2)
    wide = INPUTS.expand(3, -1, -1)
    plain = net.forward(parameters, buffers, wide, training=True).output
    assert torch.equal(squashed.forward(parameters, buffers, wide, training=True).output, torch.sigmoid(plain))
