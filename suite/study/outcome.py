"""From numbers to the outcome of a study: the verdicts, and the label that a changed design carries."""

from __future__ import annotations

from collections.abc import Mapping

from suite.inference import decide
from suite.vocabulary import Outcome, Plan, Trace


def outcome_of(plan: Plan, traces: Mapping[str, Trace]) -> Outcome:
    """Decide the plan's hypotheses. Raises ValueError where the numbers cannot bear them."""
    outcome = decide(plan.hypotheses, plan.conditions, traces, plan.confidence, plan.seed, block_size=plan.block_size)
    if plan.exploratory and outcome.status == "valid":
        return Outcome("exploratory", outcome.verdicts, outcome.failed_controls)
    return outcome
