"""Joins the traces of a condition's blocks into one over all its replicates. Pure arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from suite.vocabulary import Condition, Trace


def merged(conditions: Sequence[Condition], traces: Iterable[Trace]) -> dict[str, Trace]:
    """One trace per condition, replicates in order. Raises ValueError where replicates are missing or doubled."""
    pieces: dict[str, list[Trace]] = {condition.name: [] for condition in conditions}
    for trace in traces:
        pieces[trace.condition].append(trace)
    return {name: _joined(sorted(found, key=lambda trace: trace.first)) for name, found in pieces.items()}


def _joined(traces: Sequence[Trace]) -> Trace:
    if not traces:
        raise ValueError("a condition has no trace")
    expected = 0
    for trace in traces:
        if trace.first != expected:
            raise ValueError(f"{trace.condition}: replicate {expected} should come next, found {trace.first}")
        expected += trace.count
    head = traces[0]
    totals = {key: sum(trace.timings[key] for trace in traces) for key in ("train_seconds", "evaluate_seconds", "probe_seconds")}
    # rates of the condition: work done over time spent, not a mean of rates
    steps = int(head.steps[-1])
    rate = steps * expected / totals["train_seconds"] if totals["train_seconds"] else 0.0
    per_sample = head.timings["samples_per_second"] / (head.timings["replicate_steps_per_second"] or 1.0)
    return Trace(
        head.condition,
        0,
        head.steps,
        {name: np.concatenate([trace.curves[name] for trace in traces]) for name in head.curves},
        {name: np.concatenate([trace.finals[name] for trace in traces]) for name in head.finals},
        np.concatenate([trace.diverged_at for trace in traces]),
        totals
        | {
            "replicate_steps_per_second": rate,
            "samples_per_second": rate * per_sample,
            "step_seconds": totals["train_seconds"] / (steps * len(traces)) if steps else 0.0,
        },
    )
