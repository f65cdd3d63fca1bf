"""Initial parameters from the counter-based streams. Knows schemes, not data.

Every symmetric scheme scales the same standard draws, so replicate i starts from the same bits under every scheme,
activation and optimizer as far as shapes agree.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from suite.config.schema import Model
from suite.nets.activations import PRELU_SLOPE
from suite.nets.mlp import Buffers, Mlp, Parameters
from suite.streams import generator, stack_normal, stack_uniform


def _weight(scheme: str, seed: int, replicates: range, purpose: str, shape: tuple[int, int], receptive: int) -> NDArray[np.float64]:
    fan_in, fan_out = shape[0], shape[1] * receptive
    if scheme == "he":  # He et al. 2015: variance 2 / fan-in
        return stack_normal(seed, replicates, f"{purpose}/normal", shape) * math.sqrt(2.0 / fan_in)
    draws = stack_uniform(seed, replicates, purpose, shape)
    if scheme == "glorot":  # Glorot & Bengio 2010: variance 2 / (fan-in + fan-out)
        return draws * math.sqrt(6.0 / (fan_in + fan_out))
    return draws / math.sqrt(fan_in)  # torch.nn.Linear


#: The scale its authors give for RAI with Beta(2, 1).
RAI_SCALE = 0.6007


def _asymmetric(seed: int, replicates: range, purpose: str, shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights and biases of the randomised asymmetric initialisation (Lu et al. 2020, algorithm 1): normal with standard
    deviation RAI_SCALE/√fan-in, then one of each unit's fan-in + 1 numbers, its bias among them, is replaced by a draw from
    Beta(2, 1), whose mean is 2/3 and which is never negative.
    """
    fan_in, fan_out = shape
    drawn = stack_normal(seed, replicates, f"{purpose}/asymmetric/normal", (fan_in + 1, fan_out)) * (RAI_SCALE / math.sqrt(fan_in))
    for values, replicate in zip(drawn, replicates, strict=True):
        stream = generator(seed, replicate, f"{purpose}/asymmetric/beta")
        values[stream.integers(0, fan_in + 1, fan_out), np.arange(fan_out)] = stream.beta(2.0, 1.0, fan_out)
    return np.ascontiguousarray(drawn[:, :-1]), np.ascontiguousarray(drawn[:, -1])


def initial_parameters(
    net: Mlp, model: Model, seed: int, replicates: range, device: torch.device, dtype: torch.dtype, purpose: str = "init"
) -> tuple[Parameters, Buffers]:
    """Stacked parameters and running statistics of the given replicates.

    Schemes: ``pytorch`` (torch.nn.Linear: weights and biases uniform within 1/√fan-in), ``he`` (normal) and
    ``glorot`` (uniform), both with zero biases, and ``rai`` (randomised asymmetric, Lu et al. 2020; its draws are its own, so
    only replicates within it are paired). A convolution's fan-in, and for ``glorot`` its fan-out, count the places of its kernel, as
    in torch.nn.init. Drawn in float64 on the CPU, then cast.
    ``purpose`` names the stream: another one gives another network of the same law.
    """
    count, shapes = len(replicates), net.parameter_shapes()
    parameters: dict[str, NDArray[np.float64]] = {}
    for name, fan_in, fan_out in net.linears:
        if model.init == "rai":
            parameters[f"{name}.weight"], parameters[f"{name}.bias"] = _asymmetric(seed, replicates, f"{purpose}/{name}", (fan_in, fan_out))
            continue
        parameters[f"{name}.weight"] = _weight(
            model.init, seed, replicates, f"{purpose}/{name}.weight", (fan_in, fan_out), net.receptive(name)
        )
        if f"{name}.bias" not in shapes:
            continue
        if model.init == "pytorch":
            bias = stack_uniform(seed, replicates, f"{purpose}/{name}.bias", (fan_out,)) / math.sqrt(fan_in)
        else:
            bias = np.zeros((count, fan_out))
        parameters[f"{name}.bias"] = bias
    constants = {"scale": model.norm_scale, "shift": model.norm_shift, "slope": PRELU_SLOPE}
    for name, shape in shapes.items():
        if name not in parameters:
            parameters[name] = np.full((count, *shape), constants[name.split(".")[1]])
    buffers = {name: np.full((count, *shape), 1.0 if name.endswith("var") else 0.0) for name, shape in net.buffer_shapes().items()}

    def stacked(arrays: dict[str, NDArray[np.float64]]) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(array).to(device=device, dtype=dtype) for name, array in arrays.items()}

    ordered = {name: parameters[name] for name in shapes}
    return stacked(ordered), stacked(buffers)
