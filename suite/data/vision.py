"""Fashion-MNIST, MNIST and CIFAR-10 through torchvision's download, every file checked each time it is read.

torchvision checks what it downloads but not raw files that are already there, so the checks here are our own.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import socket
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from suite.config.schema import Data
from suite.data.dataset import Dataset
from suite.vocabulary import RequestError

#: Where Debian's package dataset-fashion-mnist puts its files.
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")

PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

#: MD5 of the unpacked files.
FASHION_MD5 = dict(
    zip(
        PARTS,
        (
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "9018921c3c673c538a1fc5bad174d6f9",
            "8181f5470baa50b63fa0f6fddb340f0a",
            "15d484375f8d13e6eb1aabb0c3f46965",
        ),
        strict=True,
    )
)
#: MD5 of the packed files, as torchvision states them.
MNIST_GZ_MD5 = dict(
    zip(
        PARTS,
        (
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
        strict=True,
    )
)
CIFAR_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
}
DOWNLOAD_TIMEOUT = 30.0


def fashion_mnist(config: Data, data_dir: Path) -> Dataset:
    """60,000 training and 10,000 test images of clothing, 28 × 28 grey, ten classes. From ``<data_dir>/FashionMNIST/raw``,
    else from Debian's package, else downloaded.
    """
    raw = data_dir / "FashionMNIST" / "raw"
    if not all((raw / part).is_file() for part in PARTS):
        if all((DEBIAN_FASHION / f"{part}.gz").is_file() for part in PARTS):
            _unpack_debian(raw)
        else:
            _download("FashionMNIST", data_dir, raw, " or install Debian's package dataset-fashion-mnist")
    contents = [_checked(_read(raw / part), FASHION_MD5[part], raw / part) for part in PARTS]
    return _grey("fashion_mnist", contents, mean=0.2860, std=0.3530)


def mnist(config: Data, data_dir: Path) -> Dataset:
    """60,000 training and 10,000 test handwritten digits, 28 × 28 grey, ten classes. Read from the packed files in
    ``<data_dir>/MNIST/raw``, which torchvision leaves there and whose checksums it states.
    """
    raw = data_dir / "MNIST" / "raw"
    if not all((raw / f"{part}.gz").is_file() for part in PARTS):
        _download("MNIST", data_dir, raw, "")
    contents = [gzip.decompress(_checked(_read(raw / f"{part}.gz"), MNIST_GZ_MD5[part], raw / f"{part}.gz")) for part in PARTS]
    return _grey("mnist", contents, mean=0.1307, std=0.3081)


def cifar10(config: Data, data_dir: Path) -> Dataset:
    """50,000 training and 10,000 test colour images, 32 × 32 × 3, ten classes; features in torchvision's (row, column, colour)
    order. The files are pickles: they are read, by torchvision, only after their bytes proved to be the known ones.
    """
    folder = data_dir / "cifar-10-batches-py"
    if not all((folder / name).is_file() for name in CIFAR_MD5):
        _download("CIFAR10", data_dir, folder, "")
    for name, md5 in CIFAR_MD5.items():
        _checked(_read(folder / name), md5, folder / name)
    from torchvision.datasets import CIFAR10

    train, test = CIFAR10(str(data_dir), train=True), CIFAR10(str(data_dir), train=False)
    return Dataset(
        "cifar10",
        train.data.reshape(len(train.data), -1),
        np.asarray(train.targets, dtype=np.int64),
        test.data.reshape(len(test.data), -1),
        np.asarray(test.targets, dtype=np.int64),
        10,
        (32, 32, 3),
        scale=255.0,
        mean=0.4734,
        std=0.2516,
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror})") from error


def _checked(content: bytes, md5: str, path: Path) -> bytes:
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise RequestError(f"{path}: the file is damaged (MD5 {found}, expected {md5}); delete it and run again")
    return content


def _download(name: str, data_dir: Path, target: Path, otherwise: str) -> None:
    from torchvision import datasets

    kind: Callable[..., object] = getattr(datasets, name)
    waited = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            kind(str(data_dir), download=True)
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RequestError(
            f"{name} is not in {target} and could not be downloaded ({reason}); connect to the network, copy the files there{otherwise}"
        ) from error
    finally:
        socket.setdefaulttimeout(waited)


def _unpack_debian(raw: Path) -> None:
    raw.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source = DEBIAN_FASHION / f"{part}.gz"
        try:
            content = gzip.decompress(source.read_bytes())
        except (OSError, EOFError, zlib.error) as error:
            raise RequestError(f"{source}: the file is damaged ({error}); install its package again") from error
        _checked(content, FASHION_MD5[part], source)
        # whole or not at all: two studies may unpack at the same moment
        handle, temporary = tempfile.mkstemp(dir=raw, prefix=part)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, raw / part)


def _idx(content: bytes) -> NDArray[np.uint8]:
    """The IDX format of LeCun: two zero bytes, type 8 (unsigned byte), the number of dimensions, each as a big-endian
    32-bit size, then the bytes.
    """
    zeros, kind, dimensions = struct.unpack(">HBB", content[:4])
    if zeros != 0 or kind != 8:
        raise ValueError("not an IDX file of unsigned bytes")
    shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _grey(name: str, contents: list[bytes], mean: float, std: float) -> Dataset:
    train_x, train_y, test_x, test_y = (_idx(content) for content in contents)
    return Dataset(
        name,
        train_x.reshape(len(train_x), -1),
        train_y.astype(np.int64),
        test_x.reshape(len(test_x), -1),
        test_y.astype(np.int64),
        10,
        (int(train_x.shape[1]), int(train_x.shape[2])),
        scale=255.0,
        mean=mean,
        std=std,
    )
