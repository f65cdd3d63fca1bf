"""What sets two stacks of parameters apart, in compiled code: the figures of ``suite.probes.differences``, in one pass."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

import torch
from torch import Tensor

from suite.training.native.build import built
from suite.training.native.steps import DTYPES, dense


def differences(now: Mapping[str, Tensor], then: Mapping[str, Tensor] | None = None) -> Tensor:
    """As ``suite.probes.differences.differences``: [parameter, 2, replicate].

    Raises ValueError for tensors that are not float32 or float64 on the CPU or whose shapes disagree, RuntimeError where compiled
    code is not available.
    """
    library = built().library
    if library is None:
        raise RuntimeError(f"compiled step not available: {built().reason}")
    values = list(now.values())
    dtype, count = values[0].dtype, len(values[0])
    if dtype not in DTYPES:
        raise ValueError(f"{dtype} is not covered by compiled code")
    shapes = [value.shape for value in values]
    here = [dense(value, shape, dtype, name) for (name, value), shape in zip(now.items(), shapes, strict=True)]
    there = None if then is None else [dense(then[name], shape, dtype, name) for name, shape in zip(now, shapes, strict=True)]
    found = torch.empty((len(values), 2, count), dtype=torch.float64)
    table = ctypes.c_void_p * len(values)
    getattr(library, f"differences_{DTYPES[dtype]}")(
        table(*[tensor.data_ptr() for tensor in here]),
        None if there is None else table(*[tensor.data_ptr() for tensor in there]),
        (ctypes.c_int64 * len(values))(*[shape.numel() // count for shape in shapes]),
        ctypes.c_int64(len(values)),
        ctypes.c_int64(count),
        ctypes.c_void_p(found.data_ptr()),
    )
    return found
