"""Second-order steps on a stack: each replicate's gradient, turned and scaled by its own curvature. Knows no schedule.

Unlike a first-order optimizer, a step here is given the batch's loss as a function (``curvature.Problem``). Every method but
``trust_region`` multiplies the gradient by a matrix: where the gradient is exactly zero, so is the step.

Eigenvalues decide everything, so these methods want ``precision=float64``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from suite.config.schema import Optimizer
from suite.nets.mlp import Parameters
from suite.training.curvature import Flat, Problem, Square, flatten, gauss_newton, hessian, unflatten


class SecondOrder(ABC):
    """A stepper that is given the problem. ``memory`` is its state, each tensor with the replicate dimension first.

    θ ← θ - lr·d, d the method's direction.
    """

    def __init__(self, config: Optimizer, parameters: Parameters) -> None:
        self.config = config
        self.taken = 0
        self.memory: dict[str, Tensor] = {}
        self._formed = 0

    def state(self) -> dict[str, Tensor]:
        """The memory as it stands (not a copy), ``taken``, the number of steps taken, and ``held``, the bytes of curvature (matrices
        formed in the latest step, or the memory where that is what is known of it).
        """
        return self.memory | {"taken": torch.tensor(self.taken), "held": torch.tensor(self.held)}

    @property
    def held(self) -> int:
        """Bytes of curvature held for the whole stack."""
        return self._formed or sum(value.nbytes for value in self.memory.values())

    def formed(self, *matrices: Tensor) -> None:
        """Note the matrices that the step rests on."""
        self._formed = sum(matrix.nbytes for matrix in matrices)

    def clear(self) -> None:
        """Forget everything, as a newly made optimizer."""
        self.taken = 0
        self.memory = {}

    @torch.no_grad()
    def step(self, parameters: Parameters, gradients: Mapping[str, Tensor], problem: Problem) -> None:
        """One update in place."""
        flat = flatten(problem.net, parameters)
        moved = self.moved(flat, flatten(problem.net, gradients), problem)
        self.taken += 1
        for name, value in unflatten(problem.net, moved).items():
            parameters[name].copy_(value)

    @abstractmethod
    def moved(self, flat: Flat, gradient: Flat, problem: Problem) -> Flat:
        """The parameters after the step."""


def spectral_product(matrix: Square, vector: Flat, response: Callable[[Tensor, Tensor], Tensor]) -> Flat:
    """Σ f(λ) u uᵀ v over the eigenpairs of each replicate's symmetric matrix.

    ``response`` is told the eigenvalues and, [replicate, 1], the size below which one is rounding (dimension · ε · largest,
    as in NumPy's pinv). A coordinate whose row of the matrix and entry of the vector are exactly zero stays exactly zero: in
    exact arithmetic no f couples it to the others, but an eigensolver may rotate it into them by an ulp. A matrix that is not
    finite gives NaN, in its own replicate alone.
    """
    finite = torch.isfinite(matrix).flatten(1).all(dim=1)
    unit = torch.eye(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)
    values, vectors = torch.linalg.eigh(torch.where(finite[:, None, None], matrix, unit))
    rounding = matrix.shape[1] * torch.finfo(matrix.dtype).eps * values.abs().amax(dim=1, keepdim=True)
    projected = torch.bmm(vectors.transpose(1, 2), vector[:, :, None])
    product = torch.bmm(vectors, response(values, rounding)[:, :, None] * projected)[:, :, 0]
    product = product.masked_fill(uncoupled(matrix, vector), 0)
    return torch.where(finite[:, None], product, torch.nan)


def uncoupled(matrix: Square, vector: Flat) -> Bool[Tensor, "replicate parameter"]:
    """Where both the matrix's row and the vector's entry are exactly zero."""
    return (matrix == 0).all(dim=2) & (vector == 0)


def reciprocal(values: Tensor, rounding: Tensor) -> Tensor:
    """1/x, and 0 where x is no larger than rounding: the pseudo-inverse's rule."""
    small = values.abs() <= rounding
    return torch.where(small, 0.0, 1 / torch.where(small, 1.0, values))


class Newton(SecondOrder):
    """Newton's d = H⁺g, undamped; the pseudo-inverse leaves flat directions alone. It goes to the stationary point of the local quadratic,
    be that a minimum, a saddle or a maximum: along negative curvature it climbs.
    """

    def moved(self, flat: Flat, gradient: Flat, problem: Problem) -> Flat:
        """The parameters after the step."""
        matrix = hessian(problem, flat)
        self.formed(matrix)
        return flat - self.config.lr * spectral_product(matrix, gradient, reciprocal)


class DampedNewton(SecondOrder):
    """Damped d = (H + λI)⁻¹g, λ = optimizer.damping (Levenberg 1944). A λ below the most negative eigenvalue's size still climbs."""

    def moved(self, flat: Flat, gradient: Flat, problem: Problem) -> Flat:
        """The parameters after the step."""
        damping = self.config.damping
        matrix = hessian(problem, flat)
        self.formed(matrix)
        return flat - self.config.lr * spectral_product(matrix, gradient, lambda v, r: reciprocal(v + damping, r))


class SaddleFreeNewton(SecondOrder):
    """Saddle-free d = (|H| + λI)⁻¹g, |H| with the absolute eigenvalues (Dauphin et al. 2014): descends along every curved direction."""

    def moved(self, flat: Flat, gradient: Flat, problem: Problem) -> Flat:
        """The parameters after the step."""
        damping = self.config.damping
        matrix = hessian(problem, flat)
        self.formed(matrix)
        return flat - self.config.lr * spectral_product(matrix, gradient, lambda v, r: reciprocal(v.abs() + damping, r))


class GaussNewton(SecondOrder):
    """Damped d = (G + λI)⁻¹g, G the generalised Gauss-Newton matrix; with these losses it is the Fisher matrix up to the loss's scale,
    so this is also natural gradient descent (Amari 1998; Martens 2020). λ = 0 takes the pseudo-inverse.
    """

    def moved(self, flat: Flat, gradient: Flat, problem: Problem) -> Flat:
        """The parameters after the step."""
        damping = self.config.damping
        matrix = gauss_newton(problem, flat)
        self.formed(matrix)
        return flat - self.config.lr * spectral_product(matrix, gradient, lambda v, r: reciprocal(v.clamp(min=0) + damping, r))


#: Bisections for the multiplier of a trust-region step: halves a bracket down to the last digits of float64.
BISECTIONS = 60


class TrustRegion(SecondOrder):
    """The exact minimiser of the local quadratic within a radius (Moré and Sorensen 1983), the radius fitted by the ratio of real
    to predicted decrease (Nocedal and Wright 2006, algorithm 4.1); optimizer.lr is the first radius.

    The one method here that needs no gradient: where g is exactly zero and H has a negative eigenvalue, the minimiser
    lies on the boundary along its eigenvector, and the step goes there (sign: the largest component made positive).
    A step that does not lower the loss is not taken.
    """

    def moved(self, flat: Flat, gradient: Flat, problem: Problem) -> Flat:
        """The parameters after the step."""
        if not self.memory:
            self.memory = {"radius": torch.full_like(flat[:, 0], self.config.lr)}
        radius = self.memory["radius"]
        matrix = hessian(problem, flat)
        self.formed(matrix)
        step = trust_region_step(matrix, gradient, radius)
        bent = torch.bmm(matrix, step[:, :, None])[:, :, 0]
        predicted = -(gradient * step).sum(dim=1) - (step * bent).sum(dim=1) / 2
        before = problem.losses(flat)
        gained = before - problem.losses(flat + step)
        ratio = torch.where(predicted > 0, gained / predicted, 0.0)
        at_edge = torch.linalg.vector_norm(step, dim=1) >= 0.99 * radius
        grown = torch.where((ratio > 0.75) & at_edge, 2 * radius, radius)
        # a step of no predicted gain says nothing about the radius
        self.memory["radius"] = torch.where((ratio < 0.25) & (predicted > 0), radius / 4, grown)
        taken = torch.where((gained > 0)[:, None], flat + step, flat)
        return torch.where(torch.isfinite(before)[:, None], taken, torch.nan)


def trust_region_step(matrix: Square, gradient: Flat, radius: Float[Tensor, " replicate"]) -> Flat:
    """Argmin g·s + ½ sᵀHs over ‖s‖ ≤ radius: s = -(H + μI)⁻¹g with the smallest μ ≥ 0 that makes H + μI positive semidefinite
    and ‖s‖ ≤ radius; in the hard case filled up to the radius along the lowest eigenvector.
    """
    finite = torch.isfinite(matrix).flatten(1).all(dim=1) & torch.isfinite(gradient).all(dim=1)
    unit = torch.eye(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)
    values, vectors = torch.linalg.eigh(torch.where(finite[:, None, None], matrix, unit))
    projected = torch.bmm(vectors.transpose(1, 2), torch.where(finite[:, None], gradient, 0.0)[:, :, None])[:, :, 0]
    rounding = matrix.shape[1] * torch.finfo(matrix.dtype).eps * values.abs().amax(dim=1, keepdim=True)

    def at(shift: Tensor) -> Tensor:
        solved: Tensor = -projected / (values + shift[:, None]).clamp(min=torch.finfo(values.dtype).tiny)
        return solved

    lowest = values[:, 0]
    floor = (-lowest).clamp(min=0)
    # at μ = floor + ‖g‖/radius every eigenvalue is at least ‖g‖/radius, so ‖s‖ ≤ radius
    low, high = floor, floor + torch.linalg.vector_norm(projected, dim=1) / radius
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        long = torch.linalg.vector_norm(at(middle), dim=1) > radius
        low, high = torch.where(long, middle, low), torch.where(long, high, middle)
    # at the floor itself, a gradient with any part along the flat directions would go to infinity: that is not inside
    inner = -projected * reciprocal(values + floor[:, None], rounding)
    noise = matrix.shape[1] * torch.finfo(values.dtype).eps * torch.linalg.vector_norm(projected, dim=1, keepdim=True)
    pulled = ((values + floor[:, None] <= rounding) & (projected.abs() > noise)).any(dim=1)
    inside = (torch.linalg.vector_norm(inner, dim=1) <= radius) & ~pulled
    step = torch.where(inside[:, None], inner, at(high))
    # hard case: negative curvature, and the gradient does not reach the boundary by itself
    missing = (radius.square() - step.square().sum(dim=1)).clamp(min=0).sqrt()
    hard = inside & (lowest < -rounding[:, 0])
    bottom = vectors[:, :, 0]
    largest = bottom.gather(1, bottom.abs().argmax(dim=1, keepdim=True))
    along = bottom * torch.sign(largest) * torch.where(hard, missing, 0.0)[:, None]
    product: Tensor = torch.bmm(vectors, step[:, :, None])[:, :, 0] + along
    return product.masked_fill(uncoupled(matrix, gradient), 0)
