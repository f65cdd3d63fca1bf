"""The test in one figure: every replicate of the conditions compared, and the estimate against its threshold. Decides nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from suite.report import words
from suite.report.labels import axis_label
from suite.report.strips import Mark, nothing, point
from suite.report.styles import class_of, spoken_of
from suite.report.svg import Axis, axis_over, picture, short, tag
from suite.report.words import number
from suite.selection import select
from suite.vocabulary import Event, Study, Verdict, is_timed

WIDTH, LABELS, ROW = 720.0, 236.0, 26.0
#: Rows and dots per row that are drawn; the record holds them all.
MOST_ROWS, MOST_DOTS = 8, 200
Values = NDArray[np.float64]


def figure_of_test(study: Study, v: Verdict, order: Sequence[str]) -> tuple[Markup, str]:
    """The picture and its caption."""
    h = v.hypothesis
    conditions = spoken_of(study.plan, v)
    shown = conditions[:MOST_ROWS]
    rows = [(c.name, order.index(c.name), _values(study, c.name, h.metric)) for c in shown]
    compared = h.contrast is not None and h.test not in ("auc", "exponent")
    # of a rank or a slope there is no threshold among the values themselves
    apart = compared or h.test in ("auc", "exponent")
    lines = [] if apart else [h.event.value] if h.event is not None else _edges(v)
    top = 30.0
    # nor does an estimate of them have a place on the values' axis
    parts, bottom = _panel(rows, axis_label(h.metric), lines, h.event, top, None if apart or h.event is not None else v)
    if compared:
        differences = _differences(study, v)
        kind = "ratio" if h.test == "ratio" else "difference"
        more, bottom = _panel([(kind, -1, differences)], f"paired {kind}; thin: none", _edges(v), None, bottom + 34.0, v)
        parts += more
    caption = _caption(study, v, len(conditions) - len(shown))
    return picture(WIDTH, bottom + 6.0, f"{h.name}: {caption}", *parts, class_=f"plot test {v.verdict}"), caption


def _values(study: Study, name: str, metric: str) -> Values:
    found = study.traces[name].finals.get(metric)
    return np.full(study.traces[name].count, np.nan) if found is None else np.asarray(found, dtype=np.float64)


def _differences(study: Study, v: Verdict) -> Values:
    """Of each replicate: its mean over the treatment's conditions (or the best of them) less that over the contrast's, less the
    same of ``versus``; for a ratio the first over the second.
    """
    h, plan = v.hypothesis, study.plan

    def level(selection: object) -> Values:
        found = select(plan.conditions, selection)  # type: ignore[arg-type]
        values = np.stack([_values(study, c.name, h.metric) for c in found])
        if h.event is not None:
            return np.where(np.isnan(values).any(axis=0), np.nan, happens(values, h.event).all(axis=0))
        if h.best is not None:
            return np.asarray(values.min(axis=0) if h.best == "least" else values.max(axis=0))
        if h.test == "ratio":
            return np.asarray(np.exp(np.log(np.where(values > 0, values, np.nan)).mean(axis=0)))
        return np.asarray(values.mean(axis=0))

    if h.test == "ratio":
        above, below = [level(selection) for selection in h.selections.values()]
        return np.asarray(above / below)
    first, second, *rest = [level(selection) for selection in h.selections.values()]
    return first - second - (rest[0] - rest[1] if rest else 0.0)


def happens(values: Values, event: Event) -> NDArray[np.bool_]:
    """Where the event holds; not where there is no number."""
    test = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal, "==": np.equal, "!=": np.not_equal}[event.op]
    return np.asarray(test(values, event.value) & np.isfinite(values))


def _edges(v: Verdict) -> list[float]:
    h = v.hypothesis
    return [h.value - h.margin, h.value + h.margin] if h.direction == "equal" else [h.value]


def _panel(
    rows: Sequence[tuple[str, int, Values]], label: str, lines: Sequence[float], event: Event | None, top: float, v: Verdict | None
) -> tuple[list[Markup], float]:
    """Rows of dots over one axis, the lines they are held against, and, where ``v`` is given, its estimate and interval below."""
    spread = [float(x) for _, _, values in rows for x in values if math.isfinite(x)]
    ends = [] if v is None else [x for x in (v.low, v.high, v.estimate) if math.isfinite(x)]
    zero = [nothing(v.hypothesis.test)] if v is not None and v.hypothesis.contrast is not None else []
    axis = axis_over([*spread, *lines, *ends, *zero], LABELS, WIDTH - 16.0)
    count = len(rows) + (v is not None)
    bottom = top + ROW * count + 4
    parts: list[Markup] = [tag("text", label, x=LABELS, y=top - 12, class_="name")]
    for value in axis.ticks(6):
        x = axis.at(value)
        parts.append(tag("line", x1=x, x2=x, y1=top, y2=bottom, class_="grid"))
        parts.append(tag("text", short(value), x=x, y=bottom + 14, class_="tick", text_anchor="middle"))
    parts += [tag("line", x1=axis.at(x), x2=axis.at(x), y1=top, y2=bottom, class_="axis") for x in zero]
    parts += [tag("line", x1=axis.at(x), x2=axis.at(x), y1=top - 4, y2=bottom, class_="threshold") for x in lines]
    for row, (name, position, values) in enumerate(rows):
        parts.append(_row(name, position, values, event, axis, top + ROW * (row + 0.5)))
    if v is not None:
        parts.append(_estimate(v, axis, top + ROW * (count - 0.5)))
    return parts, bottom + 18.0


def _row(name: str, position: int, values: Values, event: Event | None, axis: Axis, y: float) -> Markup:
    shown = values[:MOST_DOTS]
    # spread over the row's height by the golden ratio, so that a replicate has the same height in every row
    heights = y + ROW * 0.62 * ((np.arange(len(shown)) * 0.618034) % 1.0 - 0.5)
    finite = np.isfinite(shown)
    good = finite if event is None else happens(shown, event)
    held = "" if event is None else f" ({int(happens(values, event).sum())} of {len(values)})"

    def dots(where: NDArray[np.bool_], mark: str) -> str:
        return "".join(f"M{axis.at(float(x)):.1f} {h:.1f}{mark}" for x, h in zip(shown[where], heights[where], strict=True))

    parts = [tag("text", _clipped(name, 34 - len(held)) + held, x=LABELS - 10, y=y + 4, text_anchor="end", class_="row")]
    parts.append(tag("path", d=dots(good, "h0"), class_="dots"))
    if (finite & ~good).any():
        parts.append(tag("path", d=dots(finite & ~good, "m-2.5-2.5l5 5m0-5l-5 5"), class_="cross"))
    if event is None and finite.any():
        middle = axis.at(float(np.mean(shown[finite]))) if position >= 0 else math.nan
        if math.isfinite(middle):
            parts.append(tag("line", x1=middle, x2=middle, y1=y - 9, y2=y + 9, class_="mean"))
    return tag("g", *parts, class_=class_of(position) if position >= 0 else "plain")


def _estimate(v: Verdict, axis: Axis, y: float) -> Markup:
    parts = [
        tag(
            "text",
            "geometric mean, interval" if v.hypothesis.test == "ratio" else "mean and interval",
            x=LABELS - 10,
            y=y + 4,
            text_anchor="end",
            class_="row",
        )
    ]
    if math.isfinite(v.low):
        parts.append(tag("line", x1=axis.at(v.low) - 1, x2=axis.at(v.high) + 1, y1=y, y2=y, class_="span"))
    if math.isfinite(v.estimate):
        parts.append(point(axis.at(v.estimate), y, Mark.of(v)))
    return tag("g", *parts)


def _clipped(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _caption(study: Study, v: Verdict, hidden: int) -> str:
    h = v.hypothesis
    text = [f"Each dot is one of {study.plan.replicates} replicates at the end of training"]
    if study.plan.replicates > MOST_DOTS:
        text[0] += f" (the first {MOST_DOTS} are drawn)"
    if h.test == "auc":
        text.append(f"the estimate {number(v.estimate)} is the chance that one of the treatment lies above one of the contrast")
    elif h.test == "exponent":
        text.append(f"the estimate {number(v.estimate)} is the slope of its logarithm over that of {h.over}, against {words.rule(v)}")
    elif h.event is not None:
        text.append(
            f"dashed: {h.event.op} {number(h.event.value)}, which {'each must be' if h.test == 'exact' else 'is counted'}; crosses are not"
        )
    else:
        text.append("bar: the mean; dashed: the smallest effect of interest" if h.value else "bar: the mean; dashed: the threshold")
    if h.best is not None:
        text.append(f"each replicate counts at its {h.best} over a side's conditions")
    if is_timed(h.metric):
        text.append("replicates of a block share a clock and so a value")
    if hidden:
        text.append(f"{hidden} more conditions are compared than drawn")
    if v.diverged:
        text.append(f"{v.diverged} diverged")
    return "; ".join(text) + "."
