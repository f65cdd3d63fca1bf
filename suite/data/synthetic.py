"""Synthetic families with known answers, drawn from the project's own streams. The same numbers on every machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from suite.config.schema import Data
from suite.data.dataset import Dataset
from suite.streams import generator

#: The families are fixed datasets, not part of a study's randomness: their stream has a seed of its own.
SEED = 0


def _draws(name: str, part: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return generator(SEED, 0, f"data/{name}/{part}").standard_normal(shape)


def gaussian(config: Data, data_dir: Path) -> Dataset:
    """Standard normal inputs with labels that have nothing to do with them: nothing can be learned but the prior."""
    x = _draws("gaussian", "x", (2 * config.examples, config.features))
    y = generator(SEED, 0, "data/gaussian/y").integers(0, config.classes, 2 * config.examples)
    return _halves("gaussian", x, y, config.classes)


def blobs(config: Data, data_dir: Path) -> Dataset:
    """One Gaussian cloud of spread ``noise`` per class around random centres of unit spread, classes in turn."""
    centres = _draws("blobs", "centres", (config.classes, config.features))
    y = np.arange(2 * config.examples) % config.classes
    x = centres[y] + config.noise * _draws("blobs", "x", (2 * config.examples, config.features))
    return _halves("blobs", x, y, config.classes)


def teacher(config: Data, data_dir: Path) -> Dataset:
    """Regression: y = x·w + noise, w a fixed random unit vector, x standard normal. The best linear fit has loss noise²."""
    w = _draws("teacher", "w", (config.features, 1))
    x = _draws("teacher", "x", (2 * config.examples, config.features))
    y = x @ (w / np.linalg.norm(w)) + config.noise * _draws("teacher", "noise", (2 * config.examples, 1))
    return _halves("teacher", x, y, None)


def absolute(config: Data, data_dir: Path) -> Dataset:
    """Regression of |x| on x uniform in [-√3, √3] (unit variance), the task of Lu et al. (2020)."""
    x = np.sqrt(3.0) * generator(SEED, 0, "data/abs/x").uniform(-1.0, 1.0, (2 * config.examples, 1))
    return _halves("abs", x, np.abs(x), None)


def axes(config: Data, data_dir: Path) -> Dataset:
    """An autoencoder's task with everything known: the 2d points ±√(d·v_k)·e_k, v_k = 2^(1-k) for k = 1 … d, the target being the
    input. Mean exactly zero, covariance exactly diag(v), all sums of distinct variances distinct; the test points are the
    training points. ``data.examples`` and ``data.noise`` have no part in it.
    """
    scales = np.sqrt(config.features * 2.0 ** -np.arange(config.features))
    x = np.repeat(np.diag(scales), 2, axis=0) * np.tile([1.0, -1.0], config.features)[:, None]
    return Dataset("axes", x, x.copy(), x.copy(), x.copy(), None, (config.features,))


def constant(config: Data, data_dir: Path) -> Dataset:
    """One target of 1 at an input of zeros, ``data.examples`` times: only biases can learn, so the output unit is a problem of one
    variable with closed forms.
    """
    return _halves("constant", np.zeros((2 * config.examples, config.features)), np.ones((2 * config.examples, 1)), None)


def _halves(name: str, x: NDArray[np.float64], y: NDArray[np.generic], classes: int | None) -> Dataset:
    half = len(x) // 2
    labels = y.astype(np.int64) if classes is not None else y.astype(np.float64)
    return Dataset(name, x[:half], labels[:half], x[half:], labels[half:], classes, x.shape[1:])
