"""The compiled permutations against NumPy's own."""

from __future__ import annotations

import numpy as np
import pytest

from suite.streams import BatchOrder, key_of, permutations
from suite.training import native


@pytest.mark.parametrize("examples", [1, 2, 3, 64, 65, 1442, 60_000])
def test_compiled_permutations_are_numpys_bit_for_bit(examples):
    keys = [key_of(seed, replicate, "order/epoch3") for seed in (0, 7) for replicate in range(5)]
    np.testing.assert_array_equal(native.permutations(keys, examples), permutations(keys, examples))


def test_batches_are_the_same_whoever_draws_them():
    fresh = BatchOrder(103, range(4), 53, 10, permute=native.permutations).stretch(0, 12)
    order = permutations([key_of(103, replicate, "order/epoch1") for replicate in range(4)], 53)
    np.testing.assert_array_equal(fresh[:, 5], order[:, :10])


def test_sizes_that_numpy_would_draw_otherwise_are_refused():
    for examples in (0, 2**32):
        with pytest.raises(ValueError):
            native.permutations([1], examples)
