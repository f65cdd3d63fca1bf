"""Curvature of a stack's loss: gradient, Hessian, Gauss-Newton matrix, per replicate. Knows no optimizer and changes nothing.

A replicate's parameters are one flat vector, in the order of ``Mlp.parameter_shapes``: [replicate, parameter].
Replicates share no term of the loss, so one derivative of the sum of their losses is each one's own, and a
tangent per replicate gives every replicate's own product in one pass.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, jvp, vmap

from suite.nets.mlp import Buffers, Mlp, Parameters
from suite.nets.passes import PASS_ELEMENTS
from suite.training.evaluate import Task
from suite.training.losses import Loss, binary_cross_entropy, cross_entropy, squared_error

Flat = Float[Tensor, "replicate parameter"]
Square = Float[Tensor, "replicate parameter parameter"]


@dataclass(frozen=True)
class Problem:
    """The loss of one batch as a function of the parameters: network, loss per example, inputs [replicate, batch, feature]
    and targets. BatchNorm uses the batch's own statistics, as training does.
    """

    net: Mlp
    loss: Loss
    inputs: Tensor
    targets: Tensor
    buffers: Buffers

    def output(self, flat: Flat) -> Float[Tensor, "replicate batch output"]:
        """What the network says for the batch."""
        return self.net.forward(unflatten(self.net, flat), self.buffers, self.inputs, training=True).output

    def losses(self, flat: Flat) -> Float[Tensor, " replicate"]:
        """Mean loss of each replicate over the batch."""
        return self.loss(self.output(flat), self.targets).mean(dim=1)


def flatten(net: Mlp, tensors: Mapping[str, Tensor]) -> Flat:
    """Parameters, or gradients, as one vector per replicate."""
    return torch.cat([tensors[name].flatten(1) for name in net.parameter_shapes()], dim=1)


def unflatten(net: Mlp, flat: Flat) -> Parameters:
    """The vectors as named tensors again (views where torch can)."""
    shapes = net.parameter_shapes()
    pieces = torch.split(flat, [prod(shape) for shape in shapes.values()], dim=1)
    return {name: piece.reshape(piece.shape[0], *shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)}


def count_parameters(net: Mlp) -> int:
    """Length of one replicate's vector."""
    return sum(prod(shape) for shape in net.parameter_shapes().values())


def gradient(problem: Problem, flat: Flat) -> Flat:
    """∇L of each replicate."""
    result: Tensor = grad(lambda vector: problem.losses(vector).sum())(flat)
    return result


def hessian_vector(problem: Problem, flat: Flat, vectors: Flat) -> Flat:
    """∇²L·v of each replicate with its own v: the derivative of ∇L along v, forward over reverse (Pearlmutter 1994)."""
    return _along(lambda vector: gradient(problem, vector), flat, vectors)


def hessian(problem: Problem, flat: Flat) -> Square:
    """∇²L of each replicate, one product per parameter, made symmetric to the last bit.

    >>> from suite.training.losses import squared_error
    >>> net = Mlp(1, (), 1, "relu", 0.0, "none", "before")
    >>> x, y = torch.tensor([[[1.0], [2.0]]]), torch.zeros(1, 2, 1)
    >>> hessian(Problem(net, squared_error, x, y, {}), torch.zeros(1, 2))  # 2/N · Σ (x, 1)(x, 1)ᵀ
    tensor([[[5., 3.],
             [3., 2.]]])
    """
    columns = _along_every_parameter(problem, flat, lambda tangent: hessian_vector(problem, flat, tangent))
    rows = columns.permute(1, 0, 2)
    return (rows + rows.transpose(1, 2)) / 2


def full_hessian(task: Task, parameters: Parameters, buffers: Buffers, examples: int | None) -> Square:
    """The Hessian of the training loss over the first ``examples`` training examples (None: all), in float64 whatever the
    precision of training, in training mode; running statistics stay.
    """
    count = next(iter(parameters.values())).shape[0]
    x, y = task.data.train_x[:examples].to(torch.float64), task.data.train_y[:examples]
    targets = y if task.classification else y.to(torch.float64)
    wide = {name: value.detach().to(torch.float64) for name, value in buffers.items()}
    problem = Problem(task.net, task.loss, x.expand(count, *x.shape), targets.expand(count, *targets.shape), wide)
    return hessian(problem, flatten(task.net, parameters).detach().to(torch.float64))


def jacobian(problem: Problem, flat: Flat) -> Float[Tensor, "replicate batch output parameter"]:
    """Derivative of every output by every parameter."""
    columns = _along_every_parameter(problem, flat, lambda tangent: _along(problem.output, flat, tangent))
    return columns.permute(1, 2, 3, 0)


def gauss_newton(problem: Problem, flat: Flat) -> Square:
    """Generalised Gauss-Newton matrix G = 1/N Σ Jᵀ M J, J the Jacobian of an example's outputs and M the Hessian of its
    loss in them (Schraudolph 2002).

    Each loss here is, up to its scale, the negative log-likelihood of an exponential family in its natural parameter, or a
    Gaussian of fixed variance about the output; G is then the Fisher matrix and a Gauss-Newton step is a natural gradient
    step (Martens 2020, section 9). It is positive semidefinite: it leaves out M-weighted second derivatives of the
    outputs, the only place where negative curvature can come from.
    """
    factor = output_factor(problem, flat)
    weighted = torch.matmul(factor.transpose(2, 3), jacobian(problem, flat)).flatten(1, 2)
    return torch.bmm(weighted.transpose(1, 2), weighted) / problem.inputs.shape[1]


def output_factor(problem: Problem, flat: Flat) -> Float[Tensor, "replicate batch output column"]:
    """S with S·Sᵀ = M, the Hessian of each example's loss in the outputs.

    Softmax cross-entropy, p the probabilities: M = diag(p) - ppᵀ, S = diag(√p) - p√pᵀ. Squared error over O outputs:
    M = 2/O. Binary cross-entropy over O logits: M = diag(p(1-p))/O. Any other loss: the eigenvectors of M, its negative
    eigenvalues, which a convex loss does not have, left out.
    """
    output = problem.output(flat)
    width = output.shape[2]
    if problem.loss is cross_entropy:
        p = output.softmax(dim=2)
        root = p.sqrt()
        softmax: Tensor = torch.diag_embed(root) - p[..., None] * root[..., None, :]
        return softmax
    if problem.loss is squared_error:
        return torch.diag_embed(torch.full_like(output, (2 / width) ** 0.5))
    if problem.loss is binary_cross_entropy:
        # σ(x)·σ(-x) keeps its digits where 1 - σ(x) has lost them
        return torch.diag_embed((output.sigmoid() * (-output).sigmoid() / width).sqrt())
    values, vectors = torch.linalg.eigh(output_hessian(problem, output))
    root_of_hessian: Tensor = vectors * values.clamp(min=0).sqrt()[..., None, :]
    return root_of_hessian


def output_hessian(problem: Problem, output: Float[Tensor, "replicate batch output"]) -> Float[Tensor, "replicate batch output output"]:
    """Hessian of each example's loss in its outputs, by differentiating twice."""
    first = grad(lambda values: problem.loss(values, problem.targets).sum())
    unit = torch.eye(output.shape[2], dtype=output.dtype, device=output.device)
    rows: Tensor = vmap(lambda direction: _along(first, output, direction.expand_as(output)))(unit)
    return rows.permute(1, 2, 3, 0)


@cache
def _forward_mode() -> None:
    """Torch loads forward mode at its first use, and its own loading warns of a part of torch that is deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        jvp(torch.sin, (torch.zeros(()),), (torch.zeros(()),))


def _along(function: Callable[[Tensor], Tensor], at: Tensor, tangent: Tensor) -> Tensor:
    """Directional derivative of a function along a tangent of its argument's shape."""
    _forward_mode()
    result: Tensor = jvp(function, (at,), (tangent,))[1]
    return result


def _along_every_parameter(problem: Problem, flat: Flat, product: Callable[[Tensor], Tensor]) -> Tensor:
    """``product`` along each unit vector (the same one in every replicate), stacked first: [parameter, replicate, …]."""
    count, size = flat.shape
    widest = max(problem.net.inputs, problem.net.outputs, *problem.net.held)
    # several activations and their tangents are alive at once; the chunk bounds memory and changes no number
    chunk = max(1, PASS_ELEMENTS // (8 * count * problem.inputs.shape[1] * widest))
    unit = torch.eye(size, dtype=flat.dtype, device=flat.device)
    result: Tensor = vmap(lambda direction: product(direction.expand(count, size)), chunk_size=min(chunk, size))(unit)
    return result
