"""The words under which a study appears in MLflow: its run's title and its note."""

from __future__ import annotations

from suite.report import words
from suite.vocabulary import Study


def title_of(study: Study) -> str:
    """Scenario, verdict of each claim as stated, study id; a study whose design the command line changed says so first."""
    if study.outcome.status == "invalid":
        verdicts = "invalid"
    else:
        verdicts = ", ".join(
            f"{claim} {words.as_stated([v for v in study.outcome.verdicts if v.hypothesis.claim == claim])}" for claim in study.plan.claims
        )
    label = "exploratory: " if study.plan.exploratory else ""
    return f"{study.plan.scenario}: {label}{verdicts} ({study.study_id})"


def note_of(study: Study) -> str:
    """Markdown: the verdict as first heading, the status, each claim, and the table of hypotheses, controls first."""
    plan, outcome = study.plan, study.outcome
    lines = [f"# {title_of(study)}", "", f"**{words.status_line(outcome, plan)}**", "", plan.question, ""]
    for claim, text in plan.claims.items():
        lines.append(f"- **{words.claim_sentence(claim, outcome)}**: {text}")
    lines += ["", "| hypothesis | rule | estimate | interval | n | verdict |", "|---|---|---|---|---|---|"]
    for v in words.in_order(outcome.verdicts):
        lines.append(
            f"| {v.hypothesis.statement} | {words.rule(v)} | {words.number(v.estimate)} | {words.interval(v.low, v.high)} | {v.n} "
            f"| {words.SYMBOLS[v.verdict]} {v.verdict} |"
        )
    return "\n".join(lines) + "\n"
