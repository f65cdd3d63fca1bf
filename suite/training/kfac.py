"""Kronecker-factored curvature (Martens & Grosse 2015): one small pair of matrices per linear layer. Knows no other method."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from suite.training.curvature import Flat, Problem, flatten, output_factor, unflatten
from suite.training.second_order import SecondOrder


@dataclass(frozen=True)
class Factors:
    """Of one linear layer with inputs a (a 1 appended for the bias) and output derivatives δ: ``inputs`` A = E[aaᵀ] and
    ``outputs`` E[δδᵀ], δ drawn from the model's own predictive distribution (its exact expectation, not a sample).
    """

    inputs: Float[Tensor, "replicate in1 in1"]
    outputs: Float[Tensor, "replicate out out"]


def factors(problem: Problem, flat: Flat) -> dict[str, Factors]:
    """The factors of every linear layer. The layer's Fisher block is E[aaᵀ ⊗ δδᵀ]; the approximation is A ⊗ E[δδᵀ].

    ΣS·Sᵀ over the columns of ``output_factor`` is the Fisher matrix of the outputs, so one backward pass per column gives the
    expectation exactly.
    """
    net, size = problem.net, problem.inputs.shape[1]
    root = output_factor(problem, flat)
    with torch.enable_grad():
        leaves = unflatten(net, flat.detach().requires_grad_())
        forward = net.forward(leaves, problem.buffers, problem.inputs, training=True)
        places = [*forward.pre, forward.output]
        columns = [
            torch.autograd.grad(forward.output, places, root[..., c], retain_graph=True, allow_unused=True, materialize_grads=True)
            for c in range(root.shape[3])
        ]
    found: dict[str, Factors] = {}
    for index, (name, _, _) in enumerate(net.linears):
        values = (problem.inputs if index == 0 else forward.post[index - 1]).detach()
        ones = torch.ones_like(values[..., :1])
        extended = torch.cat([values, ones], dim=2)
        delta = torch.cat([column[index] for column in columns], dim=1)
        if name == "output" and net.output_unit == "sigmoid":
            slope = (forward.output * (1 - forward.output)).detach()
            delta = delta * slope.repeat(1, root.shape[3], 1)
        found[name] = Factors(
            torch.bmm(extended.transpose(1, 2), extended) / size,
            torch.bmm(delta.transpose(1, 2), delta) / size,
        )
    return found


class Kfac(SecondOrder):
    """K-FAC's d = (A ⊗ B + λI)⁻¹g layer by layer, λ = optimizer.damping, in the factors' eigenbases: exact Tikhonov damping of the
    Kronecker product rather than of each factor. No running averages: the factors are the current batch's. λ = 0 takes the pseudo-inverse.
    """

    def moved(self, flat: Flat, gradient: Flat, problem: Problem) -> Flat:
        """The parameters after the step."""
        slopes = unflatten(problem.net, gradient)
        direction: dict[str, Tensor] = {}
        layers = factors(problem, flat)
        self.formed(*(factor for layer in layers.values() for factor in (layer.inputs, layer.outputs)))
        for name, layer in layers.items():
            # rows are inputs, the bias last; columns are the layer's outputs
            block = torch.cat([slopes[f"{name}.weight"], slopes[f"{name}.bias"][:, None, :]], dim=1)
            solved = kronecker_solve(layer, block, self.config.damping)
            direction[f"{name}.weight"], direction[f"{name}.bias"] = solved[:, :-1], solved[:, -1]
        return flat - self.config.lr * flatten(problem.net, direction)


def kronecker_solve(layer: Factors, block: Float[Tensor, "replicate in1 out"], damping: float) -> Float[Tensor, "replicate in1 out"]:
    """X with A·X·B + damping·X = block, by the eigenvectors of both factors; least squares where that is singular.

    An output unit that the loss does not see at all (a dead one) has a row of exact zeros in B and a column of zeros in
    ``block``; its column of X is exactly zero, as in exact arithmetic. Likewise an input that is always zero.
    """
    finite = (
        torch.isfinite(layer.inputs).flatten(1).all(dim=1)
        & torch.isfinite(layer.outputs).flatten(1).all(dim=1)
        & torch.isfinite(block).flatten(1).all(dim=1)
    )
    ok = finite[:, None, None]
    a, u = torch.linalg.eigh(_without_subnormals(torch.where(ok, layer.inputs, 0.0)))
    b, v = torch.linalg.eigh(_without_subnormals(torch.where(ok, layer.outputs, 0.0)))
    spectrum = a.clamp(min=0)[:, :, None] * b.clamp(min=0)[:, None, :]
    rounding = (a.shape[1] * b.shape[1]) * torch.finfo(a.dtype).eps * spectrum.flatten(1).amax(dim=1)[:, None, None]
    turned = torch.bmm(torch.bmm(u.transpose(1, 2), torch.where(ok, block, 0.0)), v)
    damped = spectrum + damping
    small = damped <= rounding
    solved = torch.bmm(torch.bmm(u, torch.where(small, 0.0, turned / torch.where(small, 1.0, damped))), v.transpose(1, 2))
    unseen = (layer.outputs == 0).all(dim=2) & (block == 0).all(dim=1)
    silent = (layer.inputs == 0).all(dim=2) & (block == 0).all(dim=2)
    solved = solved.masked_fill(unseen[:, None, :], 0).masked_fill(silent[:, :, None], 0)
    return torch.where(ok, solved, torch.nan)


def _without_subnormals(matrix: Float[Tensor, "replicate n n"]) -> Float[Tensor, "replicate n n"]:
    """Entries too small for full precision as zeros: LAPACK's eigensolver can fail to converge on them (a unit that is almost
    saturated on every input leaves such a factor).
    """
    return torch.where(matrix.abs() < torch.finfo(matrix.dtype).tiny, 0.0, matrix)
