"""The verdict of a study as the JSON that scripts read, and back. Decides nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from suite.record.canonical import plan_sha256
from suite.vocabulary import Outcome, Plan, Study, Verdict

STATUSES = ("valid", "invalid", "exploratory")
DECISIONS = ("supported", "refuted", "inconclusive")


def verdict_body(study: Study) -> dict[str, Any]:
    """What verdict.json holds. A number that could not be formed is NaN here and null in the file."""
    plan, outcome = study.plan, study.outcome
    decided, planned = [v.hypothesis.name for v in outcome.verdicts], [h.name for h in plan.hypotheses]
    if decided != planned:
        raise ValueError(f"the verdicts are on {decided}, the plan's hypotheses are {planned}")
    return {
        "scenario": plan.scenario,
        "study": study.study_id,
        "plan_sha256": plan_sha256(plan),
        "status": outcome.status,
        "exploratory": plan.exploratory,
        "deviations": list(plan.deviations),
        "failed_controls": list(outcome.failed_controls),
        "title": plan.title,
        "question": plan.question,
        "claims": dict(plan.claims),
        "datasets": sorted(plan.data),
        "replicates": plan.replicates,
        "hypotheses": {v.hypothesis.name: _hypothesis_body(v) for v in outcome.verdicts},
    }


def _hypothesis_body(verdict: Verdict) -> dict[str, Any]:
    h = verdict.hypothesis
    return {
        "claim": h.claim,
        "part": h.part,
        "role": h.role,
        "statement": h.statement,
        "metric": h.metric,
        "test": h.test,
        "direction": h.direction,
        "value": h.value,
        "margin": h.margin,
        "verdict": verdict.verdict,
        "estimate": verdict.estimate,
        "low": verdict.low,
        "high": verdict.high,
        "confidence": verdict.confidence,
        "n": verdict.n,
        "diverged": verdict.diverged,
        "note": verdict.note,
        "reference": None if h.reference is None else {"value": h.reference.value, "source": h.reference.source},
    }


def outcome_from(plan: Plan, body: Mapping[str, Any]) -> Outcome:
    """The verdicts back, in the plan's order. Raises ValueError, KeyError or TypeError where the body is no verdict."""
    verdicts = []
    for hypothesis in plan.hypotheses:
        entry = body["hypotheses"][hypothesis.name]
        if entry["verdict"] not in DECISIONS:
            raise ValueError(f"{hypothesis.name}: {entry['verdict']!r} is not one of {', '.join(DECISIONS)}")
        numbers = [_number(entry[key]) for key in ("estimate", "low", "high", "confidence")]
        verdicts.append(
            Verdict(hypothesis, entry["verdict"], *numbers, int(entry["n"]), int(entry["diverged"]), str(entry["note"]))
        )
    if body["status"] not in STATUSES:
        raise ValueError(f"status {body['status']!r} is not one of {', '.join(STATUSES)}")
    return Outcome(body["status"], tuple(verdicts), tuple(body["failed_controls"]))


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
