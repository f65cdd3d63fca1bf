"""How far a condition has got, and how fast: counts and moments, no clock of its own and nothing shown."""

from __future__ import annotations

from dataclasses import dataclass

from suite.vocabulary import Block


@dataclass
class Row:
    """One condition, or the study. Steps are training steps times replicates; those from the cache are done and not ``trained``.
    ``dead`` sums the dead fractions of the ``measured`` replicates of finished blocks; ``latest`` is what a block under way last told.
    """

    name: str
    replicates: int = 0
    steps: int = 0
    blocks: int = 0
    finished: int = 0
    done_replicates: int = 0
    done_steps: int = 0
    trained: int = 0
    dead: float = 0.0
    measured: int = 0
    latest: float | None = None
    running: int = 0
    began: float | None = None
    last: float | None = None

    @property
    def complete(self) -> bool:
        """Whether every block is finished."""
        return self.finished == self.blocks

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        return min(max(self.done_steps / self.steps, 0.0), 1.0) if self.steps else 1.0

    @property
    def dead_fraction(self) -> float | None:
        """Of the replicates of finished blocks that did not diverge; before there are any, of the block under way."""
        return self.dead / self.measured if self.measured else self.latest

    def rate(self, now: float) -> float | None:
        """Replicate-steps per second from the first block's start to the last sign of life; None before there is one."""
        spent = (self.last if self.last is not None else now) - (self.began if self.began is not None else now)
        return self.trained / spent if spent > 0 and self.trained > 0 else None

    def left(self, now: float) -> float | None:
        """Seconds to its end at this rate; None where nothing can be said yet."""
        rate = self.rate(now)
        if self.complete:
            return 0.0
        if rate is None or self.last is None:
            return None
        return max((self.steps - self.done_steps) / rate - (now - self.last), 0.0)


def replicate_steps(block: Block) -> int:
    """Training steps of a block, over all its replicates."""
    return int(block.condition.config["train"]["steps"]) * block.count
