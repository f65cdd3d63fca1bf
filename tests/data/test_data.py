"""Datasets: what they hold, what they check, and what they say when they cannot be had."""

from __future__ import annotations

import gzip
import hashlib
import struct

import numpy as np
import pytest
import torch

from suite.config.choices import DATASETS as NAMES
from suite.config.schema import Data
from suite.data import DATASETS, checksum, load, vision
from suite.vocabulary import RequestError

CPU = torch.device("cpu")


def test_every_name_that_may_be_configured_exists():
    assert set(NAMES) == set(DATASETS)


def test_digits_are_scikit_learns_split_evenly_by_class():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    digits = load(Data("digits"), "nowhere")
    assert digits.train_x.shape == (1442, 64)
    assert digits.test_x.shape == (355, 64)
    together = np.concatenate([digits.train_x, digits.test_x]).astype(float)
    assert sorted(map(tuple, together.tolist())) == sorted(map(tuple, images.tolist()))
    share = np.bincount(digits.test_y) / np.bincount(labels)
    assert share.min() > 0.19
    assert share.max() <= 0.2


def test_inputs_are_normalised_alike_in_every_precision():
    digits = load(Data("digits"), "nowhere")
    wide, narrow = digits.tensors(CPU, torch.float64), digits.tensors(CPU, torch.float32)
    assert abs(wide.train_x.mean().item()) < 1e-3
    assert abs(wide.train_x.std().item() - 1) < 1e-3
    assert torch.equal(wide.train_x.float(), narrow.train_x)
    assert narrow.train_y.dtype == torch.int64


def test_subset_takes_the_first_and_has_its_own_checksum():
    whole, part = load(Data("digits"), "nowhere"), load(Data("digits", subset=100), "nowhere")
    np.testing.assert_array_equal(part.train_x, whole.train_x[:100])
    assert part.checksums["train_x"] != whole.checksums["train_x"]
    assert part.checksums["test_x"] == whole.checksums["test_x"]
    with pytest.raises(RequestError, match="choose 1 to 1442"):
        load(Data("digits", subset=2000), "nowhere")


def test_a_changed_digit_is_noticed(monkeypatch):
    real = np.loadtxt

    def flipped(file, **options):
        table = real(file, **options)
        table[17, 3] += 1
        return table

    monkeypatch.setattr(np, "loadtxt", flipped)
    with pytest.raises(RequestError, match="images shipped by the installed scikit-learn"):
        load(Data("digits"), "nowhere")


def test_digits_without_their_file_say_so(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"data=digits: .*install scikit-learn again"):
        load(Data("digits"), "nowhere")


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(RequestError, match="nearest is 'fashion_mnist'"):
        load(Data("fashion_mnst"), "nowhere")


def test_checksums_tell_type_and_shape_apart():
    array = np.arange(6, dtype=np.int64)
    sums = {checksum(array), checksum(array.reshape(2, 3)), checksum(array.astype(np.int32)), checksum(array[::-1])}
    assert len(sums) == 4
    assert checksum(array.reshape(2, 3).T.copy().T) == checksum(array.reshape(2, 3))


def test_the_teacher_can_be_learned_to_its_noise_by_least_squares():
    data = load(Data("teacher", examples=4000, features=8, noise=0.3), "nowhere")
    weights, *_ = np.linalg.lstsq(data.train_x, data.train_y, rcond=None)
    assert np.linalg.norm(weights) == pytest.approx(1, abs=0.02)
    assert np.mean((data.test_x @ weights - data.test_y) ** 2) == pytest.approx(0.09, rel=0.1)


def test_blobs_separate_and_gaussian_labels_mean_nothing():
    from sklearn.linear_model import LogisticRegression

    blobs = load(Data("blobs"), "nowhere")
    assert LogisticRegression().fit(blobs.train_x, blobs.train_y).score(blobs.test_x, blobs.test_y) > 0.99
    gaussian = load(Data("gaussian"), "nowhere")
    assert LogisticRegression().fit(gaussian.train_x, gaussian.train_y).score(gaussian.test_x, gaussian.test_y) < 0.35
    absolute = load(Data("abs"), "nowhere")
    np.testing.assert_array_equal(absolute.train_y, np.abs(absolute.train_x))
    assert absolute.train_x.var() == pytest.approx(1, abs=0.1)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Four tiny files in the real format, where Debian would have them, with their checksums."""
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (5, 4, 4)), rng.integers(0, 10, 5), rng.integers(0, 256, (3, 4, 4)), rng.integers(0, 10, 3)]
    contents = {part: idx(array.astype(np.uint8)) for part, array in zip(vision.PARTS, arrays, strict=True)}
    debian = tmp_path / "debian"
    debian.mkdir()
    for part, content in contents.items():
        (debian / f"{part}.gz").write_bytes(gzip.compress(content))
    monkeypatch.setattr(vision, "DEBIAN_FASHION", debian)
    monkeypatch.setattr(vision, "FASHION_MD5", {part: hashlib.md5(content).hexdigest() for part, content in contents.items()})
    return tmp_path / "data", arrays


def test_fashion_is_unpacked_from_debians_copy_and_read(tiny):
    folder, arrays = tiny
    data = load(Data("fashion_mnist"), folder)
    np.testing.assert_array_equal(data.train_x, arrays[0].reshape(5, 16))
    np.testing.assert_array_equal(data.test_y, arrays[3])
    assert sorted(path.name for path in (folder / "FashionMNIST" / "raw").iterdir()) == sorted(vision.PARTS)


def test_a_flipped_bit_in_a_local_file_names_the_file(tiny):
    folder, _ = tiny
    load(Data("fashion_mnist"), folder)
    path = folder / "FashionMNIST" / "raw" / vision.PARTS[2]
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)
    with pytest.raises(RequestError, match=f"{vision.PARTS[2]}: the file is damaged"):
        load(Data("fashion_mnist"), folder)


@pytest.mark.parametrize(("name", "kind"), [("fashion_mnist", "FashionMNIST"), ("mnist", "MNIST"), ("cifar10", "CIFAR10")])
def test_without_network_or_copy_one_line_says_what_to_do(name, kind, tmp_path, monkeypatch):
    import urllib.request

    def refused(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refused)
    monkeypatch.setattr(vision, "DEBIAN_FASHION", tmp_path / "absent")
    with pytest.raises(RequestError, match=f"{kind} is not in .*connect to the network, copy the files there") as error:
        load(Data(name), tmp_path)
    assert "\n" not in str(error.value)


def test_cifar_is_read_only_after_its_bytes_are_known(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in vision.CIFAR_MD5:
        (folder / name).write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    with pytest.raises(RequestError, match="data_batch_1: the file is damaged"):
        load(Data("cifar10"), tmp_path)


@pytest.mark.skipif(not vision.DEBIAN_FASHION.is_dir(), reason="Debian's dataset-fashion-mnist is not installed here")
def test_the_real_fashion_mnist(tmp_path):
    data = load(Data("fashion_mnist"), tmp_path)
    assert data.train_x.shape == (60000, 784)
    assert data.test_x.shape == (10000, 784)
    assert np.bincount(data.train_y).tolist() == [6000] * 10
    assert data.train_x.mean() / 255 == pytest.approx(0.2860, abs=1e-3)
