"""Born-dead probabilities in closed form (Lu, Shin, Su and Karniadakis 2020). Knows widths and depths, no tensors.

A network is born dead when some hidden layer is silent on every input before training. Weights are symmetric about zero and
independent; every hidden layer has ``width`` units, and there are ``hidden`` of them (a "10-layer" network has 9).
"""

from __future__ import annotations


def born_dead_one_input(width: int, hidden: int) -> float:
    """1 - (1 - 2^-N)^H: exact for a single input and zero biases, since each unit is silent with probability 1/2 as long as
    the layer before it is not. For several inputs it is an upper bound: all must be silenced at once.

    >>> round(born_dead_one_input(2, 9), 4)
    0.9249
    """
    _check(width, hidden)
    return 1.0 - (1.0 - 2.0**-width) ** hidden


def born_dead_lower(width: int, hidden: int) -> float:
    """A lower bound for one-dimensional inputs of both signs and zero biases (Lu et al. 2020, theorem 3.4):
    1 - a₁^l - (1 - 2^(1-N)) (1 - 2^-N) / (1 + (N-1) 2^-N) (a₁^l - a₂^l) with l = H - 1, a₁ = 1 - 2^-N and
    a₂ = 1 - 2^(1-N) - (N-1) 4^-N.

    >>> round(born_dead_lower(2, 9), 4)
    0.8703
    """
    _check(width, hidden)
    n, layers = width, hidden - 1
    first, second = 1.0 - 2.0**-n, 1.0 - 2.0 ** (1 - n) - (n - 1) * 4.0**-n
    weight = (1.0 - 2.0 ** (1 - n)) * (1.0 - 2.0**-n) / (1.0 + (n - 1) * 2.0**-n)
    return 1.0 - first**layers - weight * (first**layers - second**layers)


def _check(width: int, hidden: int) -> None:
    if width < 1 or hidden < 1:
        raise ValueError(f"width={width} and hidden={hidden} must be at least 1")
