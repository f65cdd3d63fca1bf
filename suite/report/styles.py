"""Which conditions a page draws at first, and in what colour and dash each is drawn everywhere on it. Computes no number."""

from __future__ import annotations

from suite.report.words import in_order
from suite.selection import select
from suite.vocabulary import Condition, Plan, Study, Verdict

#: So many conditions are drawn before a reader chooses.
AT_FIRST = 6
COLOURS, DASHES = 8, 4


def settling(study: Study) -> list[Verdict]:
    """For each claim the hypothesis that decides it as people say it: the first refuted one, else the first; claims by name."""
    found = []
    for claim in sorted(study.plan.claims):
        stated = [
            v
            for v in study.outcome.verdicts
            if (v.hypothesis.claim, v.hypothesis.part, v.hypothesis.role) == (claim, "as_stated", "treatment")
        ]
        found += [v for v in stated if v.verdict == "refuted"][:1] or stated[:1]
    return found


def told(study: Study, most: int = 2) -> list[Verdict]:
    """The hypotheses whose test is drawn: of each claim the one that settles it, then others as stated, up to ``most``."""
    found = []
    for first in settling(study):
        others = [
            v
            for v in study.outcome.verdicts
            if v is not first
            and (v.hypothesis.claim, v.hypothesis.part, v.hypothesis.role) == (first.hypothesis.claim, "as_stated", "treatment")
        ]
        # an interval tells more than one more statement about every replicate
        found += [first, *sorted(others, key=lambda v: v.hypothesis.test == "exact")[: most - 1]]
    return found


def spoken_of(plan: Plan, verdict: Verdict) -> list[Condition]:
    """The conditions a hypothesis compares, the treatment's first."""
    found = [c for selection in verdict.hypothesis.selections.values() for c in select(plan.conditions, selection)]
    return list({c.name: c for c in found}.values())


def drawing_order(study: Study) -> list[str]:
    """Every condition, those first that tell most: of each hypothesis whose test is drawn one condition from each side of its
    comparison, then a second; then one of each control; then whatever is left, in the order of the hypotheses and the author.
    """
    plan, verdicts = study.plan, in_order(study.outcome.verdicts)
    controls = [v for v in verdicts if v.hypothesis.role != "treatment"]
    names = [
        *(c.name for k in range(2) for v in told(study) for c in _sides(plan, v, k)),
        *(c.name for v in controls for c in _sides(plan, v, 0)),
        *(c.name for v in verdicts for c in spoken_of(plan, v)),
        *(c.name for c in plan.conditions),
    ]
    return list(dict.fromkeys(names))


def _sides(plan: Plan, verdict: Verdict, k: int) -> list[Condition]:
    """The k-th condition of each of the hypothesis's selections, where it has so many."""
    chosen = [select(plan.conditions, selection) for selection in verdict.hypothesis.selections.values()]
    return [conditions[k] for conditions in chosen if len(conditions) > k]


def class_of(position: int) -> str:
    """The classes of the condition at this place in the drawing order."""
    return f"c{position % COLOURS} d{position // COLOURS % DASHES}"
