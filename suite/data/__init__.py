"""Datasets as arrays in memory, each with a checksum. Knows no network, loss or study."""

from suite.data.dataset import Dataset, Tensors, checksum
from suite.data.registry import DATASETS, load

__all__ = ["DATASETS", "Dataset", "Tensors", "checksum", "load"]
