"""Passes a whole set of examples through every replicate in compiled code: losses, accuracies, what each unit shows."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from suite.config.schema import Optimizer
from suite.nets.mlp import Mlp
from suite.training.native.build import built
from suite.training.native.steps import DTYPES, NativeTask, checked_targets, dense, run_steps, supported


@dataclass(frozen=True)
class Sight:
    """What a set of examples shows of every replicate.

    ``losses`` (mean), ``accuracies`` (share classified right; 0 for targets that are no labels) and ``ranges`` (largest
    difference between any output unit's values), each float64 [replicate]; per hidden layer ``max_pre``, the largest
    pre-activation, and ``mean_abs_post``, the mean |activation|, each [replicate, unit].
    """

    losses: Tensor
    accuracies: Tensor
    ranges: Tensor
    max_pre: tuple[Tensor, ...]
    mean_abs_post: tuple[Tensor, ...]


class _View(ctypes.Structure):
    """The kernel's ``View``, field by field."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in ("top", "mean", "losses", "accuracies", "ranges"))


def look(net: Mlp, loss: str, parameters: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Sight:
    """Look at examples ``x`` [example, feature] with labels [example] or targets [example, output] ``y``. Changes nothing.

    As for ``run_steps``, a replicate's bits depend on its own numbers alone. Raises ValueError for what ``supported``
    excludes and for shapes or types that do not fit, IndexError for a label out of range, RuntimeError where the compiled step
    is not available.
    """
    library = built().library
    if library is None:
        raise RuntimeError(f"compiled step not available: {built().reason}")
    dtype = next(iter(parameters.values())).dtype
    if not supported(net, Optimizer(), loss, dtype):
        raise ValueError("this network, loss or precision is not covered by the compiled step")
    count, examples = len(next(iter(parameters.values()))), len(x)
    values = [dense(parameters[name], (count, *shape), dtype, name) for name, shape in net.parameter_shapes().items()]
    inputs = dense(x, (examples, net.inputs), dtype, "x")
    targets, kind = checked_targets(net, loss, y, examples, dtype)
    figures = torch.zeros((3, count), dtype=torch.float64)
    tops = [torch.empty((count, width), dtype=dtype) for width in net.hidden]
    means = [torch.empty((count, width), dtype=dtype) for width in net.hidden]
    tables = [(ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors)) for tensors in (values, tops, means)]
    sizes = (ctypes.c_int64 * (len(net.hidden) + 2))(net.inputs, *net.hidden, net.outputs)
    task = NativeTask(
        replicates=count,
        examples=examples,
        linears=len(net.hidden) + 1,
        sizes=ctypes.addressof(sizes),
        leaky=net.activation == "leaky_relu",
        slope=net.negative_slope,
        loss=kind,
        train_x=inputs.data_ptr(),
        train_y=targets.data_ptr(),
        tensors=ctypes.addressof(tables[0]),
    )
    view = _View(ctypes.addressof(tables[1]), ctypes.addressof(tables[2]), *(row.data_ptr() for row in figures))
    status = getattr(library, f"look_{DTYPES[dtype]}")(ctypes.byref(task), ctypes.byref(view))
    if status == 3:
        raise MemoryError("not enough memory for the compiled step's scratch")
    if status:
        raise IndexError("a label lies outside the outputs")
    return Sight(figures[0], figures[1], figures[2], tuple(tops), tuple(means))


def gradients(net: Mlp, loss: str, parameters: Mapping[str, Tensor], x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Gradient of every replicate's mean loss over all of the examples. Changes nothing: the step is taken by a copy."""
    copies = {name: value.clone() for name, value in parameters.items()}
    count = len(next(iter(copies.values())))
    everything = np.broadcast_to(np.arange(len(x)), (count, 1, len(x)))
    return run_steps(net, Optimizer(), loss, copies, {}, 0, x, y, everything).gradients
