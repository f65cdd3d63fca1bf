"""Arrow arrays from NumPy's, buffer by buffer. Knows types, no columns.

``pa.array`` and ``pa.table`` would do, but import pandas to see whether they were given something of its, which takes longer than
writing a whole record.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

TYPES = {"int8": pa.int8(), "int32": pa.int32(), "int64": pa.int64(), "float64": pa.float64()}


def numbers(values: NDArray[Any], missing: NDArray[np.bool_] | None = None) -> pa.Array:
    """Numbers of one of TYPES, null where ``missing``. Raises KeyError for another type."""
    valid = None if missing is None or not missing.any() else _bits(~missing)
    return pa.Array.from_buffers(TYPES[values.dtype.name], len(values), [valid, pa.py_buffer(np.ascontiguousarray(values))])


def flags(values: NDArray[np.bool_]) -> pa.Array:
    """True and false."""
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, _bits(values)])


def texts(values: list[str]) -> pa.Array:
    """Strings, two GiB of them at most."""
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    return pa.Array.from_buffers(pa.string(), len(values), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))])


def table(columns: dict[str, Any]) -> pa.Table:
    """A table of named arrays."""
    return pa.Table.from_arrays(list(columns.values()), list(columns))


def _bits(values: NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))
