"""The processes that share every batch of a block, one rank each: what they add up and what they gather. Knows no network and no loss.

Sums are taken in the order of the ranks, each element by itself, instead of by the backend's own reduction, whose order changes with
an element's place in the buffer: a replicate's bits would depend on its company. Every rank ends with the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

#: The integers whose bits are a float's.
BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


class PeerLostError(RuntimeError):
    """An exchange with the other ranks broke off: another of them has ended."""


@dataclass(frozen=True)
class Ranks:
    """This process's place, ``rank``, among the ``count`` that torch.distributed's default group holds."""

    rank: int
    count: int

    def sizes(self, batch: int) -> tuple[int, ...]:
        """How many examples of a batch each rank takes: as even as can be, the first ones one more.

        >>> Ranks(0, 3).sizes(8)
        (3, 3, 2)
        """
        least, more = divmod(batch, self.count)
        return tuple(least + (rank < more) for rank in range(self.count))

    def share(self, batch: int) -> slice:
        """This rank's examples of a batch.

        >>> Ranks(1, 3).share(8)
        slice(3, 6, None)
        """
        sizes = self.sizes(batch)
        first = sum(sizes[: self.rank])
        return slice(first, first + sizes[self.rank])

    def total(self, values: Tensor) -> Tensor:
        """The sum over the ranks. Each rank adds up one piece of the buffer and sends it to all; no more travels than in a ring."""
        flat = values.detach().reshape(-1)
        piece = -(-flat.numel() // self.count)
        padded = torch.nn.functional.pad(flat, (0, piece * self.count - flat.numel()))
        parts = torch.empty_like(padded)
        _exchanged(dist.all_to_all_single, parts, padded)
        first, *others = parts.view(self.count, piece).unbind()
        summed = first.clone()
        for part in others:
            summed += part
        _exchanged(dist.all_gather_into_tensor, padded, summed)
        return padded[: flat.numel()].view(values.shape)

    def shared_total(self, values: Tensor) -> Tensor:
        """``total`` with a gradient: what every rank makes of the sum reaches the values of each."""
        summed: Tensor = _Total.apply(values, self)
        return summed

    def gathered(self, values: Tensor) -> Tensor:
        """Every rank's values [rank, …], all of one shape."""
        found = values.new_empty((self.count * values.numel(),))
        _exchanged(dist.all_gather_into_tensor, found, values.detach().reshape(-1).contiguous())
        return found.view(self.count, *values.shape)

    def joined(self, rows: Float[Tensor, "replicate row unit"], sizes: Sequence[int]) -> Float[Tensor, "replicate row unit"]:
        """The ranks' rows one after another; ``sizes`` says how many each has."""
        longest = max(sizes)
        padded = torch.nn.functional.pad(rows.detach(), (0, 0, 0, longest - rows.shape[1]))
        return torch.cat([part[:, :size] for part, size in zip(self.gathered(padded).unbind(), sizes, strict=True)], dim=1)

    def agree(self, values: Iterable[Tensor]) -> bool:
        """Whether all ranks hold the same bits: each tensor's bits, read as whole numbers, must have one sum."""
        sums = torch.stack([value.contiguous().view(BITS[value.dtype]).sum(dtype=torch.int64) for value in values])
        found = self.gathered(sums)
        return bool((found == found[0]).all())


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return ranks.total(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.ranks.total(gradients[0]), None


def _exchanged(collective: Any, found: Tensor, given: Tensor) -> None:
    try:
        collective(found, given)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise PeerLostError(str(error).splitlines()[0]) from error
