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
from suite.training.cauchy import Cauchy
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

    def renew(self, masks: Mapping[str, Tensor]) -> None:
        """Forget the marked elements ([replicate, …] per parameter named), as if they were new to the optimizer."""
        ...


def decay_of(config: Optimizer, parameter: str) -> float:
    """The decay coefficient of one parameter. Biases and a norm's shift count as biases, all else as weights."""
    kind = "biases" if parameter.endswith((".bias", ".shift")) else "weights"
    return config.weight_decay if config.decay_on in ("both", kind) else 0.0


class _Base:
    kinds: tuple[str, ...] = ()
    #: Steps of linear learning-rate warm-up, counted from the optimizer's first step.
    warmup = 0

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

    @torch.no_grad()
    def renew(self, masks: Mapping[str, Tensor]) -> None:
        for name, mask in masks.items():
            for kind in self.kinds:
                self.memory[f"{name}.{kind}"].masked_fill_(mask, 0.0)

    def _rate(self) -> float:
        """The learning rate of the step being taken, which ``taken`` already counts: lr · min(1, t/warmup)."""
        return self.config.lr * min(1.0, self.taken / self.warmup) if self.warmup else self.config.lr

    def _decayed(self, name: str, parameter: Tensor, gradient: Tensor) -> Tensor:
        """Apply decay: decoupled shrinks the parameter in place, L2 returns a changed gradient."""
        decay = self.decays[name]
        if not decay:
            return gradient
        if self.config.decay == "decoupled":
            parameter.mul_(1 - self._rate() * decay)
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
        rate = self._rate()
        for name, parameter in parameters.items():
            update = self._decayed(name, parameter, gradients[name])
            if self.config.momentum:
                velocity = self.memory[f"{name}.velocity"].mul_(self.config.momentum).add_(update)
                update = update.add(velocity, alpha=self.config.momentum) if self.config.nesterov else velocity
            parameter.add_(update, alpha=-rate)


class Adam(_Base):
    """Adam (Kingma & Ba 2015) with bias correction; with decoupled decay it is AdamW (Loshchilov & Hutter 2019).

    Elements that were renewed count their steps from then on, as in the optimizer of Dohare et al. (2024). Without that their
    cleared moments would go uncorrected and their first steps be up to (1-β₁)/√(1-β₂) = 3.2 times as large.
    """

    kinds = ("first", "second")

    def __init__(self, config: Optimizer, parameters: Parameters) -> None:
        super().__init__(config, parameters)
        #: Per parameter with any renewed element: the number of steps that had been taken at each element's renewal.
        self.since: dict[str, Tensor] = {}
        #: 1 - β^n by n, for both moments; empty until an element is renewed.
        self.corrections: tuple[Tensor, ...] = ()

    def clear(self) -> None:
        """Forget everything, renewals included."""
        super().clear()
        self.since.clear()

    @torch.no_grad()
    def renew(self, masks: Mapping[str, Tensor]) -> None:
        """Clear the moments of the marked elements and count their steps from here."""
        super().renew(masks)
        for name, mask in masks.items():
            since = self.since.setdefault(name, torch.zeros_like(self.memory[f"{name}.first"], dtype=torch.int64))
            since.masked_fill_(mask, self.taken)

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
            if name in self.since:
                self._renewed_step(name, parameter)
                continue
            denominator = (second.sqrt() / correction2**0.5).add_(c.eps)
            parameter.addcdiv_(first, denominator, value=-self._rate() / correction1)

    def _renewed_step(self, name: str, parameter: Tensor) -> None:
        """The same with a bias correction of each element's own. Corrections are read from a table: a power taken element by
        element may round differently from place to place.
        """
        c = self.config
        if not self.corrections or len(self.corrections[0]) <= self.taken:
            self.corrections = tuple(
                torch.tensor([1 - beta**n for n in range(2 * self.taken + 2)], dtype=parameter.dtype, device=parameter.device)
                for beta in (c.beta1, c.beta2)
            )
        age = self.taken - self.since[name]
        first, second = self.memory[f"{name}.first"], self.memory[f"{name}.second"]
        denominator = (second / self.corrections[1][age]).sqrt_().add_(c.eps)
        parameter.sub_(first / self.corrections[0][age] / denominator * self._rate())


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
    "cauchy": Cauchy,
    "gradient_norm": GradientNorm,
}


def build(config: Optimizer, parameters: Parameters, warmup: int = 0) -> Stepper | SecondOrder:
    """A fresh optimizer for these parameters; its learning rate rises linearly over the first ``warmup`` steps, as under
    torch.optim.lr_scheduler.LinearLR from 1/warmup to 1.
    """
    stepper = OPTIMIZERS[config.name](config, parameters)
    if isinstance(stepper, _Base):
        stepper.warmup = warmup
    return stepper
