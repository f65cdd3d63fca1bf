"""Smaller images: the mean over squares of pixels. Knows arrays only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from suite.data.dataset import Dataset
from suite.vocabulary import RequestError


def pooled(dataset: Dataset, side: int) -> Dataset:
    """Every square of ``side`` by ``side`` pixels becomes its mean, colour by colour; pixels at the right and lower border that fill
    no square are left out. Kept as sums in int32 with ``scale`` larger by the square's size, which is exact. ``mean`` and ``std``
    stay those of the single pixels, so that the inputs' spread is what the means leave of it. Raises RequestError where an
    image holds no whole square.
    """
    if dataset.image is None:
        raise ValueError(f"{dataset.name} has no images")
    rows, columns, colours = dataset.image
    if side > min(rows, columns):
        raise RequestError(f"data.pool={side}: data={dataset.name} has images of {rows} × {columns}; choose 1 to {min(rows, columns)}")
    shape = (rows // side, columns // side, *dataset.input_shape[2:])

    def sums(raw: NDArray[np.generic]) -> NDArray[np.int32]:
        whole = raw.reshape(-1, rows, columns, colours)[:, : shape[0] * side, : shape[1] * side]
        squares = whole.reshape(-1, shape[0], side, shape[1], side, colours)
        return np.asarray(squares.sum(axis=(2, 4)), dtype=np.int32).reshape(len(raw), -1)

    return replace(dataset, train_x=sums(dataset.train_x), test_x=sums(dataset.test_x), input_shape=shape, scale=dataset.scale * side**2)
