"""What is wrong with hypotheses before any data: comparisons with oneself, thresholds out of reach, values that a definition fixes, too few
replicates. Decides with the intervals and configurations of the study itself; trains nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from suite.inference.decide import three_way
from suite.inference.samples import COMPARE
from suite.selection import select
from suite.study.check_metrics import FLAGS, OF_ESCAPE, Fixed, fixed, numbers, range_of
from suite.study.check_power import power
from suite.study.findings import Level
from suite.vocabulary import Condition, Hypothesis, is_timed

#: (level, key of the hypothesis it is about or empty, line).
Said = tuple[Level, str, str]


@dataclass(frozen=True)
class Case:
    """A hypothesis and what it is put to: the conditions of each of its selections, the number of units, and the confidences."""

    h: Hypothesis
    chosen: Mapping[str, tuple[Condition, ...]]
    units: int
    confidence: float
    family: int

    @staticmethod
    def of(h: Hypothesis, conditions: Sequence[Condition], units: int, confidence: float, family: int) -> Case:
        """``family`` is the number of hypotheses that share the error probability."""
        return Case(h, {part: select(conditions, chosen) for part, chosen in h.selections.items()}, units, confidence, family)

    @property
    def about(self) -> tuple[Condition, ...]:
        """Every condition it speaks of."""
        return tuple(condition for found in self.chosen.values() for condition in found)


def said_of(case: Case) -> Iterator[Said]:
    """Everything that speaks against a hypothesis whose selections and metric exist."""
    comparison = list(_comparison(case))
    yield from comparison
    settled = list(_range(case)) or list(_definition(case))
    yield from settled
    yield from _thresholds(case)
    if not any(level == "error" for level, _, _ in (*comparison, *settled)):
        yield from power(case.h, case.units, case.confidence, case.family)
    if case.h.reference is not None and not case.h.reference.source.strip():
        yield "warning", "reference", "the reference has a value and no source; say where it comes from"


def _comparison(case: Case) -> Iterator[Said]:
    """Selections that share conditions, or numbers."""
    h, chosen = case.h, case.chosen
    if h.contrast is None:
        return
    names = {part: {condition.name for condition in found} for part, found in chosen.items()}
    if names["treatment"] == names["contrast"]:
        yield "error", "contrast", f"compares {_listed(names['treatment'])} with itself{_always(h, _identical(h))}; name another contrast"
    elif _same(h.metric, chosen["treatment"], chosen["contrast"]):
        yield (
            _settled(h),
            "contrast",
            f"{_listed(names['treatment'])} and {_listed(names['contrast'])} do not differ in anything that {h.metric} depends on, so "
            f"it agrees in every replicate{_always(h, _identical(h))}{_as_control(h, '; compare what differs')}",
        )
    elif shared := names["treatment"] & names["contrast"]:
        yield "warning", "contrast", f"{_listed(shared)} stands on both sides and dilutes the difference; take it out of one"
    if h.versus is not None:
        pairs = {part: (chosen[f"versus.{part}"], chosen[part]) for part in ("treatment", "contrast")}
        if all(_same(h.metric, *pair) for pair in pairs.values()):
            yield _settled(h), "versus", f"sets a difference against itself{_always(h, 0.0)}{_as_control(h, '; name another pair')}"
        elif _same(h.metric, chosen["versus.treatment"], chosen["versus.contrast"]) and not _same(
            h.metric, chosen["treatment"], chosen["contrast"]
        ):
            yield "warning", "versus", "its own difference is always 0, so this is no interaction; leave 'versus' out or name another pair"


def _settled(h: Hypothesis) -> Level:
    """A treatment that is decided before the run is an error. A control may be, to see that the machinery does what it must."""
    return "error" if h.role == "treatment" else "warning"


def _as_control(h: Hypothesis, otherwise: str) -> str:
    return otherwise if h.role == "treatment" else "; as a control it tests the pairing and the probes alone, so see that another can fail"


def _identical(h: Hypothesis) -> float:
    """What a comparison of identical numbers comes to."""
    return {"auc": 0.5, "ratio": 1.0}.get(h.test, 0.0)


def _always(h: Hypothesis, value: float) -> str:
    return f", always {value:g}: {three_way(h, value, value)} whatever happens in training"


def _same(metric: str, first: Sequence[Condition], second: Sequence[Condition]) -> bool:
    """Whether the metric's mean over both is the same number in every replicate."""
    sides = [sorted(str(numbers(metric, condition.config)) for condition in side) for side in (first, second)]
    return not is_timed(metric) and sides[0] == sides[1]


def _range(case: Case) -> Iterator[Said]:
    """Thresholds at which the metric's range leaves nothing to find out."""
    h = case.h
    low, high = range_of(h.metric)
    shown = f"{h.metric} lies in [{low:g}, {high:g}]" if math.isfinite(high) else f"{h.metric} is never below {low:g}"
    if h.event is not None and h.test in ("exact", "proportion"):
        v = h.event.value
        points = (low, min(high, 1e308), (low + min(high, 1e308)) / 2, v, math.nextafter(v, -math.inf), math.nextafter(v, math.inf))
        inside = (0.0, 1.0) if h.metric.split(".")[0] in FLAGS else [point for point in points if low <= point <= high]
        if math.isinf(low):
            return
        held = {bool(COMPARE[h.event.op](np.float64(value), h.event.value)) for value in inside}
        event = f"{h.metric} {h.event.op} {h.event.value:g}"
        if held == {True} and h.diverged != "failure":
            yield "error", "event", f"cannot fail: {shown}, so {event} always holds; state an event that may not happen"
        if held == {False}:
            yield "error", "event", f"cannot hold: {shown}, so {event} never does; the values in reach are {low:g} to {high:g}"
        return
    if h.test == "auc":
        low, high, shown = 0.0, 1.0, "an area under the curve lies in [0, 1]"
    elif h.test == "ratio":
        low, high, shown = 0.0, math.inf, "a ratio of positive values is above 0"
    elif h.test != "mean":
        return
    elif h.contrast is not None:
        reach = (high - low) * (1 if h.versus is None else 2)
        low, high = -reach, reach
        shown = f"{shown}, so a difference lies in [{low:g}, {high:g}]"
    if math.isinf(low) and math.isinf(high):
        return
    yield from _out_of_reach(h, low, high, shown)


def _out_of_reach(h: Hypothesis, low: float, high: float, shown: str) -> Iterator[Said]:
    """What a value beyond the range that the estimate must lie in comes to."""
    key, bottom, top = "value", h.value - h.margin, h.value + h.margin
    if h.direction == "equal":
        always, never = bottom <= low and top >= high, top < low or bottom > high
    elif h.direction == "less":
        always, never = h.value > high, h.value <= low
    else:
        always, never = h.value < low, h.value >= high
    rule = f"within {h.value:g} ± {h.margin:g}" if h.direction == "equal" else f"{h.direction} than {h.value:g}"
    nearest = f"the nearest value that can be asked about lies between {low:g} and {high:g}"
    if always:
        yield "error", key, f"cannot fail: {shown}, so it is always {rule}; {nearest}"
    if never:
        yield "error", key, f"cannot hold: {shown}, so its interval is never {rule}; {nearest}"


def _definition(case: Case) -> Iterator[Said]:
    """Metrics that a configuration fixes."""
    h = case.h
    metrics = [h.metric, *([] if h.over is None else [h.over])]
    for metric in metrics:
        for condition in case.about:
            found = fixed(metric, condition.config)
            if found is not None and math.isnan(found.value):
                yield (
                    "error",
                    "metric",
                    f"{metric} has no value in condition {condition.name!r}: {found.why}; the study would end without a verdict",
                )
                break
    found_by = {part: [fixed(h.metric, condition.config) for condition in conditions] for part, conditions in case.chosen.items()}
    values = {part: {one.value for one in found if one is not None} for part, found in found_by.items() if None not in found}
    if len(values) < len(found_by) or any(len(each) != 1 or math.isnan(*each) for each in values.values()) or h.test == "exponent":
        return
    every = [one for found in found_by.values() for one in found if one is not None]
    if any(one.kind == "planted" for one in every) and h.role != "treatment":
        return  # what was put there is what a control is for
    level: Level = "warning" if any(one.kind == "planted" for one in every) else _settled(h)
    outcome = _outcome(h, [next(iter(each)) for each in values.values()])
    yield level, "metric", f"{h.metric} is {outcome}: {_why(every)}{_as_control(h, '; choose a metric that training decides')}"


def _outcome(h: Hypothesis, values: Sequence[float]) -> str:
    """What fixed values, one for each selection, decide."""
    shown = " and ".join(f"{value:g}" for value in dict.fromkeys(values))
    if h.event is not None:
        held = bool(COMPARE[h.event.op](np.float64(values[0]), h.event.value))
        return f"always {shown}, so the event {'always' if held else 'never'} holds"
    return f"always {shown}, so nothing that happens in training can change the verdict"


def _why(found: Sequence[Fixed]) -> str:
    return "; ".join(dict.fromkeys(one.why for one in found))


def _thresholds(case: Case) -> Iterator[Said]:
    """Settings of probes that a metric rests on and that were left at a value which says nothing."""
    metrics = {case.h.metric, case.h.over} & OF_ESCAPE
    if metrics and (left := [condition.name for condition in case.about if condition.config["probes"]["escape_loss"] == 0]):
        yield (
            "warning",
            "metric",
            f"{', '.join(sorted(map(str, metrics)))} counts a training loss at or below probes.escape_loss, which is 0 in "
            f"{_listed(left)}; set it to the loss that counts as there",
        )


def _listed(names: Sequence[str] | set[str]) -> str:
    """The first few, and how many more."""
    first = [repr(name) for name in sorted(names)[:3]]
    return ", ".join(first) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
