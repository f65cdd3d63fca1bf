"""The wording shared by terminal, pages and MLflow: numbers, intervals, verdicts, the sentence for a claim."""

from __future__ import annotations

import math
from collections.abc import Sequence

from suite.vocabulary import Outcome, Plan, Verdict

SYMBOLS = {"supported": "✓", "refuted": "✗", "inconclusive": "?", "invalid": "!"}
ROLES = {"positive_control": "positive control", "negative_control": "negative control", "treatment": "treatment"}


def number(value: float) -> str:
    """Four significant digits; an em dash for NaN; never a negative zero."""
    if math.isnan(value):
        return "—"
    text = f"{value:.4g}"
    return "0" if text in ("-0", "0") else text


def interval(low: float, high: float) -> str:
    """[low, high], or an em dash where there is none."""
    return "—" if math.isnan(low) or math.isnan(high) else f"[{number(low)}, {number(high)}]"


def rule(verdict: Verdict) -> str:
    """The decision rule in a few words, such as 'mean > 0.1' or 'all == 0'."""
    h = verdict.hypothesis
    if h.test == "exact":
        assert h.event is not None
        return f"all {h.event.op} {number(h.event.value)}"
    kind = {"mean": "mean", "proportion": "share", "auc": "AUC", "ratio": "ratio", "exponent": f"exponent in {h.over}"}[h.test]
    if h.best is not None:
        kind = f"{kind} at each one's best"
    if h.versus is not None:
        kind += " difference of differences"
    elif h.contrast is not None and h.test not in ("auc", "ratio"):
        kind += " difference"
    if h.direction == "equal":
        return f"{kind} in {number(h.value)} ± {number(h.margin)}"
    return f"{kind} {'>' if h.direction == 'greater' else '<'} {number(h.value)}"


def in_order(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Controls first, then the claims as stated, then boundaries; the author's order within each."""
    rank = {"positive_control": 0, "negative_control": 1, "treatment": 2}
    return sorted(
        verdicts,
        key=lambda v: (min(rank[v.hypothesis.role], 2) if v.hypothesis.role != "treatment" else 2, v.hypothesis.part != "as_stated"),
    )


def as_stated(verdicts: Sequence[Verdict]) -> str:
    """The verdict on a claim as people say it: refuted if any part is, supported only if every part is."""
    found = [v.verdict for v in verdicts if v.hypothesis.part == "as_stated" and v.hypothesis.role == "treatment"]
    if not found:
        return "not tested"
    return "refuted" if "refuted" in found else "supported" if set(found) == {"supported"} else "inconclusive"


def claim_sentence(claim: str, outcome: Outcome) -> str:
    """One line: the verdict as stated, and the boundaries that were supported."""
    if outcome.status == "invalid":
        return f"{claim}: no verdict, the study is invalid ({', '.join(outcome.failed_controls)} failed)"
    mine = [v for v in outcome.verdicts if v.hypothesis.claim == claim]
    held = sum(v.verdict == "supported" for v in mine if v.hypothesis.part == "boundary" and v.hypothesis.role == "treatment")
    total = sum(v.hypothesis.part == "boundary" and v.hypothesis.role == "treatment" for v in mine)
    tail = f"; {held} of {total} boundary statements supported" if total else ""
    label = " (exploratory)" if outcome.status == "exploratory" else ""
    return f"{claim} as stated: {as_stated(mine)}{tail}{label}"


def status_line(outcome: Outcome, plan: Plan) -> str:
    """The study's status in one line; a changed design is named in an invalid study too."""
    changed = f"EXPLORATORY: the command line changed the registered design: {', '.join(plan.deviations)}"
    if outcome.status == "invalid":
        label = f" {changed}" if plan.exploratory else ""
        return f"INVALID: control not supported: {', '.join(outcome.failed_controls)}. No verdict of this study counts.{label}"
    if outcome.status == "exploratory":
        return changed
    return "valid: every control behaved as it must"
