"""Where the optimizer alone takes a parameter, the gradient being exactly zero: closed forms and the recursion, in float64.

Written out separately from ``suite.training``, so that the two can disagree. Knows no network and no data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from suite.config.schema import Optimizer


def coasting_factor(optimizer: Optimizer, steps: float) -> float:
    """Distance coasted in ``steps`` steps per unit of (lr · velocity), the gradient being zero: heavy ball
    μ(1-μ^T)/(1-μ), Nesterov μ²(1-μ^T)/(1-μ). ``steps`` may be infinite.
    """
    mu = optimizer.momentum
    first = mu * mu if optimizer.nesterov else mu
    return float(first * (1 - mu**steps) / (1 - mu))


class Path:
    """One parameter tensor under the optimizer with a zero loss gradient, in float64."""

    def __init__(self, optimizer: Optimizer, kind: str, value: Tensor, state: Mapping[str, Tensor], taken: int | Tensor) -> None:
        self.optimizer = optimizer
        self.value = value.detach().double().clone()
        self.memory = {name: tensor.detach().double().clone() for name, tensor in state.items()}
        self.taken = int(taken)
        applies = optimizer.decay_on == "both" or optimizer.decay_on == ("biases" if kind == "bias" else "weights")
        self.decay = optimizer.weight_decay if applies else 0.0

    def advance(self) -> None:
        """One step."""
        o = self.optimizer
        self.taken += 1
        if self.decay and o.decay == "decoupled":
            self.value = self.value * (1 - o.lr * self.decay)
        gradient = self.value * (self.decay if o.decay == "l2" else 0.0)
        if o.name == "sgd":
            velocity = o.momentum * self.memory["velocity"] + gradient if o.momentum else gradient
            if o.momentum:
                self.memory["velocity"] = velocity
            self.value = self.value - o.lr * (gradient + o.momentum * velocity if o.nesterov else velocity)
            return
        self.memory["first"] = o.beta1 * self.memory["first"] + (1 - o.beta1) * gradient
        self.memory["second"] = o.beta2 * self.memory["second"] + (1 - o.beta2) * gradient**2
        first = self.memory["first"] / (1 - o.beta1**self.taken)
        second = self.memory["second"] / (1 - o.beta2**self.taken)
        self.value = self.value - o.lr * first / (second.sqrt() + o.eps)

    def at(self, marks: Sequence[int]) -> Iterator[Tensor]:
        """The value after each of these numbers of steps from now, which rise."""
        done = 0
        for mark in marks:
            for _ in range(mark - done):
                self.advance()
            done = mark
            yield self.value


def is_linear(optimizer: Optimizer, memory: Sequence[Tensor]) -> bool:
    """Whether a path is a(t) · value + c(t) · velocity with the same a, c for every element: always under SGD; under Adam where
    nothing enters its memory (no L2 term) and nothing is in it.
    """
    if optimizer.name == "sgd":
        return True
    return not (optimizer.weight_decay and optimizer.decay == "l2") and not any(bool(tensor.any()) for tensor in memory)


def coefficients(optimizer: Optimizer, kind: str, taken: int, marks: Sequence[int]) -> list[tuple[float, float]]:
    """(a, c) of a linear path after each of these numbers of steps: the same recursion, run on the two unit vectors.

    >>> coefficients(Optimizer(lr=0.5, momentum=0.5), "weight", 0, (0, 1, 2))
    [(1.0, 0.0), (1.0, -0.25), (1.0, -0.375)]
    """
    one, zero = torch.tensor([1.0, 0.0]), torch.zeros(2)
    path = Path(optimizer, kind, one, {"velocity": torch.tensor([0.0, 1.0]), "first": zero, "second": zero}, taken)
    return [(float(value[0]), float(value[1])) for value in path.at(marks)]
