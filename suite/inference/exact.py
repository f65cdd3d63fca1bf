"""Exact hypotheses: the event holds in every run that counts, or a counterexample is named. No inference here."""

from __future__ import annotations

import math

import numpy as np

from suite.inference.intervals import clopper_pearson
from suite.inference.samples import Sample
from suite.vocabulary import Decision, Hypothesis, Verdict


def decide_exact(hypothesis: Hypothesis, found: Sample, confidence: float) -> Verdict:
    """Every replicate of every condition, or the first counterexample by condition and then replicate.

    A run that did not diverge is never left out because the same replicate diverged in another condition: a
    counterexample is one wherever it is. ``n`` counts the replicates with at least one run that counts; ``low`` and
    ``high`` bound, at the scenario's confidence and for information only, the share of replicates in which the event
    holds.
    """
    assert hypothesis.event is not None
    held = found.held(hypothesis.event)
    counted = np.full(held.shape, True) if hypothesis.diverged == "failure" else ~found.diverged
    against = np.argwhere(counted & ~held)
    used = counted.any(axis=0)
    n, diverged, total = int(used.sum()), int(found.any_diverged().sum()), held.shape[1]
    count = int(((held | ~counted).all(axis=0) & used).sum())
    low, high = clopper_pearson(count, n, 1 - confidence) if n else (math.nan, math.nan)
    decision: Decision
    if len(against):
        row, replicate = against[0]
        at = found.diverged_at[row, replicate]
        shown = f"{hypothesis.metric} = {found.values[row, replicate]:.6g}" if at < 0 else f"diverged at step {at}"
        decision, note = (
            "refuted",
            f"counterexample: condition {found.conditions[row]!r}, replicate {replicate}: {shown}",
        )
    elif n == 0 or (diverged and hypothesis.diverged == "forbid"):
        decision, note = "inconclusive", f"{diverged} of {total} replicates diverged"
    else:
        decision = "supported"
        note = f"holds in every replicate of {len(found.conditions)} condition{'s' * (len(found.conditions) > 1)}"
        note += f"; {diverged} that diverged left out" if diverged else ""
    return Verdict(hypothesis, decision, count / n if n else math.nan, low, high, confidence, n, diverged, note)
