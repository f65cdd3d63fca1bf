"""Cauchy's step: the gradient, at the length its own curvature asks for. One Hessian-vector product and no matrix."""

from __future__ import annotations

import torch

from suite.training.curvature import Flat, Problem, hessian_vector
from suite.training.second_order import SecondOrder


class Cauchy(SecondOrder):
    """d = g·(gᵀg)/(|gᵀHg| + λgᵀg), λ = optimizer.damping: the minimiser along the gradient of the local quadratic (Cauchy 1847), and
    as far down where it bends the other way. Costs a gradient and one Hessian-vector product (Pearlmutter 1994).
    """

    def moved(self, flat: Flat, gradient: Flat, problem: Problem) -> Flat:
        """The parameters after the step; a gradient of exactly zero leaves them as they are."""
        size = gradient.square().sum(dim=1, keepdim=True)
        bent = (gradient * hessian_vector(problem, flat, gradient)).sum(dim=1, keepdim=True)
        pull = bent.abs() + self.config.damping * size
        return flat - self.config.lr * torch.where(pull == 0, 0.0, size / torch.where(pull == 0, 1.0, pull)) * gradient
