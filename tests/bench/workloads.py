"""What is trained in the benchmarks, and what it costs in arithmetic. Knows neither torch nor the suite."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """A ReLU multilayer perceptron with these layer ``sizes``, trained by SGD with momentum in float32.

    ``steps`` is how long one timed call trains: a second or two for 32 replicates on one core. Short calls and many rounds find
    quiet moments of a shared machine.
    """

    name: str
    data: str
    sizes: tuple[int, ...]
    batch: int
    steps: int
    lr: float
    momentum: float = 0.9

    @property
    def hidden(self) -> tuple[int, ...]:
        """Widths of the hidden layers."""
        return self.sizes[1:-1]

    @property
    def parameters(self) -> int:
        """Weights and biases of one network."""
        return sum(fan_in * fan_out + fan_out for fan_in, fan_out in zip(self.sizes[:-1], self.sizes[1:], strict=True))

    @property
    def flops(self) -> int:
        """Floating-point operations of one step of one replicate in matrix products: 2·B·in·out per layer for the forward
        pass and for dW, and for dX in every layer but the first. Everything element-wise is left out.
        """
        products = [2 * self.batch * fan_in * fan_out for fan_in, fan_out in zip(self.sizes[:-1], self.sizes[1:], strict=True)]
        return 3 * sum(products) - products[0]


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("digits", "digits", (64, 32, 10), 64, 300, 0.1),
        Workload("wide", "fashion_mnist", (784, 128, 10), 128, 20, 0.05),
        Workload("deep", "fashion_mnist", (784, 256, 256, 256, 10), 128, 6, 0.05),
    )
}
