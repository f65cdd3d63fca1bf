"""Joins the traces of a condition's blocks into one over all its replicates. Pure arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from suite.execution.join import joined
from suite.vocabulary import Condition, Trace


def merged(conditions: Sequence[Condition], traces: Iterable[Trace]) -> dict[str, Trace]:
    """One trace per condition, replicates in order. Raises ValueError where replicates are missing or doubled."""
    pieces: dict[str, list[Trace]] = {condition.name: [] for condition in conditions}
    for trace in traces:
        pieces[trace.condition].append(trace)
    return {name: _from_the_first(sorted(found, key=lambda trace: trace.first)) for name, found in pieces.items()}


def _from_the_first(traces: Sequence[Trace]) -> Trace:
    whole = joined(traces)
    if whole.first != 0:
        raise ValueError(f"{whole.condition}: replicate 0 should come first, found {whole.first}")
    return whole
