"""A dataset in memory: raw arrays, documented normalisation, a checksum for each array. Knows no file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Tensors:
    """The dataset on a device: normalised inputs [example, feature]; labels [example] (int64) or targets
    [example, output].
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


def checksum(array: NDArray[np.generic]) -> str:
    """SHA-256 over the array's dtype, shape and C-ordered bytes."""
    head = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()


@dataclass(frozen=True)
class Dataset:
    """Raw arrays as they came: inputs [example, feature] in uint8, int32 or float64, labels int64 [example] or float64 targets
    [example, output]. Inputs are used as (raw / ``scale`` - ``mean``) / ``std``. ``classes`` is None for regression.
    """

    name: str
    train_x: NDArray[np.generic]
    train_y: NDArray[np.generic]
    test_x: NDArray[np.generic]
    test_y: NDArray[np.generic]
    classes: int | None
    input_shape: tuple[int, ...]
    scale: float = 1.0
    mean: float = 0.0
    std: float = 1.0
    checksums: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        sums = {key: checksum(getattr(self, key)) for key in ("train_x", "train_y", "test_x", "test_y")}
        object.__setattr__(self, "checksums", sums)

    @property
    def image(self) -> tuple[int, int, int] | None:
        """(rows, columns, colours) where an input is an image, its features in that order; else None."""
        if len(self.input_shape) == 2:
            return (self.input_shape[0], self.input_shape[1], 1)
        return (self.input_shape[0], self.input_shape[1], self.input_shape[2]) if len(self.input_shape) == 3 else None

    def tensors(self, device: torch.device, dtype: torch.dtype, offset: float = 0.0) -> Tensors:
        """Normalise in float64, add ``offset`` (in units of the normalised input), then cast, so that every precision starts
        from the same numbers.
        """

        def inputs(raw: NDArray[np.generic]) -> Tensor:
            wide = raw.astype(np.float64) / self.scale
            return torch.from_numpy((wide - self.mean) / self.std + offset).to(device=device, dtype=dtype)

        def targets(raw: NDArray[np.generic]) -> Tensor:
            tensor = torch.from_numpy(np.ascontiguousarray(raw))
            return tensor.to(device=device, dtype=torch.int64 if self.classes is not None else dtype)

        return Tensors(inputs(self.train_x), targets(self.train_y), inputs(self.test_x), targets(self.test_y))
