"""Finds a dataset by its name. A new dataset is one file and one line here."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from suite.config.schema import Data
from suite.data import digits, synthetic, vision
from suite.data.dataset import Dataset
from suite.data.pooling import pooled
from suite.vocabulary import RequestError

DATASETS: dict[str, Callable[[Data, Path], Dataset]] = {
    "digits": digits.load,
    "fashion_mnist": vision.fashion_mnist,
    "mnist": vision.mnist,
    "cifar10": vision.cifar10,
    "gaussian": synthetic.gaussian,
    "blobs": synthetic.blobs,
    "teacher": synthetic.teacher,
    "abs": synthetic.absolute,
    "axes": synthetic.axes,
    "constant": synthetic.constant,
}


def load(config: Data, data_dir: str | Path) -> Dataset:
    """The dataset a configuration names, checked, with ``subset``, ``test_subset`` and ``pool`` applied.

    Raises RequestError, in one line, for an unknown name, missing or damaged files, too large a subset or too large squares.
    """
    if config.name not in DATASETS:
        near = difflib.get_close_matches(config.name, DATASETS, n=1, cutoff=0.0)[0]
        raise RequestError(f"data={config.name}: there is no such dataset; the nearest is {near!r} (all: {', '.join(DATASETS)})")
    dataset = DATASETS[config.name](config, Path(data_dir))
    train, test = _first(config, "subset", len(dataset.train_x)), _first(config, "test_subset", len(dataset.test_x))
    if train is not None:
        dataset = replace(dataset, train_x=dataset.train_x[:train], train_y=dataset.train_y[:train])
    if test is not None:
        dataset = replace(dataset, test_x=dataset.test_x[:test], test_y=dataset.test_y[:test])
    return dataset if config.pool == 1 or dataset.image is None else pooled(dataset, config.pool)


def _first(config: Data, key: str, available: int) -> int | None:
    """How many of the examples are kept; None for all."""
    kept: int | None = getattr(config, key)
    if kept is not None and not 1 <= kept <= available:
        kind = "training" if key == "subset" else "test"
        raise RequestError(f"data.{key}={kept}: data={config.name} has {available} {kind} examples; choose 1 to {available}")
    return kept
