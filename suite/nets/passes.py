"""Whole-set passes in pieces that fit into memory, and what must be put together again. Knows no loss and no probe.

A perceptron takes its examples all at once. The maps of a convolutional network are too large for that: it takes them in slices
whose size depends on the network alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from suite.nets.cnn import Cnn
from suite.nets.mlp import Buffers, Mlp, Parameters
from suite.nets.rows import moments

#: Elements of the largest activation a whole-dataset pass may hold at once: about what a cache holds. Bounds memory, never numbers.
PASS_ELEMENTS = 2**20

#: The examples [replicate, example, feature] of a slice.
Inputs = Callable[[slice], Tensor]


def replicate_slices(count: int, per_replicate: int) -> Iterator[slice]:
    """Slices of the replicate dimension small enough for a whole-dataset pass.

    Every replicate is computed by itself in each operation, so the slicing cannot change a number, with one exception: a
    reduction to a single output takes another path through the kernels and may round differently. No slice therefore
    holds one replicate alone, unless there is only one.
    """
    size = max(2, PASS_ELEMENTS // max(per_replicate, 1))
    first = 0
    while first < count:
        last = count if count - (first + size) <= 1 else first + size
        yield slice(first, last)
        first = last


def example_slices(net: Mlp, examples: int) -> tuple[slice, ...]:
    """Slices of the examples: one for a perceptron, else as many as two replicates need to stay within PASS_ELEMENTS."""
    if not isinstance(net, Cnn):
        return (slice(0, examples),)
    size = max(net.least_slice, PASS_ELEMENTS // (2 * max(net.inputs, sum(net.held))))
    return tuple(slice(first, min(first + size, examples)) for first in range(0, examples, size))


def pass_elements(net: Mlp, examples: int) -> int:
    """Elements of a whole-set pass that one replicate holds at once."""
    largest: int = max(part.stop - part.start for part in example_slices(net, examples))
    return largest * max(net.inputs, net.outputs, sum(net.held))


@torch.no_grad()
def own_statistics(net: Mlp, parameters: Parameters, buffers: Buffers, inputs: Inputs, slices: tuple[slice, ...]) -> Buffers:
    """The mean and biased variance that every BatchNorm of ``net`` has over all the slices together, as running statistics: a pass
    in inference mode with them is a pass of the whole set in training mode, up to rounding. Layer by layer, each from a pass
    with the statistics of those before it; sums are in float64.
    """
    found = dict(buffers)
    for layer in net.normed:
        seen: list[tuple[int, Tensor, Tensor]] = []
        for part in slices:
            values = net.before_norm(parameters, found, inputs(part), layer)
            mean, var = moments(values.double())
            seen.append((values.shape[1], mean, var))
        total = sum(size for size, _, _ in seen)
        whole = torch.stack([mean * (size / total) for size, mean, _ in seen]).sum(dim=0)
        spread = torch.stack([(var + (mean - whole).square()) * (size / total) for size, mean, var in seen]).sum(dim=0)
        like = buffers[f"{layer}.running_mean"]
        found[f"{layer}.running_mean"], found[f"{layer}.running_var"] = whole.to(like), spread.to(like)
    return found


def over_positions(values: Tensor, positions: int, largest: bool = True) -> Float[Tensor, "replicate example unit"]:
    """The largest (or smallest) of each unit's values over the positions of every example."""
    if positions == 1:
        return values
    apart = values.reshape(values.shape[0], -1, positions, values.shape[2])
    return apart.amax(dim=2) if largest else apart.amin(dim=2)


@torch.no_grad()
def drive(
    net: Cnn,
    parameters: Parameters,
    buffers: Buffers,
    inputs: Float[Tensor, "replicate example feature"],
    index: int,
    largest: bool,
) -> Float[Tensor, "replicate example unit"]:
    """What hidden layer ``index`` makes of every example before its bias, BatchNorm using the set's own statistics; of a
    convolution the largest (or smallest) over all positions.
    """
    slices = example_slices(net, inputs.shape[1])
    if net.norm == "batch":
        buffers = own_statistics(net, parameters, buffers, lambda part: inputs[:, part], slices)
    bias = f"{net.layers[index]}.bias"
    unbiased = {**parameters, bias: torch.zeros_like(parameters[bias])}
    pieces = [net.driven(unbiased, buffers, inputs[:, part], index) for part in slices]
    return torch.cat([over_positions(piece, net.positions(index), largest) for piece in pieces], dim=1)
