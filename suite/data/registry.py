"""Finds a dataset by its name. A new dataset is one file and one line here."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from suite.config.schema import Data
from suite.data import digits, synthetic, vision
from suite.data.dataset import Dataset
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
    """The dataset a configuration names, checked, with ``subset`` applied to the training examples.

    Raises RequestError, in one line, for an unknown name, missing or damaged files, or too large a subset.
    """
    if config.name not in DATASETS:
        near = difflib.get_close_matches(config.name, DATASETS, n=1, cutoff=0.0)[0]
        raise RequestError(f"data={config.name}: there is no such dataset; the nearest is {near!r} (all: {', '.join(DATASETS)})")
    dataset = DATASETS[config.name](config, Path(data_dir))
    if config.subset is None:
        return dataset
    available = len(dataset.train_x)
    if not 1 <= config.subset <= available:
        raise RequestError(f"data.subset={config.subset}: data={config.name} has {available} training examples; choose 1 to {available}")
    return replace(dataset, train_x=dataset.train_x[: config.subset], train_y=dataset.train_y[: config.subset])
