"""Curves over training, drawn once for everybody and with their numbers beside them for reading off. Computes percentiles only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from suite.percentiles import percentiles
from suite.report.labels import axis_label
from suite.report.styles import AT_FIRST, class_of
from suite.report.svg import Axis, axis_over, frame, picture, tag
from suite.vocabulary import Study, Trace

WIDTH, HEIGHT = 520.0, 290.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 14.0, 34.0, 42.0
#: Most points of a curve that a page carries; the record holds them all.
POINTS = 61
#: Drawn where they were measured, then what the hypotheses speak of, up to this many charts.
ALWAYS = ("dead_fraction", "train_loss", "test_accuracy")
CHARTS = 5
_SHARES = ("fraction", "accuracy", "share")


def charted(study: Study, order: Sequence[str]) -> list[str]:
    """The metrics worth a chart: the three that everybody asks for, then those of hypotheses; each where one of the first conditions
    has a course in time.
    """
    wanted = dict.fromkeys([*ALWAYS, *(v.hypothesis.metric for v in study.outcome.verdicts)])
    return [m for m in wanted if any(_drawable(study.traces[name], m) for name in order[:AT_FIRST])][:CHARTS]


def _drawable(trace: Trace, metric: str) -> bool:
    curve = trace.curves.get(metric)
    return curve is not None and len(trace.steps) > 1 and bool(np.isfinite(curve).any(axis=0).sum() > 1)


def band(trace: Trace, metric: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Steps [time] and the 10th, 50th and 90th percentile over replicates [3, time], at most POINTS of them, where any is finite."""
    values = np.where(np.isfinite(trace.curves[metric]), trace.curves[metric], np.nan)
    seen = np.flatnonzero(np.isfinite(values).any(axis=0))
    if len(seen) > POINTS:
        seen = seen[np.unique(np.linspace(0, len(seen) - 1, POINTS).round().astype(int))]
    return trace.steps[seen], percentiles(values[:, seen], [10, 50, 90])


def chart(study: Study, metric: str, order: Sequence[str]) -> tuple[Markup, dict[str, Any]]:
    """The picture of the first conditions, and the numbers of all: per condition steps, median, low and high. A page's script
    draws it anew from these when other conditions are chosen, by the same rules.
    """
    bands = {name: band(study.traces[name], metric) for name in order if _drawable(study.traces[name], metric)}
    first = {name: found for name, found in bands.items() if order.index(name) < AT_FIRST}
    steps = [float(s) for found, _ in first.values() for s in found]
    levels = [float(v) for _, found in first.values() for v in found.ravel()]
    share = metric.split(".")[0].endswith(_SHARES)
    x = Axis(min(steps), max(steps), LEFT, WIDTH - RIGHT)
    y = axis_over(levels, HEIGHT - BOTTOM, TOP, share=share, log=False if share else None)
    label = axis_label(metric)
    body = [_series(name, order.index(name), found, x, y) for name, found in first.items()]
    words = f"{label} over training steps, by condition: median and 10th to 90th percentile over replicates"
    # the first condition is drawn last, on top
    parts = [*frame(x, y, "training step", label + (", logarithmic" if y.log else "")), *reversed(body)]
    drawn = picture(WIDTH, HEIGHT, words, tag("g", *parts, class_="inner"), class_="plot", focus=True)
    series = {name: _numbers(*found) for name, found in bands.items()}
    return drawn, {"label": label, "share": share, "box": [LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, TOP], "series": series}


def _series(name: str, position: int, found: tuple[NDArray[np.int64], NDArray[np.float64]], x: Axis, y: Axis) -> Markup:
    steps, (low, middle, high) = found
    at = [f"{x.at(float(step)):.1f}" for step in steps]

    def points(values: NDArray[np.float64]) -> list[str]:
        return [f"{a} {y.at(float(v)):.1f}" for a, v in zip(at, values, strict=True)]

    outline = "M" + "L".join([*points(high), *reversed(points(low))]) + "Z"
    line = tag("path", d="M" + "L".join(points(middle)), class_="line")
    return tag("g", tag("path", d=outline, class_="band"), line, class_=f"series {class_of(position)}", data_series=name)


def _numbers(steps: NDArray[np.int64], levels: NDArray[np.float64]) -> list[list[float]]:
    """To four digits, which is more than can be seen."""
    return [steps.tolist(), *([_four(float(v)) for v in row] for row in levels[[1, 0, 2]])]


def _four(value: float) -> float:
    number = float(f"{value:.4g}")
    return int(number) if number == math.floor(number) and abs(number) < 1e6 else number


def charts(study: Study, order: Sequence[str]) -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
    """Every chart with its name and caption, and the numbers of all."""
    shown, numbers = [], {}
    for metric in charted(study, order):
        drawn, numbers[metric] = chart(study, metric, order)
        shown.append({"metric": metric, "picture": drawn})
    return shown, numbers
