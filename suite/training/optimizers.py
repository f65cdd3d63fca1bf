"""First-order optimizers on stacked parameters: the arithmetic of torch.optim, element by element. Knows no loss. And the registry
of all optimizers.

A gradient is always a tensor here, zeros included: unlike torch.optim, which skips a parameter whose gradient is
None, momentum goes on moving a parameter whose gradient is zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from suite.config.schema import Optimizer
from suite.nets.mlp import Parameters
from suite.training.kfac import Kfac
from suite.training.lbfgs import Lbfgs
from suite.training.second_order import DampedNewton, GaussNewton, Newton, SaddleFreeNewton, SecondOrder, TrustRegion
from suite.training.stationary import GradientNorm


class Stepper(Protocol):
    """Applies one update in place. ``memory`` is flat, named ``<parameter>.<kind>``; ``taken`` counts the steps."""

    memory: dict[str, Tensor]
    taken: int

    def step(self, parameters: Parameters, gradients: Mapping[str, Tensor]) -> None:
        """Update every parameter from its gradient."""
        ...

    def state(self) -> dict[str, Tensor]:
        """The memory as it stands (not a copy), and ``taken``, the number of steps taken."""
        ...

    def clear(self) -> None:
        """Forget everything, as a newly made optimizer."""
        ...


def decay_of(config: Optimizer, parameter: str) -> float:
    """The decay coefficient of one parameter. Biases and a norm's shift count as biases, all else as weights."""
    kind = "biases" if parameter.endswith((".bias", ".shift")) else "weights"
    return config.weight_decay if config.decay_on in ("both", kind) else 0.0


class _Base:
    kinds: tuple[str, ...] = ()

    def __init__(self, config: Optimizer, parameters: Parameters) -> None:
        self.config = config
        self.decays = {name: decay_of(config, name) for name in parameters}
        self.memory = {f"{name}.{kind}": torch.zeros_like(value) for name, value in parameters.items() for kind in self.kinds}
        self.taken = 0

    def state(self) -> dict[str, Tensor]:
        return self.memory | {"taken": torch.tensor(self.taken)}

    def clear(self) -> None:
        self.taken = 0
        for value in self.memory.values():
            value.zero_()

    def _decayed(self, name: str, parameter: Tensor, gradient: Tensor) -> Tensor:
        """Apply decay: decoupled shrinks the parameter in place, L2 returns a changed gradient."""
        decay = self.decays[name]
        if not decay:
            return gradient
        if self.config.decay == "decoupled":
            parameter.mul_(1 - self.config.lr * decay)
            return gradient
        return gradient.add(parameter, alpha=decay)


class Sgd(_Base):
    """Gradient descent with optional heavy-ball or Nesterov momentum: v ← μv + g, θ ← θ - lr·v (or g + μv)."""

    def __init__(self, config: Optimizer, parameters: Parameters) -> None:
        self.kinds = ("velocity",) if config.momentum else ()
        super().__init__(config, parameters)

    @torch.no_grad()
    def step(self, parameters: Parameters, gradients: Mapping[str, Tensor]) -> None:
        """One update."""
        self.taken += 1
        for name, parameter in parameters.items():
            update = self._decayed(name, parameter, gradients[name])
            if self.config.momentum:
                velocity = self.memory[f"{name}.velocity"].mul_(self.config.momentum).add_(update)
                update = update.add(velocity, alpha=self.config.momentum) if self.config.nesterov else velocity
            parameter.add_(update, alpha=-self.config.lr)


class Adam(_Base):
    """Adam (Kingma & Ba 2015) with bias correction; with decoupled decay it is AdamW (Loshchilov & Hutter 2019)."""

    kinds = ("first", "second")

    @torch.no_grad()
    def step(self, parameters: Parameters, gradients: Mapping[str, Tensor]) -> None:
        """One update."""
        c = self.config
        self.taken += 1
        correction1, correction2 = 1 - c.beta1**self.taken, 1 - c.beta2**self.taken
        for name, parameter in parameters.items():
            gradient = self._decayed(name, parameter, gradients[name])
            first = self.memory[f"{name}.first"].lerp_(gradient, 1 - c.beta1)
            second = self.memory[f"{name}.second"].mul_(c.beta2).addcmul_(gradient, gradient, value=1 - c.beta2)
            denominator = (second.sqrt() / correction2**0.5).add_(c.eps)
            parameter.addcdiv_(first, denominator, value=-c.lr / correction1)


OPTIMIZERS: dict[str, type[Sgd] | type[Adam] | type[SecondOrder]] = {
    "sgd": Sgd,
    "adam": Adam,
    "newton": Newton,
    "damped_newton": DampedNewton,
    "saddle_free_newton": SaddleFreeNewton,
    "trust_region": TrustRegion,
    "gauss_newton": GaussNewton,
    "kfac": Kfac,
    "lbfgs": Lbfgs,
    "gradient_norm": GradientNorm,
}


def build(config: Optimizer, parameters: Parameters) -> Stepper | SecondOrder:
    """A fresh optimizer for these parameters."""
    return OPTIMIZERS[config.name](config, parameters)
