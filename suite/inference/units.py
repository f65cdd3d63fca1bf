"""What counts as one observation: a replicate, or a block of replicates that share a clock; and one setting out of a grid.

Knows samples, not where they come from. Replicates of a block were trained together under one clock: their times are one
measurement, not as many as there are replicates.
"""

from __future__ import annotations

import numpy as np

from suite.inference.samples import Sample
from suite.vocabulary import Best


def by_block(found: Sample, size: int) -> Sample:
    """One value per block of ``size`` consecutive replicates, their mean [condition, block]. A block with a replicate that diverged
    counts as diverged, at that replicate's step. Raises ValueError where the replicates do not divide into blocks.
    """
    conditions, replicates = found.values.shape
    if replicates % size:
        raise ValueError(f"{replicates} replicates do not divide into blocks of {size}")
    shape = (conditions, replicates // size, size)
    return Sample(found.conditions, found.values.reshape(shape).mean(axis=2), found.diverged_at.reshape(shape).max(axis=2))


def best_of(found: Sample, best: Best) -> Sample:
    """One row: for every unit the least or the greatest value over the conditions in which it did not diverge. A unit counts as diverged
    where it did so in all of them.
    """
    worst = np.inf if best == "least" else -np.inf
    values = np.where(found.diverged, worst, found.values)
    row = np.expand_dims(values.argmin(axis=0) if best == "least" else values.argmax(axis=0), 0)
    lost = np.asarray(found.diverged.all(axis=0, keepdims=True))
    picked = np.take_along_axis(found.values, row, axis=0)
    ended = np.where(lost, np.take_along_axis(found.diverged_at, row, axis=0), -1)
    return Sample((f"{best} of {', '.join(found.conditions)}",), np.where(lost, np.nan, picked), ended)
