"""Activation functions by name, and what they do at and below zero. Knows no layers.

A new activation is one more entry here; its name must also stand in ``suite.config.choices``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

#: (pre-activation, slope) -> activation. ``slope`` is the fixed negative slope or PReLU's learned one.
Activation: TypeAlias = Callable[[Float[Tensor, "replicate batch unit"], "float | Tensor"], Float[Tensor, "replicate batch unit"]]


def _relu(pre: Tensor, slope: float | Tensor) -> Tensor:
    """max(x, 0); derivative 0 at exactly 0, as torch has it."""
    return torch.relu(pre)


def _leaky_relu(pre: Tensor, slope: float | Tensor) -> Tensor:
    """X above zero, slope · x below."""
    return F.leaky_relu(pre, float(slope))


#: A multiple of the number of elements in any vector register.
_VECTOR = 64


def _whole_vectors(function: Callable[[Tensor], Tensor], pre: Tensor) -> Tensor:
    """``function`` on a tensor padded to whole vector registers. What is left over at a tensor's end goes through another
    implementation of exp, whose last bit may differ, and whose elements are left over depends on how many replicates there are.
    """
    short = -pre.numel() % _VECTOR
    if not short:
        return function(pre)
    return function(F.pad(pre.reshape(-1), (0, short)))[: pre.numel()].reshape(pre.shape)


def _sigmoid(pre: Tensor, slope: float | Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return _whole_vectors(torch.sigmoid, pre)


def _tanh(pre: Tensor, slope: float | Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return _whole_vectors(torch.tanh, pre)


def _elu(pre: Tensor, slope: float | Tensor) -> Tensor:
    """X above zero, e^x - 1 below (Clevert et al. 2016, α = 1)."""
    return _whole_vectors(F.elu, pre)


def _gelu(pre: Tensor, slope: float | Tensor) -> Tensor:
    """X Φ(x), the exact form (Hendrycks & Gimpel 2016)."""
    return _whole_vectors(F.gelu, pre)


def _silu(pre: Tensor, slope: float | Tensor) -> Tensor:
    """X · sigmoid(x)."""
    return _whole_vectors(F.silu, pre)


def _prelu(pre: Tensor, slope: float | Tensor) -> Tensor:
    """Leaky ReLU whose slope is learned, one per layer (He et al. 2015). ``slope``: [replicate, 1]."""
    assert isinstance(slope, Tensor)
    return torch.where(pre > 0, pre, slope[:, None, :] * pre)


def _step(pre: Tensor, slope: float | Tensor) -> Tensor:
    """1 above zero, else 0. Written so that autograd sees an exactly zero derivative rather than no path at all."""
    return torch.relu(torch.sign(pre))


def _step_ste(pre: Tensor, slope: float | Tensor) -> Tensor:
    """The same step with the straight-through estimator: derivative 1 where |x| ≤ 1, else 0 (Bengio et al. 2013, clipped as in
    Hubara et al. 2016).
    """
    within = torch.where(pre.detach().abs() <= 1, pre, 0.0)
    return (pre.detach() > 0).to(pre.dtype) + (within - within.detach())  # the difference is exactly 0 and carries the gradient


ACTIVATIONS: dict[str, Activation] = {
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "elu": _elu,
    "gelu": _gelu,
    "silu": _silu,
    "prelu": _prelu,
    "step": _step,
    "step_ste": _step_ste,
}

#: PReLU's initial slope, as in torch.nn.PReLU.
PRELU_SLOPE = 0.25
