"""From traces to the numbers a hypothesis rests on: one per replicate, diverged replicates accounted for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from suite.selection import select
from suite.vocabulary import Condition, Event, Hypothesis, Level, Trace

_COMPARE = {
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "<=": np.less_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


@dataclass(frozen=True)
class Sample:
    """Values of one selection: ``values`` [condition, replicate], NaN where diverged; ``diverged`` [condition, replicate]."""

    conditions: tuple[str, ...]
    values: NDArray[np.float64]
    diverged: NDArray[np.bool_]

    def any_diverged(self) -> NDArray[np.bool_]:
        """[replicate] whether it diverged in any of the conditions."""
        return np.asarray(self.diverged.any(axis=0), dtype=np.bool_)

    def held(self, event: Event) -> NDArray[np.bool_]:
        """[condition, replicate] whether the event holds; a diverged replicate never holds."""
        with np.errstate(invalid="ignore"):
            return np.asarray(_COMPARE[event.op](self.values, event.value), dtype=np.bool_) & ~self.diverged

    def throughout(self, event: Event) -> NDArray[np.bool_]:
        """[replicate] whether the event holds in every condition."""
        return np.asarray(self.held(event).all(axis=0), dtype=np.bool_)


def sample(
    hypothesis: Hypothesis,
    selection: Mapping[str, Level],
    conditions: Sequence[Condition],
    traces: Mapping[str, Trace],
) -> Sample:
    """The metric's final values under a selection.

    Raises ValueError where nothing is selected, the metric was not measured, or a replicate that did not diverge has
    no value: none of these may pass silently.
    """
    chosen = select(conditions, selection)
    if not chosen:
        raise ValueError(f"{hypothesis.name}: no condition matches {dict(selection)}")
    rows, lost = [], []
    for condition in chosen:
        trace = traces[condition.name]
        if hypothesis.metric not in trace.finals:
            raise ValueError(f"{hypothesis.name}: {hypothesis.metric} was not measured in condition {condition.name!r}")
        diverged = trace.diverged_at >= 0
        values = np.where(diverged, np.nan, trace.finals[hypothesis.metric])
        missing = np.flatnonzero(np.isnan(values) & ~diverged)
        if len(missing):
            raise ValueError(
                f"{hypothesis.name}: {hypothesis.metric} is undefined for replicate {missing[0]} of condition {condition.name!r}, "
                "which did not diverge"
            )
        rows.append(values)
        lost.append(diverged)
    return Sample(tuple(condition.name for condition in chosen), np.stack(rows), np.stack(lost))
