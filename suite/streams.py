"""All randomness of the project: counter-based streams keyed by (study seed, replicate, purpose). Knows no torch.

A stream's numbers depend on its key alone: not on which replicates are asked for together, nor on what was drawn
before. Everything is drawn on the CPU, so runs on other devices start from the same bits.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

#: Changes whenever the meaning of a key changes, so that old and new streams cannot be confused.
VERSION = "deadzone-streams-1"


def generator(seed: int, replicate: int, purpose: str) -> np.random.Generator:
    """A Philox generator (Salmon et al. 2011) whose 128-bit key is the head of
    SHA-256("version/seed/replicate/purpose").
    """
    return np.random.Generator(np.random.Philox(key=key_of(seed, replicate, purpose)))


def key_of(seed: int, replicate: int, purpose: str) -> int:
    """The 128-bit key of a stream."""
    digest = hashlib.sha256(f"{VERSION}/{seed}/{replicate}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:16], "little")


def permutations(keys: Sequence[int], examples: int) -> NDArray[np.int64]:
    """One permutation of the examples for each key, [key, example]."""
    return np.stack([np.random.Generator(np.random.Philox(key=key)).permutation(examples) for key in keys])


def stack_uniform(seed: int, replicates: Sequence[int], purpose: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Uniform draws in [-1, 1), shape [replicate, *shape]."""
    return np.stack([generator(seed, replicate, purpose).uniform(-1.0, 1.0, shape) for replicate in replicates])


def stack_normal(seed: int, replicates: Sequence[int], purpose: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Standard normal draws, shape [replicate, *shape]."""
    return np.stack([generator(seed, replicate, purpose).standard_normal(shape) for replicate in replicates])


#: Bytes of batch orders kept for the next condition, which asks for the same ones.
KEPT_BYTES = 2**26
_kept: OrderedDict[tuple[object, ...], NDArray[np.int64]] = OrderedDict()


class BatchOrder:
    """Which examples each replicate sees at each step.

    Every epoch is a permutation of its own (purpose ``<purpose>/epoch<e>``) cut into floor(N/B) batches; the
    remainder is dropped and differs from epoch to epoch. A batch size of None, or of N or more, is the full set in
    its natural order. Any step may be asked for at any time. Paired conditions ask for the same epochs, so the latest
    ones are kept, up to ``KEPT_BYTES``, for whoever asks next. ``permute`` may be another function that draws the same
    permutations.
    """

    def __init__(
        self,
        seed: int,
        replicates: Sequence[int],
        examples: int,
        batch_size: int | None,
        purpose: str = "order",
        permute: Callable[[Sequence[int], int], NDArray[np.int64]] = permutations,
    ) -> None:
        self.permute = permute
        self.seed, self.replicates, self.examples, self.purpose = seed, tuple(replicates), examples, purpose
        self.batch_size = None if batch_size is None or batch_size >= examples else batch_size

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """All batches of one epoch, shape [replicate, batches, batch]."""
        if self.batch_size is None:
            return np.broadcast_to(np.arange(self.examples), (len(self.replicates), 1, self.examples))
        key = (self.seed, self.replicates, self.examples, self.purpose, epoch)
        order = _kept.pop(key, None)
        if order is None:
            purpose = f"{self.purpose}/epoch{epoch}"
            order = self.permute([key_of(self.seed, replicate, purpose) for replicate in self.replicates], self.examples)
            while _kept and sum(kept.nbytes for kept in _kept.values()) + order.nbytes > KEPT_BYTES:
                _kept.popitem(last=False)
        _kept[key] = order
        batches = self.examples // self.batch_size
        return order[:, : batches * self.batch_size].reshape(len(self.replicates), batches, self.batch_size)

    def indices(self, step: int) -> NDArray[np.int64]:
        """The examples of one step, shape [replicate, batch]."""
        return self.stretch(step, 1)[:, 0]

    def stretch(self, first: int, steps: int) -> NDArray[np.int64]:
        """The examples of consecutive steps, shape [replicate, steps, batch]."""
        per_epoch = self.examples // (self.batch_size or self.examples)
        pieces = []
        while steps:
            epoch, batch = divmod(first, per_epoch)
            taken = min(steps, per_epoch - batch)
            pieces.append(self.epoch(epoch)[:, batch : batch + taken])
            first, steps = first + taken, steps - taken
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)
