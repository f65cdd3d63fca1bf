"""What is weak in a scenario as a whole: claims, references, conditions that nothing asks about, datasets, shared error probability."""

from __future__ import annotations

from collections.abc import Iterator

from suite.config.compose import StudyRequest
from suite.config.scenario import ScenarioSpec
from suite.inference.power import detectable_effect, identical_reach
from suite.record.canonical import to_json
from suite.selection import select
from suite.study.findings import Level
from suite.vocabulary import TIMING, Hypothesis

#: (level, dotted path, line).
Placed = tuple[Level, str, str]
#: Words below which a claim or a statement can hardly be understood by itself.
FEW_WORDS = 4
#: Hypotheses that share one error probability, above which each is left with very little of it.
MANY = 24


def texts(spec: ScenarioSpec) -> Iterator[Placed]:
    """What a reader needs: the claims in words, what they were tested by, and where they come from."""
    for name, text in spec.claims.items():
        path = f"scenario.claims.{name}"
        mine = [h for h in spec.hypotheses if h.claim == name]
        if len(text.split()) < FEW_WORDS:
            yield "warning", path, f"claim {name} reads {text!r}; say in a sentence what is claimed"
        if not mine:
            yield "warning", path, f"claim {name} has no hypothesis; test it, or leave it out"
        elif not any(h.role == "treatment" and h.part == "as_stated" for h in mine):
            yield (
                "warning",
                path,
                f"claim {name} has no hypothesis with role: treatment and part: as_stated, so it can get no verdict of its own",
            )
    if not spec.references:
        yield "warning", "scenario", "scenario.references is missing; name the paper, or the closed form, that the claims come from"
    for h in spec.hypotheses:
        if len(h.statement.split()) < FEW_WORDS:
            yield (
                "warning",
                f"scenario.hypotheses.{h.name}.statement",
                f"the statement reads {h.statement!r}; say what would have to be true",
            )
    for key in ("question", "method"):
        if len(getattr(spec, key).split()) < FEW_WORDS:
            yield (
                "warning",
                f"scenario.{key}",
                f"scenario.{key} is empty or nearly so; the report has nothing else to explain the study with",
            )


def conditions(request: StudyRequest) -> Iterator[Placed]:
    """Conditions that cost and tell nothing, and hypotheses that are one."""
    spec = request.scenario
    used = {c.name for h in spec.hypotheses for selection in h.selections.values() for c in select(request.conditions, selection)}
    unused = [c.name for c in request.conditions if c.name not in used]
    if unused:
        path = f"scenario.conditions.{unused[0]}" if spec.conditions else "scenario.factors"
        yield (
            "warning",
            path,
            f"no hypothesis speaks of {_listed(unused)}, which {'is' if len(unused) == 1 else 'are'} trained all the same",
        )
    first: dict[str, str] = {}
    timed = any(TIMING in condition.config["probes"]["extra"] for condition in request.conditions)
    for condition in request.conditions if not timed else ():  # of clocks, two of the same are a control
        other = first.setdefault(to_json(condition.config), condition.name)
        if other != condition.name:
            yield (
                "warning",
                f"scenario.conditions.{condition.name}" if spec.conditions else "scenario.factors",
                f"conditions {other!r} and {condition.name!r} are one configuration; leave one out, or set what should differ",
            )
    seen: dict[tuple[object, ...], str] = {}
    for h in spec.hypotheses:
        same = seen.setdefault(_rule(h, request), h.name)
        if same != h.name:
            yield (
                "warning",
                f"scenario.hypotheses.{h.name}",
                f"asks the same as {same!r} and takes a share of the error probability; leave one out",
            )


def _rule(h: Hypothesis, request: StudyRequest) -> tuple[object, ...]:
    """All that decides a hypothesis."""
    chosen = tuple(tuple(c.name for c in select(request.conditions, selection)) for selection in h.selections.values())
    return (h.metric, h.test, chosen, h.event, h.direction, h.value, h.margin, h.diverged, h.over, h.best)


def datasets(request: StudyRequest) -> Iterator[Placed]:
    """A finding on one dataset is a finding about that dataset."""
    names = {str(condition.config["data"]["name"]) for condition in request.conditions}
    offered = {str(level) for level in request.scenario.variants.get("data", ())}
    if len(names | offered) < 2:
        shown = ", ".join(sorted(names))
        path = "scenario.variants.data" if offered else "scenario.variants"
        yield (
            "warning",
            path,
            f"{shown} is the only dataset, in the design and among scenario.variants.data; add one, such as {_other(names)}",
        )


def _other(names: set[str]) -> str:
    return "fashion_mnist" if "fashion_mnist" not in names else "digits"


def shared_error(request: StudyRequest, units: int) -> Iterator[Placed]:
    """How the error probability is shared, and what can then be found."""
    spec = request.scenario
    inferred = [h for h in spec.hypotheses if h.test != "exact"]
    exact = len(spec.hypotheses) - len(inferred)
    if inferred and units < 2:
        yield "error", "scenario.hypotheses", f"one observation has no interval, and {len(inferred)} hypotheses need one; take 16 or more"
    if not inferred or units < 2:
        return
    alpha, m = 1 - spec.confidence, len(inferred)
    text = (
        f"{m} hypotheses share the error probability {alpha:.3g} (Holm; the first is decided at confidence {1 - alpha / m:.5g}"
        f"{f', {exact} exact take none' if exact else ''}): with n = {units} a mean is found with 80 % power from "
        f"{detectable_effect('mean', units, spec.confidence, m):.2f} standard deviations, identical shares are told from a threshold "
        f"{identical_reach(units, spec.confidence, m):.3f} or farther away"
    )
    yield "note", "scenario.hypotheses", text
    if m > MANY:
        yield (
            "warning",
            "scenario.hypotheses",
            f"{m} hypotheses share one error probability; split the scenario, or drop those that no claim needs",
        )
    zero = [h.name for h in inferred if h.test == "mean" and h.contrast is not None and h.direction != "equal" and h.value == 0]
    if zero:
        yield (
            "note",
            "scenario.hypotheses",
            f"any difference at all supports {_listed(zero)} (value: 0); name the smallest effect that would matter",
        )


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)
