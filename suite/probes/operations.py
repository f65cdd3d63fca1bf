"""Floating-point operations of one step, by formula: leading terms, multiplications and additions counted apart. Knows no clock.

A product of [a, b] with [b, c] counts 2abc. With n₀ inputs, layers of n₁ … n_L (the outputs last), N examples and P parameters, a
forward pass has F = 2N Σ nₗ₋₁nₗ; the backward pass has as much again for the weights, and as much but for the first layer for
the activations. Element-wise work, biases and sorting are left out, which is why small networks take far longer than this says.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from suite.probes.views import Layout

#: A symmetric eigenproblem with vectors, in n³ (Golub and Van Loan 2013, section 8.3: symmetric QR).
EIGEN = 9


def forward_flops(sizes: Sequence[int], examples: int) -> int:
    """One forward pass through layers of these sizes, inputs first.

    >>> forward_flops([2, 3, 4], 5)
    180
    """
    return 2 * examples * sum(a * b for a, b in pairwise(sizes))


def gradient_flops(sizes: Sequence[int], examples: int) -> int:
    """One forward and one backward pass.

    >>> gradient_flops([2, 3, 4], 5)
    480
    """
    return 3 * forward_flops(sizes, examples) - 2 * examples * sizes[0] * sizes[1]


def parameters_of(sizes: Sequence[int]) -> int:
    """Weights and biases.

    >>> parameters_of([2, 3, 4])
    25
    """
    return sum((a + 1) * b for a, b in pairwise(sizes))


def step_flops(layout: Layout) -> int:
    """One update of one replicate by the condition's optimizer. Norms and skips are not counted."""
    sizes, n = (layout.inputs, *layout.widths, layout.outputs), layout.batch_size
    forward, gradient, size = forward_flops(sizes, n), gradient_flops(sizes, n), parameters_of(sizes)
    # along a direction every product of the gradient becomes two, beside the gradient itself
    match layout.optimizer.name:
        case "cauchy":
            return gradient + 3 * gradient
        case "lbfgs":
            # the slope after the step, the loss before it, one trial at least, and two passes over the pairs
            return 2 * gradient + 2 * forward + 8 * layout.optimizer.history * size
        case "gauss_newton":
            columns = n * sizes[-1]
            return gradient + forward + 2 * size * forward + 2 * columns * sizes[-1] * size + 2 * columns * size**2 + EIGEN * size**3
        case "kfac":
            pairs = [(a + 1, b) for a, b in pairwise(sizes)]
            passes = forward + sizes[-1] * (gradient - forward)
            built = sum(2 * n * (a**2 + sizes[-1] * b**2) for a, b in pairs)
            solved = sum(EIGEN * (a**3 + b**3) + 4 * a * b * (a + b) for a, b in pairs)
            return gradient + passes + built + solved
        case "newton" | "damped_newton" | "saddle_free_newton" | "trust_region" | "gradient_norm":
            return 2 * gradient + 2 * size * gradient + EIGEN * size**3
        case _:
            return gradient
