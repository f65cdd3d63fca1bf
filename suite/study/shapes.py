"""Datasets by their sizes alone where reading them may mean a download: enough to know a network and its probes by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from suite.config.schema import PRESENTATION_KEYS, Data
from suite.data import Dataset, load
from suite.vocabulary import RequestError

#: Training and test examples, and the shape of an input, of the datasets that have files of their own. All have ten classes.
FILES: dict[str, tuple[int, int, tuple[int, ...]]] = {
    "fashion_mnist": (60_000, 10_000, (28, 28)),
    "mnist": (60_000, 10_000, (28, 28)),
    "cifar10": (50_000, 10_000, (32, 32, 3)),
}


@dataclass(frozen=True)
class Shape(Dataset):
    """A dataset all of whose numbers are zero, and which takes no memory for them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "checksums", {})


def shape_of(config: Data) -> Dataset:
    """Something with the dataset's sizes: itself where it comes with the package. Raises RequestError for too large a subset."""
    fields = tuple(sorted((key, value) for key, value in vars(config).items() if key not in PRESENTATION_KEYS))
    return _shape_of(fields)


@lru_cache(maxsize=16)
def _shape_of(fields: tuple[tuple[str, object], ...]) -> Dataset:
    config = Data(**dict(fields))  # type: ignore[arg-type]
    if config.name not in FILES:
        return load(config, "data")
    train, test, image = FILES[config.name]
    train, test = (_kept(config, key, available) for key, available in (("subset", train), ("test_subset", test)))
    if config.pool > min(image[:2]):
        raise RequestError(f"data.pool={config.pool}: data={config.name} has images of {image[0]} × {image[1]}; take smaller squares")
    image = (image[0] // config.pool, image[1] // config.pool, *image[2:])

    def inputs(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return np.broadcast_to(np.uint8(0), (count, int(np.prod(image))))

    return Shape(config.name, inputs(train), np.arange(train) % 10, inputs(test), np.arange(test) % 10, 10, image, scale=255.0)


def _kept(config: Data, key: str, available: int) -> int:
    """How many of the examples a configuration keeps."""
    kept: int | None = getattr(config, key)
    if kept is not None and not 1 <= kept <= available:
        raise RequestError(f"data.{key}={kept}: data={config.name} has {available} of them; choose 1 to {available}")
    return available if kept is None else kept
