"""Where training begins: units dead or saturated, a saddle, stacks at their steepest, margins grown. Knows no training loop.

Units are made dead by lowering biases until the training set no longer reaches them; ``born_dead`` applies this to fresh
parameters, ``killed`` to parameters in the middle of training.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from suite.config.schema import Start
from suite.nets.cnn import Cnn
from suite.nets.mlp import Buffers, Mlp, Parameters
from suite.nets.passes import drive as driven
from suite.nets.passes import pass_elements, replicate_slices


def placed(net: Mlp, parameters: Parameters, buffers: Buffers, inputs: Float[Tensor, "example feature"], start: Start) -> Parameters:
    """Parameters brought to the start the configuration names; ``ordinary`` leaves them as they are."""
    if start.name == "saturated":
        return saturated(parameters, start)
    if start.name == "saddle":
        return near_origin(parameters, start)
    if start.name == "steepest":
        return steepest(net, parameters)
    if start.name == "zero_loss":
        return {name: value * start.scale if name.startswith("output.") else value.clone() for name, value in parameters.items()}
    if start.name == "saturated_hidden":
        start = replace(start, margin=start.saturation, alive_on=0)
    return parameters if start.name == "ordinary" else make_dead(net, parameters, buffers, inputs, start)


def saturated(parameters: Parameters, start: Start) -> Parameters:
    """Return parameters whose output units have pre-activation -``start.margin`` on every input: no weights, only that bias."""
    result = {name: value.clone() for name, value in parameters.items()}
    result["output.weight"].zero_()
    result["output.bias"].fill_(-start.margin)
    return result


def near_origin(parameters: Parameters, start: Start) -> Parameters:
    """Return parameters multiplied by ``start.distance``, a norm's scale and a PReLU's slope excepted.

    At distance 0 the gradient is exactly zero where the activation of 0 is 0 (linear, ReLU, tanh …), there is a hidden layer, and
    the targets' mean is zero. With one hidden layer of slope s at 0 and squared error over O outputs, the Hessian's eigenvalues
    other than 0 and the biases' are ±(2s/O)σ, σ the singular values of the inputs' covariance with the targets: a strict saddle.
    With more hidden layers the Hessian has no negative eigenvalue at all.
    """
    kept = (".scale", ".slope")
    return {name: value.clone() if name.endswith(kept) else value * start.distance for name, value in parameters.items()}


@torch.no_grad()
def steepest(net: Mlp, parameters: Parameters) -> Parameters:
    """Return parameters in which every hidden layer after the first is the mean of the layer before less ½.

    A stack of sigmoids then has its only fixed point at pre-activation 0, where σ(0) - ½ = 0 and the slope is σ'(0) = ¼. It
    contracts towards that point by 4 in every layer, and a gradient passing back through the stack shrinks by 4 as well.
    """
    result = {name: value.clone() for name, value in parameters.items()}
    for name, fan_in, _ in net.linears[1:-1]:
        result[f"{name}.weight"].fill_(1.0 / fan_in)
        result[f"{name}.bias"].fill_(-0.5)
    return result


@torch.no_grad()
def make_dead(
    net: Mlp,
    parameters: Parameters,
    buffers: Buffers,
    inputs: Float[Tensor, "example feature"],
    start: Start,
) -> Parameters:
    """Return parameters in which the first ``start.units`` linear outputs (None: all) of each chosen hidden layer stay
    below zero on every input.

    The bias of each unit becomes -(largest w·x) - ``start.margin``; with ``alive_on`` = k > 0 it is put halfway
    between the k-th and (k+1)-th largest w·x, so that k inputs stay above zero (distinct inputs assumed). Weights of
    these units are multiplied by ``start.scale`` first. A channel of a convolution counts by its largest value over all
    positions. A saturated start on the positive side (``saturation`` below zero) puts
    the smallest pre-activation at -``saturation`` instead. A norm before the activation sees the shifted bias and may undo
    it: that is the network's business, not corrected here.
    """
    result = {name: value.clone() for name, value in parameters.items()}
    chosen = net.layers if start.layer is None else (f"layer{start.layer}",)
    examples, below = len(inputs), start.name == "saturated_hidden" and start.saturation < 0
    held = pass_elements(net, examples) if isinstance(net, Cnn) else examples * max((net.inputs, *net.hidden))
    count = next(iter(parameters.values())).shape[0]
    for layer in chosen:
        index = net.layers.index(layer)
        weight, bias = result[f"{layer}.weight"], result[f"{layer}.bias"]
        units = slice(start.units)
        weight[:, :, units].mul_(start.scale)
        # as in ``affine``: half-precision products are summed in float32
        wide = torch.promote_types(weight.dtype, torch.float32)
        for part in replicate_slices(count, held):
            piece = {name: value[part] for name, value in result.items()}
            statistics = {name: value[part] for name, value in buffers.items()}
            reached = inputs.expand(weight[part].shape[0], *inputs.shape)
            if isinstance(net, Cnn):
                drive = driven(net, piece, statistics, reached, index, largest=not below)
            elif index:
                upstream = replace(net, hidden=net.hidden[:index], outputs=net.hidden[index])
                piece |= {"output.weight": piece[f"{layer}.weight"], "output.bias": torch.zeros_like(bias[part])}
                drive = upstream.forward(piece, statistics, reached, training=True).output
            else:
                drive = torch.bmm(reached.to(wide), weight[part].to(wide)).to(weight.dtype)
            if start.alive_on:
                top = drive.topk(start.alive_on + 1, dim=1).values
                bias[part, units] = (-(top[:, -2] + top[:, -1]) / 2)[:, units]
            elif below:
                bias[part, units] = (-drive.amin(dim=1) - start.saturation)[:, units]
            else:
                bias[part, units] = (-drive.amax(dim=1) - start.margin)[:, units]
    return result
