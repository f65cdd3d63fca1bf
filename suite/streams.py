"""All randomness of the project: counter-based streams keyed by (study seed, replicate, purpose). Knows no torch.

A stream's numbers depend on its key alone: not on which replicates are asked for together, nor on what was drawn
before. Everything is drawn on the CPU, so runs on other devices start from the same bits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: Changes whenever the meaning of a key changes, so that old and new streams cannot be confused.
VERSION = "deadzone-streams-1"


def generator(seed: int, replicate: int, purpose: str) -> np.random.Generator:
    """A Philox generator (Salmon et al. 2011) whose 128-bit key is the head of
    SHA-256("version/seed/replicate/purpose").
    """
    digest = hashlib.sha256(f"{VERSION}/{seed}/{replicate}/{purpose}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def stack_uniform(seed: int, replicates: Sequence[int], purpose: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Uniform draws in [-1, 1), shape [replicate, *shape]."""
    return np.stack([generator(seed, replicate, purpose).uniform(-1.0, 1.0, shape) for replicate in replicates])


def stack_normal(seed: int, replicates: Sequence[int], purpose: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Standard normal draws, shape [replicate, *shape]."""
    return np.stack([generator(seed, replicate, purpose).standard_normal(shape) for replicate in replicates])


class BatchOrder:
    """Which examples each replicate sees at each step.

    Every epoch is a permutation of its own (purpose ``<purpose>/epoch<e>``) cut into floor(N/B) batches; the
    remainder is dropped and differs from epoch to epoch. A batch size of None, or of N or more, is the full set in
    its natural order. Any step may be asked for at any time; only the latest epoch is kept.
    """

    def __init__(self, seed: int, replicates: Sequence[int], examples: int, batch_size: int | None, purpose: str = "order") -> None:
        self.seed, self.replicates, self.examples, self.purpose = seed, replicates, examples, purpose
        self.batch_size = None if batch_size is None or batch_size >= examples else batch_size
        self._epoch = -1
        self._batches: NDArray[np.int64] = np.empty((0,), dtype=np.int64)

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """All batches of one epoch, shape [replicate, batches, batch]."""
        if epoch != self._epoch:
            size = self.batch_size or self.examples
            batches = self.examples // size
            if self.batch_size is None:
                order = np.broadcast_to(np.arange(self.examples), (len(self.replicates), self.examples))
            else:
                order = np.stack(
                    [
                        generator(self.seed, replicate, f"{self.purpose}/epoch{epoch}").permutation(self.examples)
                        for replicate in self.replicates
                    ]
                )
            self._batches = order[:, : batches * size].reshape(len(self.replicates), batches, size)
            self._epoch = epoch
        return self._batches

    def indices(self, step: int) -> NDArray[np.int64]:
        """The examples of one step, shape [replicate, batch]."""
        per_epoch = self.examples // (self.batch_size or self.examples)
        epoch, batch = divmod(step, per_epoch)
        return self.epoch(epoch if self.batch_size else 0)[:, batch]
