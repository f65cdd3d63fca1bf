"""Runs a stretch of training steps of a plain stacked perceptron in compiled code. Knows no schedule and no probes.

The same numbers as the general engine's up to rounding: forward pass of ``suite.nets.mlp``, losses of
``suite.training.losses``, updates of ``suite.training.optimizers``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from suite.config.schema import Optimizer
from suite.nets.cnn import Cnn
from suite.nets.mlp import Mlp
from suite.training.native.build import built
from suite.training.optimizers import decay_of

#: What the optimizer keeps per parameter, in the order the kernel takes it.
_MEMORY = {"sgd": ("velocity",), "adam": ("first", "second")}
DTYPES = {torch.float32: "float32", torch.float64: "float64"}
_CROSS_ENTROPY, _SQUARED_LABELS, _SQUARED_TARGETS = 0, 1, 2


@dataclass(frozen=True)
class Stretch:
    """What a stretch of steps has seen.

    ``losses`` [replicate, step]: mean loss of each step's batch, at the parameters before its update.
    ``gradients``: per parameter, of the last step at the parameters before its update, without any decay term.
    ``pre``: per hidden layer the last step's pre-activations [replicate, batch, unit].
    ``grad_peak``: per parameter the largest |gradient element| of all steps [replicate]; NaN if there was a NaN.
    ``tally`` [parameter, 3, replicate], float64: of ``gradients`` how many elements are not zero, and the sum of their squares; then
    ``grad_peak`` again.
    ``batch_dead`` [replicate, step], float64: share of all hidden units at or below zero on the whole batch.
    """

    losses: Tensor
    gradients: dict[str, Tensor]
    pre: tuple[Tensor, ...]
    grad_peak: dict[str, Tensor]
    tally: Tensor
    batch_dead: Tensor


class NativeTask(ctypes.Structure):
    """The kernel's ``Task``, field by field."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("replicates", "steps", "batch", "examples", "linears")),
        ("sizes", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("leaky", "loss", "optimizer", "nesterov", "decoupled", "taken")),
        *((name, ctypes.c_double) for name in ("slope", "lr", "momentum", "beta1", "beta2", "eps", "decay_weights", "decay_biases")),
        *((name, ctypes.c_void_p) for name in ("train_x", "train_y", "indices", "losses", "asleep", "peaks", "tally", "tensors")),
    )


def supported(net: Mlp, optimizer: Optimizer, loss: str, dtype: torch.dtype) -> bool:
    """Whether the compiled step covers this network and training. A rule on the configuration alone."""
    return (
        not isinstance(net, Cnn)
        and net.norm == "none"
        and not net.skip
        and net.activation in ("relu", "leaky_relu")
        and net.output_unit == "linear"
        and len(net.hidden) >= 1
        and loss in ("cross_entropy", "squared_error")
        and dtype in DTYPES
        and optimizer.name in _MEMORY
    )


def run_steps(
    net: Mlp,
    optimizer: Optimizer,
    loss: str,
    parameters: Mapping[str, Tensor],
    memory: Mapping[str, Tensor],
    taken: int,
    train_x: Tensor,
    train_y: Tensor,
    indices: NDArray[np.int64],
) -> Stretch:
    """Take ``indices.shape[1]`` steps of every replicate, updating ``parameters`` and the optimizer's ``memory`` in place.

    ``indices`` [replicate, step, batch] chooses rows of ``train_x`` [example, feature] and ``train_y`` (labels [example] or
    targets [example, output]); ``taken`` is the number of optimizer steps before this call. The bits of a replicate
    depend on nothing but its own numbers: not on the other replicates, on how many steps a call takes, or on where memory
    lies. Raises ValueError for what ``supported`` excludes and for shapes or types that do not fit, IndexError for an
    index or a label out of range (nothing is updated then), RuntimeError where the compiled step is not available.
    """
    step = built()
    library = step.library
    if library is None:
        raise RuntimeError(f"compiled step not available: {step.reason}")
    dtype = next(iter(parameters.values())).dtype
    if not supported(net, optimizer, loss, dtype):
        raise ValueError("this network, optimizer, loss or precision is not covered by the compiled step")
    count, steps, batch = indices.shape
    if min(count, steps, batch) < 1:
        raise ValueError("indices must hold at least one replicate, step and example")
    shapes = net.parameter_shapes()
    memories = _MEMORY[optimizer.name] if optimizer.name != "sgd" or optimizer.momentum else ()
    stacked = {name: (count, *shape) for name, shape in shapes.items()}
    values = [dense(parameters[name], shape, dtype, name) for name, shape in stacked.items()]
    kept = [dense(memory[f"{name}.{kind}"], shape, dtype, f"{name}.{kind}") for kind in memories for name, shape in stacked.items()]
    examples = len(train_x)
    inputs = dense(train_x, (examples, net.inputs), dtype, "train_x")
    targets, kind = checked_targets(net, loss, train_y, examples, dtype)
    chosen = np.ascontiguousarray(indices, dtype=np.int64)

    losses = torch.empty((count, steps), dtype=dtype)
    asleep = torch.empty((count, steps), dtype=torch.float64)
    peaks = torch.empty((len(shapes), count), dtype=dtype)
    tally = torch.empty((len(shapes), 3, count), dtype=torch.float64)
    gradients = [torch.empty(shape, dtype=dtype) for shape in stacked.values()]
    pre = tuple([torch.empty((count, batch, width), dtype=dtype) for width in net.hidden])

    sizes = (ctypes.c_int64 * (len(net.hidden) + 2))(net.inputs, *net.hidden, net.outputs)
    tensors = [tensor.data_ptr() for tensor in (*values, *gradients, *kept, *pre)]
    table = (ctypes.c_void_p * len(tensors))(*tensors)
    task = NativeTask(
        *(count, steps, batch, examples, len(net.hidden) + 1),
        ctypes.addressof(sizes),
        *(net.activation == "leaky_relu", kind, optimizer.name == "adam", optimizer.nesterov, optimizer.decay == "decoupled", taken),
        *(net.negative_slope, optimizer.lr, optimizer.momentum, optimizer.beta1, optimizer.beta2, optimizer.eps),
        *(decay_of(optimizer, "output.weight"), decay_of(optimizer, "output.bias")),
        *(inputs.data_ptr(), targets.data_ptr(), chosen.ctypes.data),
        *(losses.data_ptr(), asleep.data_ptr(), peaks.data_ptr(), tally.data_ptr()),
        ctypes.addressof(table),
    )
    status = getattr(library, f"run_{DTYPES[dtype]}")(ctypes.byref(task))
    if status == 3:
        raise MemoryError("not enough memory for the compiled step's scratch")
    if status:
        raise IndexError("an index lies outside the training examples" if status == 1 else "a label lies outside the outputs")
    given = [*(parameters[name] for name in shapes), *(memory[f"{name}.{kind}"] for kind in memories for name in shapes)]
    for tensor, sent in zip(given, (*values, *kept), strict=True):
        if sent.data_ptr() != tensor.data_ptr():  # a copy was made, because the kernel needs rows one after the other
            tensor.detach().copy_(sent)
    return Stretch(losses, dict(zip(shapes, gradients, strict=True)), pre, dict(zip(shapes, peaks.unbind(), strict=True)), tally, asleep)


def checked_targets(net: Mlp, loss: str, targets: Tensor, examples: int, dtype: torch.dtype) -> tuple[Tensor, int]:
    """Targets as the kernel takes them, and its number for the loss."""
    if targets.ndim == 1:
        return dense(targets, (examples,), torch.int64, "targets"), _CROSS_ENTROPY if loss == "cross_entropy" else _SQUARED_LABELS
    if loss == "cross_entropy":
        raise ValueError("targets: cross-entropy needs integer labels [example]")
    return dense(targets, (examples, net.outputs), dtype, "targets"), _SQUARED_TARGETS


def dense(tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype, name: str) -> Tensor:
    """The tensor as the kernel takes it, or a copy of it where it is not dense."""
    if tensor.shape != shape or tensor.dtype != dtype or not tensor.is_cpu:
        raise ValueError(f"{name}: {shape} of {dtype} on the CPU expected, not {tuple(tensor.shape)} of {tensor.dtype} on {tensor.device}")
    return tensor if tensor.is_contiguous() else tensor.detach().contiguous()
