"""From traces to the numbers a hypothesis rests on: one per replicate, diverged replicates accounted for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from suite.selection import select
from suite.vocabulary import Condition, Event, Hypothesis, Level, Trace

#: What each operator of an event does.
COMPARE = {
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "<=": np.less_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


@dataclass(frozen=True)
class Sample:
    """Values of one selection: ``values`` [condition, replicate], NaN where diverged; ``diverged_at`` [condition,
    replicate], the step or -1.
    """

    conditions: tuple[str, ...]
    values: NDArray[np.float64]
    diverged_at: NDArray[np.int64]

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """[condition, replicate] whether it diverged."""
        return self.diverged_at >= 0

    def any_diverged(self) -> NDArray[np.bool_]:
        """[replicate] whether it diverged in any of the conditions."""
        return np.asarray(self.diverged.any(axis=0), dtype=np.bool_)

    def held(self, event: Event) -> NDArray[np.bool_]:
        """[condition, replicate] whether the event holds; a diverged replicate never holds."""
        with np.errstate(invalid="ignore"):
            return np.asarray(COMPARE[event.op](self.values, event.value), dtype=np.bool_) & ~self.diverged

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

    Raises ValueError where nothing is selected, the metric was not measured, the conditions do not hold the same
    replicates, or a replicate that did not diverge has no value: none of these may pass silently.
    """
    chosen = select(conditions, selection)
    if not chosen:
        raise ValueError(f"{hypothesis.name}: no condition matches {dict(selection)}")
    rows: list[NDArray[np.float64]] = []
    lost: list[NDArray[np.int64]] = []
    for condition in chosen:
        if condition.name not in traces:
            raise ValueError(f"{hypothesis.name}: condition {condition.name!r} has no trace")
        trace = traces[condition.name]
        if hypothesis.metric not in trace.finals:
            raise ValueError(f"{hypothesis.name}: {hypothesis.metric} was not measured in condition {condition.name!r}")
        found = trace.finals[hypothesis.metric]
        if trace.first != 0 or len(found) != trace.count or (lost and trace.count != len(lost[0])):
            raise ValueError(f"{hypothesis.name}: condition {condition.name!r} does not hold the same replicates as the others")
        diverged = trace.diverged_at >= 0
        values = np.where(diverged, np.nan, found)
        missing = np.flatnonzero(np.isnan(values) & ~diverged)
        if len(missing):
            raise ValueError(
                f"{hypothesis.name}: {hypothesis.metric} is undefined for replicate {missing[0]} of condition "
                f"{condition.name!r}, which did not diverge"
            )
        rows.append(values)
        lost.append(trace.diverged_at)
    return Sample(tuple(condition.name for condition in chosen), np.stack(rows), np.stack(lost))
