"""Reductions over many short rows against NumPy's: the largest value to the last bit, the moments to float64's rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from suite.nets.rows import largest, moments


@pytest.mark.parametrize("shape", [(2, 4096, 8), (3, 1442, 5), (2, 6000, 1), (1, 1024, 300), (2, 7, 3), (2, 1025, 2)])
def test_the_largest_of_every_unit(shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(largest(values).numpy(), values.numpy().max(axis=1))


def test_what_is_not_a_number_stays_so():
    values = torch.zeros(2, 4096, 3)
    values[1, 4000, 2] = torch.nan
    assert torch.isnan(largest(values)).tolist() == [[False] * 3, [False, False, True]]


def test_moments_far_from_zero():
    """Two passes: a mean of 10⁶ costs no digits of a variance of 1."""
    values = torch.randn(2, 5000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1e6
    mean, var = moments(values)
    np.testing.assert_allclose(mean.numpy(), values.numpy().mean(axis=1), rtol=1e-14)
    np.testing.assert_allclose(var.numpy(), values.numpy().var(axis=1), rtol=1e-9)
