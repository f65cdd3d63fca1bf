"""The 8 × 8 handwritten digits that scikit-learn carries: the default that needs neither network nor files."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from suite.config.schema import Data
from suite.data.dataset import Dataset, checksum
from suite.vocabulary import RequestError

#: Over the images as scikit-learn returns them (float64, 1797 × 64) and the labels (int64).
EXPECTED = {
    "images": "a37578f0e9d1b18ca04d6fc2ec8b34c91a133356d3fa67534a016c5b771fb9e5",
    "labels": "5383ddd907a091bb4b1156307896bd921e17fad0edc1f88f7e53bb6ed7dd6149",
}
#: Mean and standard deviation of the training pixels over 16, rounded.
MEAN, STD = 0.3051, 0.3762
#: One example in five of each class, counted in the file's order, is a test example.
TEST_EVERY = 5


def load(config: Data, data_dir: Path) -> Dataset:
    """1,442 training and 355 test examples, 64 features in 0..16, ten classes. Split: within each class every fifth example is a
    test example. Raises RequestError if the library ships other numbers than these records were made with.
    """
    images, labels = _shipped()
    for name, array in (("images", images), ("labels", labels)):
        if checksum(array) != EXPECTED[name]:
            raise RequestError(f"data=digits: the {name} shipped by the installed scikit-learn are not the expected ones")
    rank = np.zeros(len(labels), dtype=np.int64)
    for digit in range(10):
        mine = np.flatnonzero(labels == digit)
        rank[mine] = np.arange(len(mine))
    test = rank % TEST_EVERY == TEST_EVERY - 1
    pixels = images.astype(np.uint8)
    return Dataset("digits", pixels[~test], labels[~test], pixels[test], labels[test], 10, (8, 8), scale=16.0, mean=MEAN, std=STD)


def _shipped() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The arrays of ``sklearn.datasets.load_digits(return_X_y=True)``, read from the library's file: the library itself takes longer to
    import than such a study takes to train.
    """
    found = importlib.util.find_spec("sklearn")
    path = None if found is None or found.origin is None else Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if path is None or not path.is_file():
        raise RequestError(f"data=digits: the installed scikit-learn has no file {path or 'digits.csv.gz'}; install scikit-learn again")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        table = np.loadtxt(file, delimiter=",")
    return table[:, :-1], table[:, -1].astype(np.int64)
