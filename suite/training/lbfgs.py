"""Limited-memory BFGS on a stack, every replicate with a memory of its own. Knows no curvature matrix."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from suite.training.curvature import Flat, Problem, gradient
from suite.training.second_order import SecondOrder

#: Sufficient decrease of a backtracking step (Nocedal and Wright 2006, equation 3.4), and how often the step is halved.
ARMIJO, HALVINGS = 1e-4, 30
#: A pair (s, y) is kept where s·y exceeds this share of ‖s‖‖y‖: along negative curvature there is nothing BFGS can keep.
CURVATURE = 1e-10


def _dot(a: Flat, b: Flat) -> Float[Tensor, " replicate"]:
    return (a * b).sum(dim=1)


def two_loop(slope: Flat, s: Float[Tensor, "pair replicate parameter"], y: Float[Tensor, "pair replicate parameter"]) -> Flat:
    """H·g by the two-loop recursion (Nocedal 1980), newest pair first, H₀ = (s·y / y·y) I of the newest. A pair of zeros is no
    pair, so replicates may remember different numbers of them.
    """
    inner = [_dot(s[k], y[k]) for k in range(len(s))]
    rho = [torch.where(value > 0, 1 / torch.where(value > 0, value, 1.0), 0.0) for value in inner]
    direction = slope
    alphas: list[Tensor] = []
    for k in range(len(s)):
        alphas.append(rho[k] * _dot(s[k], direction))
        direction = direction - alphas[k][:, None] * y[k]
    if len(s):
        # the newest pair of a replicate that has any is never empty
        scale = torch.where(inner[0] > 0, inner[0] / torch.where(inner[0] > 0, _dot(y[0], y[0]), 1.0), 1.0)
        direction = direction * scale[:, None]
    for k in reversed(range(len(s))):
        beta = rho[k] * _dot(y[k], direction)
        direction = direction + (alphas[k] - beta)[:, None] * s[k]
    return direction


class Lbfgs(SecondOrder):
    """L-BFGS with optimizer.history pairs and backtracking: the first trial is lr times the direction (of the gradient itself where
    nothing is remembered yet), halved until the loss falls enough, at most HALVINGS times; then the replicate stays.

    Both gradients of a pair are of the same batch (Schraudolph et al. 2007), so y measures curvature, not a change of batch.
    """

    def moved(self, flat: Flat, gradient_: Flat, problem: Problem) -> Flat:
        """The parameters after the step."""
        if not self.memory:
            empty = flat.new_zeros(flat.shape[0], self.config.history, flat.shape[1])
            self.memory = {"s": empty, "y": empty.clone()}
        s, y = (self.memory[key].transpose(0, 1) for key in ("s", "y"))
        direction = two_loop(gradient_, s, y)
        moved = self._backtracked(flat, gradient_, direction, problem)
        self._remember(moved - flat, gradient(problem, moved) - gradient_)
        return moved

    def _backtracked(self, flat: Flat, slope: Flat, direction: Flat, problem: Problem) -> Flat:
        before, decrease = problem.losses(flat), _dot(slope, direction)
        moved, searching = flat, torch.isfinite(before)
        rate = self.config.lr
        for _ in range(HALVINGS + 1):
            trial = flat - rate * direction
            enough = searching & (problem.losses(trial) <= before - ARMIJO * rate * decrease)
            moved = torch.where(enough[:, None], trial, moved)
            searching = searching & ~enough
            if not searching.any():
                break
            rate /= 2
        return torch.where(torch.isfinite(before)[:, None], moved, torch.nan)

    def _remember(self, s: Flat, y: Flat) -> None:
        """Push the pair where its curvature is positive; elsewhere the memory stays as it is."""
        sizes = torch.linalg.vector_norm(s, dim=1) * torch.linalg.vector_norm(y, dim=1)
        keep = (_dot(s, y) > CURVATURE * sizes)[:, None, None]
        for key, newest in (("s", s), ("y", y)):
            old = self.memory[key]
            pushed = torch.cat([newest[:, None, :], old[:, :-1]], dim=1)
            self.memory[key] = torch.where(keep, pushed, old)
