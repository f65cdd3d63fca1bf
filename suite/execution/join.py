"""Joins the traces of neighbouring replicates of one condition into one. Pure arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from suite.vocabulary import Trace


def joined(traces: Sequence[Trace]) -> Trace:
    """One trace over all replicates of the given ones, which must follow each other. Raises ValueError where one is missing or
    doubled.
    """
    if not traces:
        raise ValueError("a condition has no trace")
    head = traces[0]
    expected = head.first
    for trace in traces:
        if trace.first != expected:
            raise ValueError(f"{trace.condition}: replicate {expected} should come next, found {trace.first}")
        expected += trace.count
    totals = {key: sum(trace.timings[key] for trace in traces) for key in ("train_seconds", "evaluate_seconds", "probe_seconds")}
    # rates of the whole: work done over time spent, not a mean of rates
    steps = int(head.steps[-1])
    rate = steps * (expected - head.first) / totals["train_seconds"] if totals["train_seconds"] else 0.0
    per_sample = head.timings["samples_per_second"] / (head.timings["replicate_steps_per_second"] or 1.0)
    return Trace(
        head.condition,
        head.first,
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
        # followed replicates are the first ones, so later traces may hold none
        {name: np.concatenate([trace.units[name] for trace in traces if name in trace.units]) for name in head.units},
    )
