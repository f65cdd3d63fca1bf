"""One hypothesis as one small picture: estimate and interval against the smallest effect of interest. Decides nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from suite.report.svg import Axis, picture, tag
from suite.report.words import number
from suite.vocabulary import Verdict


@dataclass(frozen=True)
class Mark:
    """What is drawn: numbers, NaN where there is none, and the rule they are held against."""

    test: str
    direction: str
    value: float
    margin: float
    estimate: float
    low: float
    high: float
    verdict: str
    reference: float = math.nan

    @classmethod
    def of(cls, v: Verdict) -> Mark:
        """From a decided hypothesis."""
        h = v.hypothesis
        # what is predicted of an exact statement's metric has no place on an axis of shares of replicates
        reference = math.nan if h.reference is None or h.test == "exact" else h.reference.value
        return cls(h.test, h.direction, h.value, h.margin, v.estimate, v.low, v.high, v.verdict, reference)

    @classmethod
    def read(cls, h: Mapping[str, Any]) -> Mark:
        """From a hypothesis in verdict.json."""
        numbers = {key: math.nan if h[key] is None else float(h[key]) for key in ("value", "margin", "estimate", "low", "high")}
        return cls(test=h["test"], direction=h["direction"], verdict=h["verdict"], **numbers)

    @property
    def aim(self) -> tuple[float, float]:
        """The values that would support the statement, from and to; infinite where open."""
        if self.test == "exact":
            return 1.0, 1.0
        if self.direction == "equal":
            return self.value - self.margin, self.value + self.margin
        return (-math.inf, self.value) if self.direction == "less" else (self.value, math.inf)

    def words(self) -> str:
        """The same in words."""
        what = "share of replicates in which it holds" if self.test == "exact" else "estimate"
        span = "" if math.isnan(self.low) else f", interval {number(self.low)} to {number(self.high)}"
        low, high = self.aim
        if self.test == "exact":
            rule = "supported only at 1"
        elif self.direction == "equal":
            rule = f"supported within {number(low)} to {number(high)}"
        else:
            rule = f"supported {'below' if self.direction == 'less' else 'above'} {number(self.value)}"
        return f"{what} {number(self.estimate)}{span}; {rule}: {self.verdict}"


def nothing(test: str) -> float:
    """The value of no effect: one for a ratio, else zero."""
    return 1.0 if test == "ratio" else 0.0


def domain(mark: Mark) -> tuple[float, float]:
    """The values a strip spans: 0 to 1 for shares of replicates; else the rule, the interval and, except for equality, no effect."""
    if mark.test == "exact" or (mark.test in ("proportion", "auc") and min(_finite(mark.low, mark.estimate)) >= 0):
        return 0.0, 1.0
    if mark.direction == "equal":
        reach = max([1.5 * mark.margin, *(1.1 * abs(v - mark.value) for v in _finite(mark.low, mark.high, mark.estimate, mark.reference))])
        return mark.value - reach, mark.value + reach
    seen = _finite(nothing(mark.test), mark.value, mark.low, mark.high, mark.estimate, mark.reference)
    low, high = min(seen), max(seen)
    if low == high:
        return low - 1.0, high + 1.0
    if mark.test == "ratio" and low > 0:
        room = (high / low) ** 0.12
        return low / room, high * room
    # room beyond the threshold, so that the region of support shows even where nothing lies in it
    room = 0.12 * (high - low)
    return low - room, high + room


def _finite(*values: float) -> list[float]:
    return [v for v in values if math.isfinite(v)] or [0.0]


def strip(mark: Mark, width: float = 170.0, figures: bool = False) -> Markup:
    """The picture. Shaded: where the interval must lie to support the statement; dashed: the threshold; thin: no effect. With
    ``figures``, the threshold's value is written below. The mark's shape tells the verdict as well as its colour does.
    """
    low, high = domain(mark)
    axis = Axis(low, high, 6.0, width - 6.0, mark.test == "ratio" and low > 0)  # half as much is as far from 1 as twice as much
    none = nothing(mark.test)
    middle, bottom = 12.0, 22.0
    parts: list[Markup] = [tag("line", x1=axis.start, x2=axis.end, y1=middle, y2=middle, class_="grid")]
    first, last = (axis.at(v) if math.isfinite(v) else end for v, end in zip(mark.aim, (axis.start, axis.end), strict=True))
    parts.append(tag("rect", x=first - (2 if first == last else 0), y=3.0, width=max(last - first, 4.0), height=18.0, class_="aim"))
    edges = [edge for edge in dict.fromkeys((first, last)) if edge not in (axis.start, axis.end)] or [last]
    parts += [tag("line", x1=edge, x2=edge, y1=2.0, y2=bottom, class_="threshold") for edge in edges]
    if axis.low < none < axis.high and mark.value != none:
        parts.append(tag("line", x1=axis.at(none), x2=axis.at(none), y1=6.0, y2=18.0, class_="axis"))
    if math.isfinite(mark.low) and math.isfinite(mark.high):
        x1, x2 = axis.at(mark.low), axis.at(mark.high)
        parts.append(tag("line", x1=x1 - (1 if x2 - x1 < 2 else 0), x2=x2 + (1 if x2 - x1 < 2 else 0), y1=middle, y2=middle, class_="span"))
    if math.isfinite(mark.reference):
        x = axis.at(mark.reference)
        parts.append(tag("path", d=f"M{x:.1f} 1l4 5h-8z", class_="reference"))
    if math.isfinite(mark.estimate):
        parts.append(point(axis.at(mark.estimate), middle, mark))
    height = 24.0
    if figures:
        height = 36.0
        shown = (1.0,) if mark.test == "exact" else mark.aim
        values = list(dict.fromkeys(v for v in shown if math.isfinite(v)))
        labels = [(axis.at(value), number(value)) for value in values]
        if len(labels) == 2 and labels[1][0] - labels[0][0] < 3.2 * len(labels[0][1] + labels[1][1]) + 8:  # no room for two
            labels = [((labels[0][0] + labels[1][0]) / 2, f"{labels[0][1]} to {labels[1][1]}")]
        for x, text in labels:
            room = 3.2 * len(text)
            anchor = "end" if x > width - room else "start" if x < room else "middle"
            parts.append(tag("text", text, x=min(x, width - 2), y=34.0, class_="tick", text_anchor=anchor))
    return picture(width, height, mark.words(), *parts, class_=f"strip {mark.verdict}")


def point(x: float, y: float, mark: Mark) -> Markup:
    """The estimate's mark; its shape tells the verdict."""
    if mark.verdict == "refuted":
        return tag("path", d=f"M{x - 4.5:.1f} {y - 4.5:.1f}l9 9m0 -9l-9 9", class_="cross")
    if mark.verdict == "inconclusive":
        return tag("circle", cx=x, cy=y, r=4.0, class_="open")
    if mark.test == "exact":
        return tag("path", d=f"M{x:.1f} {y - 5.5:.1f}l5.5 5.5l-5.5 5.5l-5.5 -5.5z", class_="dot")
    return tag("circle", cx=x, cy=y, r=4.5, class_="dot")
