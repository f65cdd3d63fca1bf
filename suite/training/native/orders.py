"""Permutations from counter-based streams in compiled code: the numbers of ``suite.streams.permutations``, sooner."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from suite.training.native.build import built

#: The stream serves 32-bit numbers up to here; NumPy changes its method above.
LARGEST = 2**32


def permutations(keys: Sequence[int], examples: int) -> NDArray[np.int64]:
    """One permutation of the examples for each 128-bit key, [key, example], bit for bit NumPy's.

    Raises ValueError for fewer than one example or 2^32 and more, RuntimeError where compiled code is not available.
    """
    library = built().library
    if library is None:
        raise RuntimeError(f"compiled step not available: {built().reason}")
    if not 1 <= examples < LARGEST:
        raise ValueError(f"examples={examples} must lie in [1, 2^32)")
    halves = np.array([(key & (2**64 - 1), key >> 64) for key in keys], dtype=np.uint64).reshape(-1, 2)
    orders = np.empty((len(keys), examples), dtype=np.int64)
    library.permutations(_pointer(halves), ctypes.c_int64(len(keys)), ctypes.c_int64(examples), _pointer(orders))
    return orders


def _pointer(array: NDArray[np.generic]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
