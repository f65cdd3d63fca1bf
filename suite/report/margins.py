"""How far each verdict is from another one, in words and numbers taken from its interval. Decides nothing anew."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from suite.report.words import SYMBOLS, in_order, number
from suite.vocabulary import Outcome, Verdict, is_timed


def margin_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """One row per hypothesis, controls first: ``distance`` in smallest effects (None where there is no such unit), the words,
    and the replicates at which the same estimate would just be decided (None where intervals do not shrink by the square root).
    """
    rows = []
    for v in in_order(outcome.verdicts):
        distance = gap(v)
        rows.append(
            {
                "name": v.hypothesis.name,
                "control": v.hypothesis.role != "treatment",
                "verdict": v.verdict,
                "symbol": SYMBOLS[v.verdict],
                "distance": distance,
                "shown": _distance(v, distance),
                "replicates": _replicates(v),
                "words": _words(v),
            }
        )
    return rows


def edges(v: Verdict) -> tuple[float, float]:
    """The values between which the statement holds, infinite where open."""
    h = v.hypothesis
    if h.direction == "equal":
        return h.value - h.margin, h.value + h.margin
    return (-math.inf, h.value) if h.direction == "less" else (h.value, math.inf)


def _linear(v: Verdict) -> tuple[float, float, float, float, float]:
    """The two edges, the interval's ends and the estimate on the scale on which the interval was formed: logarithms for a ratio."""
    first, last = edges(v)
    if v.hypothesis.test != "ratio":
        return first, last, v.low, v.high, v.estimate
    return _log(first), _log(last), _log(v.low), _log(v.high), _log(v.estimate)


def _log(value: float) -> float:
    """Minus infinity at zero and below, where a ratio cannot be."""
    return value if math.isnan(value) or value == math.inf else -math.inf if value <= 0 else math.log(value)


def smallest_effect(v: Verdict) -> float | None:
    """The unit of distance: the threshold's own size (of a ratio: its distance from one, by the logarithm), or the margin of an
    equality; None where the threshold is no effect.
    """
    h = v.hypothesis
    if h.test == "ratio":
        first, last, *_ = _linear(v)
        return ((last - first) / 2 if h.direction == "equal" else abs(math.log(h.value)) if h.value > 0 else 0.0) or None
    return (h.margin if h.direction == "equal" else abs(h.value)) or None


def gap(v: Verdict) -> float | None:
    """Distance from the interval's nearest end to the threshold, in smallest effects: positive where the interval clears it,
    negative by how much it reaches over it where the verdict is open. None for exact statements and without an interval.
    """
    unit = smallest_effect(v)
    if v.hypothesis.test == "exact" or math.isnan(v.low) or unit is None:
        return None
    low, high, bottom, top, _ = _linear(v)
    if v.verdict == "refuted":
        return max(bottom - high, low - top) / unit
    inside = min(bottom - low, high - top)
    if v.verdict == "supported":
        return inside / unit
    return max(inside, bottom - high, low - top) / unit


def replicates_needed(v: Verdict) -> float | None:
    """At which n an interval of this shape around this estimate would just be decided, if its half-widths shrink as 1/√n. None
    where there is no interval, the estimate lies on the threshold, or the interval is an exact bound, which shrinks otherwise.
    """
    if v.hypothesis.test == "exact" or math.isnan(v.low) or "identical" in v.note or "commonest" in v.note or v.low == v.high:
        return None
    low, high, bottom, top, estimate = _linear(v)
    below, above = estimate - bottom, top - estimate
    if low < estimate < high:  # leans to support: both ends must come inside
        ratio = max(below / (estimate - low), above / (high - estimate))
    elif estimate > high:
        ratio = below / (estimate - high)
    elif estimate < low:
        ratio = above / (low - estimate)
    else:
        return None
    return v.n * ratio**2


def _replicates(v: Verdict) -> str:
    needed = replicates_needed(v)
    if needed is None:
        return "—"
    unit = " blocks" if is_timed(v.hypothesis.metric) else ""  # replicates that share a clock count once
    if needed < 10:
        return f"fewer than 10{unit}"
    if needed > 1e6:
        return "more than a million"
    return f"about {math.ceil(needed)}{unit}"


def _distance(v: Verdict, distance: float | None) -> str:
    if v.hypothesis.test == "exact":
        return "one counterexample" if v.verdict == "supported" else "—"
    return "—" if distance is None else f"{number(float(f'{distance:.2g}'))}"


def _words(v: Verdict) -> str:
    h = v.hypothesis
    if h.test == "exact":
        held = round(v.estimate * v.n) if math.isfinite(v.estimate) else 0
        if v.verdict == "supported":
            unseen = f"; up to {1 - v.low:.1%} of fresh replicates may do otherwise without having shown here" if v.low == v.low else ""
            return f"One replicate of {v.n} that does otherwise would refute it{unseen}."
        if v.verdict == "refuted":
            return f"It holds in {held} of {v.n} replicates; it would have to hold in every one."
        return "Diverged or missing replicates leave it open; none may."
    if math.isnan(v.low):
        return "There is no interval; it needs replicates that did not diverge."
    low, high = edges(v)
    near = _near(v, low, high)
    end, threshold = near
    unit = "" if smallest_effect(v) is None or gap(v) is None else f" ({number(float(f'{abs(gap(v) or 0):.2g}'))} smallest effects)"
    if v.verdict == "inconclusive":
        reach = abs(end - threshold)
        return f"The interval's end {number(end)} reaches {number(reach)}{unit} over the threshold {number(threshold)}."
    return f"The interval's nearest end, {number(end)}, lies {number(abs(end - threshold))}{unit} from the threshold {number(threshold)}."


def _near(v: Verdict, low: float, high: float) -> tuple[float, float]:
    """The end of the interval that decides, and the threshold it is held against."""
    if v.verdict == "refuted":
        return (v.low, high) if v.low > high else (v.high, low)
    if v.verdict == "supported":
        return (v.low, low) if v.low - low <= high - v.high else (v.high, high)
    candidates: Sequence[tuple[float, float]] = [(v.low, low), (v.high, high), (v.low, high), (v.high, low)]
    spans = [(end, edge) for end, edge in candidates if math.isfinite(edge) and v.low <= edge <= v.high]
    return min(spans, key=lambda pair: abs(pair[0] - pair[1]))


def weakest_control(outcome: Outcome) -> dict[str, Any] | None:
    """The control nearest to failing, by smallest effects; where all are exact, the first of them."""
    rows = [row for row in margin_rows(outcome) if row["control"]]
    if not rows:
        return None
    return min(rows, key=lambda row: (row["distance"] is None, row["distance"] or 0.0))
