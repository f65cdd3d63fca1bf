"""A tiny CIFAR-10 in its real file format: pickled dictionaries with the keys of the original, planes of red, green and blue."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from suite.data import vision

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def write(data_dir: Path, monkeypatch: pytest.MonkeyPatch, train: int = 10, test: int = 10) -> dict[str, tuple[np.ndarray, list[int]]]:
    """Five training files of ``train`` images each, a test file and the names, with their sums in place of the real ones. Returns what
    is in them: bytes [image, 3072] and labels.
    """
    folder = data_dir / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    held: dict[str, tuple[np.ndarray, list[int]]] = {}
    for name in vision.CIFAR_MD5:
        size = test if name == "test_batch" else train
        pixels = rng.integers(0, 256, (size, 3072), dtype=np.uint8)
        labels = [int(label) for label in rng.permutation(np.arange(size) % 10)]
        body = {"batch_label": name, "labels": labels, "data": pixels, "filenames": [f"{name}_{k}.png" for k in range(size)]}
        if name == "batches.meta":
            body = {"num_cases_per_batch": train, "label_names": NAMES, "num_vis": 3072}
        else:
            held[name] = pixels, labels
        (folder / name).write_bytes(pickle.dumps(body, protocol=2))
    sums = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in vision.CIFAR_MD5}
    monkeypatch.setattr(vision, "CIFAR_MD5", sums)
    monkeypatch.setattr(CIFAR10, "train_list", [[name, sums[name]] for name in sums if name.startswith("data_batch")])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": sums["batches.meta"]})
    return held
