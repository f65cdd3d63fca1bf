"""Percentiles over replicates where some values are missing. Knows arrays only."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray


def percentiles(values: NDArray[np.float64], q: float | list[float]) -> NDArray[np.float64]:
    """Over the first axis, NaN left out; NaN where nothing is left. Shape [*(len(q),), *rest of the shape of values].

    Where nothing is missing ``np.percentile`` gives the numbers of ``np.nanpercentile``, which goes through the columns one at a time.
    """
    if not np.isnan(values).any():
        return np.asarray(np.percentile(values, q, axis=0), dtype=np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any value
        return np.asarray(np.nanpercentile(values, q, axis=0), dtype=np.float64)
