"""Finding stationary points of small networks: least squares on the gradient itself. Knows no data set and no study.

Minimising ½‖∇L‖² finds saddles and maxima as readily as minima, but also stalls at points where the gradient lies in the
Hessian's kernel, which are not stationary at all (Frye et al. 2021): every point comes with its residual.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from suite.config.schema import Optimizer
from suite.nets.mlp import Parameters
from suite.probes.curvature import Spectrum, negative_fraction, spectrum
from suite.training.curvature import Flat, Problem, flatten, gradient, hessian, unflatten
from suite.training.second_order import SecondOrder, uncoupled

#: The damping after a step that lowered ‖∇L‖, and after one that did not (Marquardt 1963), as factors.
EASED, TIGHTENED = 0.2, 4.0


class GradientNorm(SecondOrder):
    """Levenberg–Marquardt on ½‖∇L‖²: θ ← θ - lr·(H² + μI)⁻¹Hg, the Gauss-Newton step of the residual ∇L, whose Jacobian is H.

    μ is each replicate's own: at first optimizer.damping times the largest squared eigenvalue, smaller after a step that
    lowers ‖∇L‖, larger after one that does not, which is not taken.
    """

    def moved(self, flat: Flat, gradient_: Flat, problem: Problem) -> Flat:
        """The parameters after the step."""
        matrix = hessian(problem, flat)
        finite = torch.isfinite(matrix).flatten(1).all(dim=1)
        values, vectors = torch.linalg.eigh(torch.where(finite[:, None, None], matrix, 0.0))
        if not self.memory:
            self.memory = {"damping": self.config.damping * values.square().amax(dim=1)}
        # no smaller than the rounding of H², or a refused step could be repeated for ever
        least = torch.finfo(flat.dtype).eps * values.square().amax(dim=1)
        damping = torch.maximum(self.memory["damping"], least)
        projected = torch.bmm(vectors.transpose(1, 2), gradient_[:, :, None])[:, :, 0]
        below = values.square() + damping[:, None]
        weight = torch.where(below > 0, values / torch.where(below > 0, below, 1.0), 0.0)
        step = torch.bmm(vectors, (weight * projected)[:, :, None])[:, :, 0].masked_fill(uncoupled(matrix, gradient_), 0)
        trial = flat - self.config.lr * step
        lower = torch.linalg.vector_norm(gradient(problem, trial), dim=1) < torch.linalg.vector_norm(gradient_, dim=1)
        self.memory["damping"] = damping * torch.where(lower, EASED, TIGHTENED)
        moved = torch.where(lower[:, None], trial, flat)
        return torch.where(finite[:, None], moved, torch.nan)


@dataclass(frozen=True)
class Points:
    """Where the finder stopped, one point per start. ``flatness`` = ‖Hg‖ / (‖H‖_F ‖g‖), 0 where g is exactly zero."""

    flat: Flat
    loss: Float[Tensor, " replicate"]
    residual: Float[Tensor, " replicate"]
    flatness: Float[Tensor, " replicate"]
    eigenvalues: Spectrum

    def critical(self, tolerance: float) -> Bool[Tensor, " replicate"]:
        """Whether ‖∇L‖ is within the tolerance."""
        return self.residual <= tolerance

    def index(self) -> Float[Tensor, " replicate"]:
        """Share of negative Hessian eigenvalues."""
        return negative_fraction(self.eigenvalues)


def find(problem: Problem, starts: Flat, steps: int, damping: float = 1e-3) -> Points:
    """Take ``steps`` Levenberg–Marquardt steps from every start (float64) and measure where they end."""
    net = problem.net
    parameters: Parameters = {name: value.clone() for name, value in unflatten(net, starts).items()}
    stepper = GradientNorm(Optimizer(name="gradient_norm", lr=1.0, damping=damping), parameters)
    for _ in range(steps):
        stepper.step(parameters, unflatten(net, gradient(problem, flatten(net, parameters))), problem)
    flat = flatten(net, parameters)
    slope, matrix = gradient(problem, flat), hessian(problem, flat)
    residual = torch.linalg.vector_norm(slope, dim=1)
    scale = torch.linalg.matrix_norm(matrix) * residual
    bent = torch.linalg.vector_norm(torch.bmm(matrix, slope[:, :, None])[:, :, 0], dim=1)
    flatness = torch.where(scale > 0, bent / torch.where(scale > 0, scale, 1.0), 0.0)
    return Points(flat, problem.losses(flat), residual, flatness, spectrum(matrix))
