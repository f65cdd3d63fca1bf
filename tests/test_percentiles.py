"""Percentiles are NumPy's nanpercentile, whichever way they are taken."""

from __future__ import annotations

import numpy as np
import pytest

from suite.percentiles import percentiles


@pytest.mark.parametrize("share_missing", [0.0, 0.3])
@pytest.mark.parametrize("q", [50, [10, 50, 90]])
def test_the_same_bits_as_numpys_column_by_column(share_missing, q):
    rng = np.random.default_rng(0)
    for count in (1, 2, 5, 64):
        values = rng.normal(size=(count, 40)) * 10.0 ** rng.integers(-9, 9, 40)
        values[rng.random(values.shape) < share_missing] = np.nan
        values[0] = 1.0  # no column is empty
        np.testing.assert_array_equal(percentiles(values, q), np.nanpercentile(values, q, axis=0))


def test_a_column_without_values_has_none():
    values = np.array([[np.nan, 1.0], [np.nan, 3.0]])
    found = percentiles(values, 50)
    assert np.isnan(found[0])
    assert found[1] == 2.0
