"""Stochastic rounding of float32 values to float16 or bfloat16, and the noise it takes. Knows no optimizer.

Gupta, Agrawal, Gopalakrishnan and Narayanan (2015): a value between two neighbours goes to either with a probability that
makes the rounding right on average, so that updates far below half a unit in the last place still count.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from suite.streams import generator

#: Steps whose noise is drawn in one go; part of what the noise is.
CHUNK = 16


class Noise:
    """Uniform numbers in [0, 1) for every weight at every step, from each replicate's own stream
    (purpose ``rounding/<parameter>/chunk<k>``), drawn on the CPU. The same in every condition, whatever else is asked for.
    """

    def __init__(self, seed: int, replicates: range) -> None:
        self.seed, self.replicates = seed, replicates
        self.kept: dict[str, tuple[int, NDArray[np.float32]]] = {}

    def __call__(self, name: str, like: Tensor, step: int) -> Tensor:
        """The noise [replicate, …] of one parameter at one step, on its device."""
        chunk, place = divmod(step, CHUNK)
        if name not in self.kept or self.kept[name][0] != chunk:
            purpose = f"rounding/{name}/chunk{chunk}"
            shape = (CHUNK, *like.shape[1:])
            drawn = [generator(self.seed, replicate, purpose).random(shape, dtype=np.float32) for replicate in self.replicates]
            self.kept[name] = chunk, np.stack(drawn)
        return torch.from_numpy(self.kept[name][1][:, place].copy()).to(like.device)


def stochastic(values: Float[Tensor, "*shape"], dtype: torch.dtype, noise: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Round float32 ``values`` to ``dtype`` (16 bits wide): with a and b the neighbours towards and away from zero, to b where
    noise < (|x| - |a|) / (|b| - |a|), else to a. What is representable stays; what rounds to infinity does.
    """
    nearest = values.to(dtype)
    beyond = nearest.float().abs() > values.abs()
    # a floating-point number's bits without the sign count up with its magnitude
    towards = (nearest.view(torch.int16) - beyond.to(torch.int16)).view(dtype)
    away = (towards.view(torch.int16) + 1).view(dtype)
    low = towards.double().abs()
    share = (values.double().abs() - low) / (away.double().abs() - low)
    return torch.where(torch.isfinite(nearest), torch.where(noise < share, away, towards), nearest)
