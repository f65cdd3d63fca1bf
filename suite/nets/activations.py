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


def _sigmoid(pre: Tensor, slope: float | Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return torch.sigmoid(pre)


def _tanh(pre: Tensor, slope: float | Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return torch.tanh(pre)


def _elu(pre: Tensor, slope: float | Tensor) -> Tensor:
    """X above zero, e^x - 1 below (Clevert et al. 2016, α = 1)."""
    return F.elu(pre)


def _gelu(pre: Tensor, slope: float | Tensor) -> Tensor:
    """X Φ(x), the exact form (Hendrycks & Gimpel 2016)."""
    return F.gelu(pre)


def _silu(pre: Tensor, slope: float | Tensor) -> Tensor:
    """X · sigmoid(x)."""
    return F.silu(pre)


def _prelu(pre: Tensor, slope: float | Tensor) -> Tensor:
    """Leaky ReLU whose slope is learned, one per layer (He et al. 2015). ``slope``: [replicate, 1]."""
    assert isinstance(slope, Tensor)
    return torch.where(pre > 0, pre, slope[:, None, :] * pre)


def _step(pre: Tensor, slope: float | Tensor) -> Tensor:
    """1 above zero, else 0. Written so that autograd sees an exactly zero derivative rather than no path at all."""
    return torch.relu(torch.sign(pre))


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
}

#: PReLU's initial slope, as in torch.nn.PReLU.
PRELU_SLOPE = 0.25
