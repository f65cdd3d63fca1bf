"""How an update reaches the weights: which parameters take part, in what precision it is computed, how it is rounded back.

Knows no loss. In float32 and float64 the update is the optimizer's own arithmetic. Weights in float16 and bfloat16 are
updated in float32, memory included, and the result is rounded once: torch's own updates of such tensors round at the end of
a vector differently from its middle, so that a replicate's bits would depend on its company.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from suite.config.choices import HALVES
from suite.config.numeric import Numeric
from suite.nets.mlp import Parameters
from suite.training import optimizers
from suite.training.optimizers import Stepper
from suite.training.rounding import Noise, stochastic
from suite.training.second_order import SecondOrder


def build(numeric: Numeric, parameters: Parameters, seed: int, replicates: range) -> Stepper | SecondOrder:
    """A fresh stepper for these parameters. Second-order ones stand alone: validation lets nothing be put around them."""
    train = numeric.train
    moving = {name: value for name, value in parameters.items() if train.trainable == "all" or name.startswith("output.")}
    half = numeric.precision in HALVES
    wide = {name: value.float() for name, value in moving.items()} if half else moving
    inner = optimizers.build(numeric.optimizer, wide, train.warmup)
    if isinstance(inner, SecondOrder):
        return inner
    if half:
        noise = Noise(seed, replicates) if train.rounding == "stochastic" else None
        inner = Rounded(inner, noise, wide if train.master_weights else None)
    return inner if len(moving) == len(parameters) else Only(inner, tuple(moving))


class _Around:
    """A stepper around another, whose memory and count it shows."""

    def __init__(self, inner: Stepper) -> None:
        self.inner = inner
        self.memory = inner.memory

    @property
    def taken(self) -> int:
        return self.inner.taken

    @taken.setter
    def taken(self, steps: int) -> None:
        self.inner.taken = steps

    def state(self) -> dict[str, Tensor]:
        """The optimizer's memory."""
        return self.inner.state()

    def clear(self) -> None:
        """Forget the optimizer's memory; masters and the noise's place in its stream stay."""
        self.inner.clear()

    def renew(self, masks: Mapping[str, Tensor]) -> None:
        """Forget the marked elements."""
        self.inner.renew(masks)


class Only(_Around):
    """Updates the named parameters; the others keep their bits, decay included."""

    def __init__(self, inner: Stepper, names: tuple[str, ...]) -> None:
        super().__init__(inner)
        self.names = names

    def step(self, parameters: Parameters, gradients: Mapping[str, Tensor]) -> None:
        """One update."""
        self.inner.step({name: parameters[name] for name in self.names}, gradients)

    def renew(self, masks: Mapping[str, Tensor]) -> None:
        """Forget the marked elements of what is updated."""
        self.inner.renew({name: mask for name, mask in masks.items() if name in self.names})


class Rounded(_Around):
    """Computes the update in float32, with the optimizer's memory in float32, and rounds the result to the weights' precision:
    stochastically with ``noise``, else to nearest. With ``masters`` the float32 weights are kept from step to step, and what
    the network sees is the nearest to them.
    """

    def __init__(self, inner: Stepper, noise: Noise | None, masters: Parameters | None) -> None:
        super().__init__(inner)
        self.noise, self.masters = noise, masters
        #: Place in the noise's stream; not the optimizer's count, which can be cleared.
        self.rounded = 0

    @torch.no_grad()
    def step(self, parameters: Parameters, gradients: Mapping[str, Tensor]) -> None:
        """One update."""
        wide = {name: self._wide(name, value) for name, value in parameters.items()}
        self.inner.step(wide, {name: gradients[name].float() for name in parameters})
        for name, value in parameters.items():
            if self.noise is None:
                value.copy_(wide[name])
            else:
                value.copy_(stochastic(wide[name], value.dtype, self.noise(name, value, self.rounded)))
        self.rounded += 1

    def _wide(self, name: str, value: Tensor) -> Tensor:
        """The float32 weight that stands behind a narrow one. A weight set from outside, as a start does, becomes its own master."""
        if self.masters is None:
            return value.float()
        master = self.masters[name]
        master.copy_(torch.where(master.to(value.dtype) == value, master, value.float()))
        return master
