"""CIFAR-10's loader on files made in its format, offline: what it holds, in what order, and what it says of a damaged file."""

from __future__ import annotations

import cifar_files
import numpy as np
import pytest
import torch

from suite.config.schema import Data
from suite.data import load, vision
from suite.vocabulary import RequestError


def test_images_and_labels_are_those_of_the_files(tmp_path, monkeypatch):
    held = cifar_files.write(tmp_path, monkeypatch, train=10, test=20)
    data = load(Data("cifar10"), tmp_path)
    assert data.train_x.shape == (50, 3072) and data.test_x.shape == (20, 3072)
    assert data.image == (32, 32, 3) and data.classes == 10
    pixels = np.concatenate([held[f"data_batch_{k}"][0] for k in range(1, 6)])
    # the files hold three planes, row by row: image 13, row 5, column 7, colour 2 is byte 2·1024 + 5·32 + 7
    assert data.train_x.reshape(-1, 32, 32, 3)[13, 5, 7, 2] == pixels[13, 2 * 1024 + 5 * 32 + 7]
    np.testing.assert_array_equal(data.train_x.reshape(-1, 1024, 3).transpose(0, 2, 1).reshape(-1, 3072), pixels)
    np.testing.assert_array_equal(data.train_y, np.concatenate([held[f"data_batch_{k}"][1] for k in range(1, 6)]))
    np.testing.assert_array_equal(data.test_y, held["test_batch"][1])
    assert data.train_y.dtype == np.int64
    tensors = data.tensors(torch.device("cpu"), torch.float64)
    np.testing.assert_allclose(tensors.train_x.numpy(), (data.train_x / 255.0 - 0.4734) / 0.2516, rtol=1e-12)


@pytest.mark.parametrize("name", [f"data_batch_{k}" for k in range(1, 6)] + ["test_batch", "batches.meta"])
def test_a_flipped_byte_names_the_file(name, tmp_path, monkeypatch):
    cifar_files.write(tmp_path, monkeypatch)
    path = tmp_path / "cifar-10-batches-py" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(RequestError, match=f"{name}: the file is damaged") as error:
        load(Data("cifar10"), tmp_path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_a_file_that_is_cut_short_is_damaged_and_a_missing_one_is_asked_for(tmp_path, monkeypatch):
    cifar_files.write(tmp_path, monkeypatch)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RequestError, match="data_batch_3: the file is damaged"):
        load(Data("cifar10"), tmp_path)
    path.unlink()

    def refused(name, *_):
        raise RequestError(f"{name} would be downloaded")

    monkeypatch.setattr(vision, "_download", refused)
    with pytest.raises(RequestError, match="CIFAR10 would be downloaded"):
        load(Data("cifar10"), tmp_path)
