"""Pooled images against torch's average pooling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from suite.config.schema import Data
from suite.data import load
from suite.data.dataset import Dataset
from suite.data.pooling import pooled
from suite.vocabulary import RequestError


def images(*shape: int) -> Dataset:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (7, int(np.prod(shape)))).astype(np.uint8), np.zeros(7, dtype=np.int64)
    return Dataset("images", x, y, x[:3], y[:3], 10, shape, scale=255.0, mean=0.3, std=0.4)


@pytest.mark.parametrize(("shape", "side"), [((8, 8), 2), ((28, 28), 4), ((6, 9), 3), ((7, 8), 3), ((4, 6, 3), 2)])
def test_it_is_the_average_pooling_of_the_normalised_images(shape, side):
    whole = images(*shape)
    small = pooled(whole, side)
    rows, columns, colours = whole.image
    normalised = whole.tensors(torch.device("cpu"), torch.float64).train_x.reshape(-1, rows, columns, colours)
    expected = torch.nn.functional.avg_pool2d(normalised.permute(0, 3, 1, 2), side).permute(0, 2, 3, 1)
    assert small.input_shape == tuple(n // side for n in shape[:2]) + shape[2:]
    found = small.tensors(torch.device("cpu"), torch.float64).train_x
    torch.testing.assert_close(found, expected.reshape(7, -1), rtol=0, atol=1e-12)
    # sums of whole numbers, so nothing is rounded before the division
    assert small.train_x.dtype == np.int32
    assert small.test_x.shape[0] == 3


def test_the_configuration_asks_for_it_after_the_subset():
    small = load(Data("digits", subset=5, pool=2), "nowhere")
    whole = load(Data("digits", subset=5), "nowhere")
    assert small.train_x.shape == (5, 16)
    assert small.image == (4, 4, 1)
    first = np.asarray(whole.train_x[0], dtype=np.int64).reshape(8, 8)
    assert small.train_x[0][1] == first[0:2, 2:4].sum()
    assert small.checksums["train_x"] != whole.checksums["train_x"]


def test_fewer_test_examples_are_the_first_ones_and_leave_training_alone():
    whole, fewer = load(Data("digits"), "nowhere"), load(Data("digits", test_subset=20), "nowhere")
    np.testing.assert_array_equal(fewer.test_x, whole.test_x[:20])
    np.testing.assert_array_equal(fewer.test_y, whole.test_y[:20])
    np.testing.assert_array_equal(fewer.train_x, whole.train_x)
    with pytest.raises(RequestError, match=r"data.test_subset=356: data=digits has 355 test examples; choose 1 to 355"):
        load(Data("digits", test_subset=356), "nowhere")


def test_synthetic_data_have_no_pixels(tmp_path: Path):
    np.testing.assert_array_equal(load(Data("blobs", pool=2), tmp_path).train_x, load(Data("blobs"), tmp_path).train_x)


def test_a_square_larger_than_the_image_is_refused():
    with pytest.raises(RequestError, match=r"data.pool=9: data=digits has images of 8 × 8; choose 1 to 8"):
        load(Data("digits", pool=9), "nowhere")
